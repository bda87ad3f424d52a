// Runloop-emulator serves an emulation of Runloop's REST API on this machine, for
// programs in any language. Its devboxes are sandboxes of a provider.
//
//	go run ./providers/runloop/runlooptest/cmd/runloop-emulator [-addr host:port] [-tls] [-provider local|stub] [-latency duration]
//
// It prints what clients need, as lines of a shell, and serves until it is
// interrupted. Then it destroys all devboxes. The key comes from
// RUNLOOP_API_KEY, and is a random one if that is empty.
package main

import (
	"context"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
	"github.com/computekit/compute/providers/runloop/runlooptest"
	"github.com/computekit/compute/providers/stub"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "runloop-emulator:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func run(ctx context.Context, args []string, w io.Writer) (err error) {
	flags := flag.NewFlagSet("runloop-emulator", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:0", "listen at this `address`; port 0 is any that is free")
	secure := flags.Bool("tls", false, "speak TLS, with a certificate made for the purpose")
	provider := flags.String("provider", "local", "the `provider` of the sandboxes: local or stub")
	dir := flags.String("dir", "", "the state `directory` of the provider local; empty is a temporary one")
	network := flags.Bool("network", false, "let devboxes reach the Internet")
	inside := flags.String("inside", "", "the `URL` at which devboxes reach the emulator, for gateways; empty is where it listens")
	latency := flags.Duration("latency", 0, "delay every answer by this `duration`")
	verbose := flags.Bool("v", false, "log every request")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	backend, done, err := open(*provider, *dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()

	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	opts := []runlooptest.Option{
		runlooptest.WithBackend(backend), runlooptest.WithAPIKey(os.Getenv("RUNLOOP_API_KEY")), runlooptest.WithLatency(*latency),
		runlooptest.WithInsideURL(*inside),
		runlooptest.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))),
	}
	if *secure {
		opts = append(opts, runlooptest.WithTLS())
	}
	if *network {
		opts = append(opts, runlooptest.WithNetwork(&compute.NetworkPolicy{Allow: []string{"*"}}))
	}
	return serve(ctx, *addr, *secure, w, opts)
}

// open opens the provider of the sandboxes. done closes it.
func open(provider, dir string) (c compute.Compute, done func() error, err error) {
	switch provider {
	case "stub":
		return stub.New(stub.Config{}), func() error { return nil }, nil
	case "local":
	default:
		return nil, nil, fmt.Errorf("unknown provider %q: local and stub are known", provider)
	}
	remove := func() error { return nil }
	if dir == "" {
		if dir, err = os.MkdirTemp("", "runloop-emulator-*"); err != nil {
			return nil, nil, err
		}
		remove = func() error { return os.RemoveAll(dir) }
	}
	p, err := local.New(local.Config{Dir: dir})
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return p, func() error { return errors.Join(p.Close(), remove()) }, nil
}

// serve serves an emulator until ctx ends.
func serve(ctx context.Context, addr string, secure bool, w io.Writer, opts []runlooptest.Option) (err error) {
	e, err := runlooptest.New(opts...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	scheme := "http"
	if secure {
		scheme = "https"
		name, remove, err := writeCertificate(e)
		if err != nil {
			return errors.Join(err, l.Close())
		}
		defer remove()
		fmt.Fprintf(w, "export SSL_CERT_FILE=%s NODE_EXTRA_CA_CERTS=%s\n", name, name)
	}
	fmt.Fprintf(w, "export RUNLOOP_API_KEY=%s\nexport RUNLOOP_BASE_URL=%s://%s\n", e.APIKey(), scheme, l.Addr())
	return e.Serve(ctx, l)
}

// writeCertificate writes the emulator's certificate to a file, for clients to
// trust.
func writeCertificate(e *runlooptest.Emulator) (name string, remove func(), err error) {
	cert, err := e.Certificate()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "runloop-emulator-*")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	name = filepath.Join(dir, "certificate.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o644); err != nil {
		remove()
		return "", nil, err
	}
	return name, remove, nil
}
