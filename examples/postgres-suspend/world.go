package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runlooptest"
)

// world is where sandboxes are. Each step opens a provider of its own, as
// another program would.
type world struct {
	open  func() (compute.Compute, error)
	close func() error
}

// with calls f with a provider that is open meanwhile.
func (w *world) with(f func(compute.Compute) error) error {
	c, err := w.open()
	if err != nil {
		return err
	}
	return errors.Join(f(c), compute.Close(c))
}

func newWorld(ctx context.Context, provider, step string) (*world, error) {
	switch {
	case step != "first" && step != "second" && step != "both":
		return nil, fmt.Errorf("unknown step %q", step)
	case provider == "local" || provider == "runloop":
		return &world{
			open:  func() (compute.Compute, error) { return compute.Open(ctx, provider+"://") },
			close: func() error { return nil },
		}, nil
	case provider == "emulator" && step == "both":
		return emulated(ctx)
	case provider == "emulator":
		return nil, errors.New("the emulator ends with this program; for steps of their own start it by " +
			"go run ./providers/runloop/runlooptest/cmd/runloop-emulator, set what it prints, and use -provider runloop")
	}
	return nil, fmt.Errorf("unknown provider %q", provider)
}

// emulated is Runloop, emulated on this machine.
func emulated(ctx context.Context) (*world, error) {
	dir, err := os.MkdirTemp("", "postgres-suspend-*")
	if err != nil {
		return nil, err
	}
	w := &world{close: func() error { return os.RemoveAll(dir) }}
	// push puts what is to be closed before the rest.
	push := func(f func() error) {
		rest := w.close
		w.close = func() error { return errors.Join(f(), rest()) }
	}
	backend, err := local.New(local.Config{Dir: dir})
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	push(backend.Close)
	emulator, err := runlooptest.New(runlooptest.WithBackend(backend))
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	push(emulator.Close)
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- emulator.Serve(serving, l) }()
	push(func() error { stop(); return <-served })
	w.open = func() (compute.Compute, error) {
		return runloop.New(runloop.Config{APIKey: emulator.APIKey(), BaseURL: "http://" + l.Addr().String()})
	}
	return w, nil
}
