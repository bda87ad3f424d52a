package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/guest"
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
	if err == nil {
		err = ids.fits(upper)
	}
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
		return errors.Join(err, removeTree(layer))
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
	return runHelper(ctx, program, []string{guest.CopyName}, []*os.File{src, dst}, ids.attributes(0), ids.apply)
}

// runHelper runs one of guest's helpers with some files. It waits on its input
// until apply has done what it needs.
func runHelper(ctx context.Context, program string, argv []string, files []*os.File, as *syscall.SysProcAttr, apply func(pid int) error) error {
	stdin, release, err := os.Pipe()
	if err != nil {
		return err
	}
	defer release.Close()
	messages, stderr, err := os.Pipe()
	if err != nil {
		_ = stdin.Close()
		return err
	}
	defer messages.Close()
	p, err := os.StartProcess(program, argv, &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: append([]*os.File{stdin, stderr, stderr}, files...), Sys: as,
	})
	_, _ = stdin.Close(), stderr.Close()
	if err != nil {
		return explainClone(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = p.Kill() })
	defer stop()
	if err := apply(p.Pid); err != nil {
		_ = p.Kill()
		_, _ = p.Wait()
		return err
	}
	_ = release.Close()
	var text bytes.Buffer
	_, _ = text.ReadFrom(io.LimitReader(messages, 64<<10))
	state, err := p.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case !state.Success():
		return fmt.Errorf("%s: %s (%v)", argv[0], text.String(), state)
	}
	return nil
}

// RemoveLayer removes a layer that no sandbox uses any more.
func RemoveLayer(layer string) error {
	layer, err := filepath.Abs(layer)
	if err != nil {
		return err
	}
	return removeTree(layer)
}
