// Runloop-emulator serves an emulation of Runloop's REST API on this machine, for
// programs in any language. Its devboxes are sandboxes of a provider.
//
//	go run ./providers/runloop/runlooptest/cmd/runloop-emulator [-addr host:port] [-tls] [-provider local|stub] [-network] [-image name] [-latency duration]
//
// It prints what clients need, as lines of a shell, and serves until it is
// interrupted. Then it destroys all devboxes. The key comes from
// RUNLOOP_API_KEY, and is a random one if that is empty.
//
// Devboxes have this machine's programs, and reach nothing but the emulator, for
// its gateways: -network lets them, and builds, reach the Internet. No images are
// pulled. Dockerfiles start from the names that -image gives, each of which is this
// machine's programs again, from those of Runloop's own images, from "host", or
// from "scratch".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
	"github.com/computekit/compute/providers/runloop/runlooptest"
	"github.com/computekit/compute/providers/stub"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt does not wait
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2) //nolint:gocritic // stop was called
	case err != nil:
		fmt.Fprintln(os.Stderr, "runloop-emulator:", err)
		os.Exit(1)
	}
}

// errUsage is of arguments that package flag has said the mistake of.
var errUsage = errors.New("wrong usage")

func run(ctx context.Context, args []string, w io.Writer) (err error) {
	flags := flag.NewFlagSet("runloop-emulator", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:0", "listen at this `address`; port 0 is any that is free")
	secure := flags.Bool("tls", false, "speak TLS, with a certificate made for the purpose")
	provider := flags.String("provider", "local", "the `provider` of the sandboxes: local or stub")
	dir := flags.String("dir", "", "the state `directory` of the provider local; empty is a temporary one")
	all := flags.Bool("network", false, "let devboxes and builds reach the Internet")
	inside := flags.String("inside", "", "the `URL` at which devboxes reach the emulator, for gateways; empty is a port of its own for them")
	images := slices.Clone(starterImages)
	flags.Func("image", "let Dockerfiles start from the image of this `name`, which is this machine's programs; can be repeated", func(name string) error {
		images = append(images, name)
		return nil
	})
	latency := flags.Duration("latency", 0, "delay every answer by this `duration`")
	verbose := flags.Bool("v", false, "log every request")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return errUsage
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	switch {
	case *provider != "local" && (*all || *dir != "" || *inside != "" || len(images) > len(starterImages)):
		return errors.New("-network, -dir, -inside and -image are for the provider local")
	case *provider == "local":
		sweepKilled(ctx, log)
	}
	backend, done, err := open(ctx, *provider, *dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	opts := []runlooptest.Option{
		runlooptest.WithBackend(backend), runlooptest.WithAPIKey(os.Getenv("RUNLOOP_API_KEY")), runlooptest.WithLatency(*latency),
		runlooptest.WithLogger(log),
	}
	if *secure {
		opts = append(opts, runlooptest.WithTLS())
	}
	s := server{addr: *addr, secure: *secure, inside: *inside, all: *all, local: *provider == "local", opts: opts}
	if s.local {
		forget, nameErr := nameImages(ctx, backend, images)
		if nameErr != nil {
			return nameErr
		}
		defer func() { err = errors.Join(err, forget()) }()
	}
	return s.serve(ctx, w)
}

// open opens the provider of the sandboxes. done closes it.
func open(ctx context.Context, provider, dir string) (c compute.Compute, done func() error, err error) {
	switch provider {
	case "stub":
		return stub.New(stub.Config{}), func() error { return nil }, nil
	case "local":
	default:
		return nil, nil, fmt.Errorf("unknown provider %q: local and stub are known", provider)
	}
	remove := func() error { return nil }
	if dir == "" {
		if dir, remove, err = tempState(ctx); err != nil {
			return nil, nil, err
		}
	}
	p, err := local.New(local.Config{Dir: dir})
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return p, func() error { return errors.Join(p.Close(), remove()) }, nil
}
