// Command emulator is the emulator of Runloop's API for the scripts of this
// directory: on the local provider, with a SQLite driver for the stores of
// axons, and with operations of its own below /interop/ by which a script
// injects faults, provokes evictions and reads what was asked.
//
// It prints one line of JSON when it is ready, and serves until it is
// interrupted. Then it gives everything up, and fails if anything is left.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the stores of axons

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
	"github.com/computekit/compute/providers/runloop/runlooptest"
	"github.com/computekit/compute/providers/stub"
)

func main() {
	var cfg config
	flag.StringVar(&cfg.addr, "addr", "127.0.0.1:0", "address to listen on")
	flag.StringVar(&cfg.provider, "provider", "local", "where devboxes run: local or stub")
	flag.StringVar(&cfg.dir, "dir", "", "state directory of the local provider; required for it")
	flag.BoolVar(&cfg.misbehave, "misbehave", false, "break one promise for each script")
	flag.StringVar(&cfg.openapi, "openapi", "", "OpenAPI document that all traffic is held against; empty is none")
	flag.StringVar(&cfg.newer, "newer", "", "what is laid over the OpenAPI document")
	flag.BoolVar(&cfg.verbose, "v", false, "log requests to standard error")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "emulator:", err)
		os.Exit(1)
	}
}

type config struct {
	addr, provider, dir string
	openapi, newer      string
	misbehave, verbose  bool
}

// ready is what the command prints when it can be used.
type ready struct {
	URL    string `json:"url"`
	APIKey string `json:"api_key"`
}

// run serves until ctx ends, and reports what is left afterwards.
func run(ctx context.Context, cfg config) (err error) {
	backend, closeBackend, err := open(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBackend()) }()
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.addr)
	if err != nil {
		return err
	}
	defer l.Close() // if the server has not
	level := slog.LevelError
	if cfg.verbose {
		level = slog.LevelDebug
	}
	url := "http://" + l.Addr().String()
	inside, err := listenInside(ctx)
	if err != nil {
		return err
	}
	defer inside.Close() // if the server has not
	e, err := runlooptest.New(
		runlooptest.WithBackend(backend), runlooptest.WithBaseURL(url),
		runlooptest.WithInsideURL("http://"+inside.Addr().String()),
		runlooptest.WithNetwork(&compute.NetworkPolicy{Allow: []string{inside.Addr().String()}}),
		runlooptest.WithBuild(func(b runlooptest.Build) compute.ProviderOptions {
			return local.BuildOptions{Secrets: b.Secrets, Network: b.Network}
		}),
		runlooptest.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))),
	)
	if err != nil {
		return err
	}
	api, report := http.Handler(e), func() error { return nil }
	if cfg.openapi != "" {
		c, err := loadContract(cfg.openapi, cfg.newer)
		if err != nil {
			return errors.Join(err, e.Close())
		}
		api, report = c.watch(e), func() error { return c.report(os.Stdout) }
	}
	if cfg.misbehave {
		api = misbehaving(api)
	}
	serveErr := serve(ctx, []net.Listener{l, inside}, handler(e, api, backend), func() error {
		return json.NewEncoder(os.Stdout).Encode(ready{URL: url, APIKey: e.APIKey()})
	}, e.Close)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return errors.Join(serveErr, report(), nothingLeft(end, backend))
}

// listenInside listens where devboxes reach the emulator: at an address of this
// machine, since a loopback address is the devbox itself there. Without any
// address it listens on the loopback, where no devbox gets to.
func listenInside(ctx context.Context) (net.Listener, error) {
	host := "127.0.0.1"
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, addr := range addrs {
		if n, ok := addr.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			host = n.IP.String()
			break
		}
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
}

// open opens the provider of the devboxes.
func open(cfg config) (compute.Compute, func() error, error) {
	switch cfg.provider {
	case "stub":
		return stub.New(stub.Config{}), func() error { return nil }, nil
	case "local":
		if cfg.dir == "" {
			return nil, nil, errors.New("-dir is required for the local provider")
		}
		p, err := local.New(local.Config{Dir: cfg.dir})
		if err != nil {
			return nil, nil, err
		}
		return p, func() error { return nil }, nil
	}
	return nil, nil, fmt.Errorf("there is no provider %q", cfg.provider)
}

// serve answers requests over HTTP/1.1 and, by prior knowledge, HTTP/2 on each
// port until ctx ends. Then it gives the emulator up, so that requests which are
// held end.
func serve(ctx context.Context, ls []net.Listener, h http.Handler, ready, giveUp func() error) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error, len(ls))
	for _, l := range ls {
		go func() { ended <- srv.Serve(l) }()
	}
	err := ready()
	if err == nil {
		select {
		case err = <-ended:
			ended <- err // for below, with the others
			err = nil
		case <-ctx.Done():
		}
	}
	err = errors.Join(err, giveUp())
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if srv.Shutdown(grace) != nil {
		_ = srv.Close() // clients that keep streams open have had their time
	}
	for range ls {
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
	}
	return err
}
