package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// gvisorBox makes an [engine.GVisorBox] a machine, as box does a Box.
type gvisorBox struct {
	engine.GVisorBox
	dir string // where commands run
}

func gvisorAt(dir, workDir string) machine { return gvisorBox{engine.AtGVisor(dir), workDir} }

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
	if isWorkDir(name, b.dir) {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrInvalid}
	}
	return b.GVisorBox.RemoveAll(ctx, name)
}

// What needs descriptors of the sandbox's, or its init in namespaces.

func notInGVisor(what string) error {
	return fmt.Errorf("%w: sandboxes isolated by gVisor have no %s; those by namespaces do", errors.ErrUnsupported, what)
}

func (b gvisorBox) OpenShell(context.Context, string, string) (string, error) {
	return "", notInGVisor("named shells")
}

func (b gvisorBox) Usage(context.Context) (engine.Usage, error) {
	return engine.Usage{}, notInGVisor("account of what they use")
}

// SetNetwork has a sandbox keep what it has, which is no network.
func (b gvisorBox) SetNetwork(_ context.Context, n engine.Network) error {
	if len(n.Allow) > 0 {
		return notInGVisor("network but their own loopback")
	}
	return nil
}
