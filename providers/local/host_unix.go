//go:build unix

package local

import (
	"context"
	"io"
	"io/fs"

	"github.com/computekit/compute/providers/local/internal/engine"
	"github.com/computekit/compute/providers/local/internal/host"
)

// hostMachine makes a [*host.Machine] a machine, as box does an engine's.
type hostMachine struct{ *host.Machine }

func newHost(cfg host.Config) (machine, error) {
	m, err := host.New(cfg)
	if err != nil {
		return nil, err
	}
	return hostMachine{m}, nil
}

func (h hostMachine) Terminal(ctx context.Context, cmd engine.Command, size engine.Size) (terminal, error) {
	t, err := h.Machine.Terminal(ctx, cmd, size)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (h hostMachine) Create(ctx context.Context, name string, perm fs.FileMode) (fileWriter, error) {
	w, err := h.Machine.Create(ctx, name, perm)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (h hostMachine) OpenFile(ctx context.Context, name string) (io.ReadCloser, engine.Entry, error) {
	f, e, err := h.Machine.OpenFile(ctx, name)
	if err != nil {
		return nil, e, err
	}
	return f, e, nil
}
