package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/guest"
	"github.com/computekit/compute/providers/local/internal/tree"
)

// CopyLayer copies what a sandbox has written (see Box.Upper) into a new
// directory that other sandboxes can start from. The sandbox should be frozen
// meanwhile. If it fails, or ctx ends, the directory is not there.
//
// It runs in a user namespace like the sandbox's: there it may read whatever
// the sandbox has written, and on the host no more than that.
func CopyLayer(ctx context.Context, upper, layer string) error {
	layer, err := filepath.Abs(layer)
	if err != nil {
		return err
	}
	ids, err := currentMap()
	if err != nil {
		return err
	}
	if err := os.Mkdir(layer, 0o755); err != nil {
		return err
	}
	err = ids.give(layer)
	if err == nil {
		err = copyInside(ctx, upper, layer, ids)
	}
	if err != nil {
		return errors.Join(err, tree.RemovePath(filepath.Dir(layer), filepath.Base(layer)))
	}
	return nil
}

func copyInside(ctx context.Context, upper, layer string, ids idMap) error {
	program, err := self()
	if err != nil {
		return err
	}
	src, err := openUpper(upper)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(layer, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dst.Close()
	return runCopy(ctx, program, src, dst, ids)
}

func runCopy(ctx context.Context, program string, src, dst *os.File, ids idMap) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	messages, stderr, err := os.Pipe()
	if err != nil {
		return err
	}
	defer messages.Close()
	p, err := os.StartProcess(program, []string{guest.CopyName}, &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: []*os.File{null, null, stderr, src, dst}, Sys: ids.attributes(0),
	})
	_ = stderr.Close()
	if err != nil {
		return explainClone(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = p.Kill() })
	defer stop()
	var text bytes.Buffer
	_, _ = text.ReadFrom(messages)
	state, err := p.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case !state.Success():
		return fmt.Errorf("copying the sandbox's files: %s (%v)", text.String(), state)
	}
	return nil
}

// RemoveLayer removes a layer that no sandbox uses any more.
func RemoveLayer(layer string) error {
	layer, err := filepath.Abs(layer)
	if err != nil {
		return err
	}
	return tree.RemovePath(filepath.Dir(layer), filepath.Base(layer))
}
