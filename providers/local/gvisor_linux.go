package local

import (
	"context"
	"io"
	"io/fs"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// gvisorBox makes an [engine.GVisorBox] a machine, as box does a Box.
type gvisorBox struct{ engine.GVisorBox }

func gvisorAt(dir string) machine { return gvisorBox{engine.AtGVisor(dir)} }

func gvisorSaved(dir string) bool { return engine.AtGVisor(dir).Saved() }

func gvisorForget(dir string) error { return engine.AtGVisor(dir).Forget() }

func gvisorCheckpoint(ctx context.Context, dir string) error {
	return engine.AtGVisor(dir).Checkpoint(ctx)
}

func (b gvisorBox) Terminal(ctx context.Context, cmd engine.Command, size engine.Size) (terminal, error) {
	t, err := b.GVisorBox.Terminal(ctx, cmd, size)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (b gvisorBox) Create(ctx context.Context, name string, perm fs.FileMode) (fileWriter, error) {
	w, err := b.GVisorBox.Create(ctx, name, perm)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (b gvisorBox) OpenFile(ctx context.Context, name string) (io.ReadCloser, engine.Entry, error) {
	return b.GVisorBox.OpenFile(ctx, name)
}

func (b gvisorBox) RemoveAll(ctx context.Context, name string) error {
	if isWorkdir(name) {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrInvalid}
	}
	return b.GVisorBox.RemoveAll(ctx, name)
}
