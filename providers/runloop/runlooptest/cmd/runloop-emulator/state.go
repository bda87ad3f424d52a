package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

const (
	tempPattern = "runloop-emulator-*"
	aliveName   = "alive" // a socket that is listened at while the emulator lives
	stateName   = "state"
)

// tempState makes a temporary state directory. done removes it.
func tempState(ctx context.Context) (dir string, done func() error, err error) {
	top, err := os.MkdirTemp("", tempPattern)
	if err != nil {
		return "", nil, err
	}
	var lc net.ListenConfig
	alive, err := lc.Listen(ctx, "unix", filepath.Join(top, aliveName))
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(top))
	}
	return filepath.Join(top, stateName), func() error { return errors.Join(alive.Close(), os.RemoveAll(top)) }, nil
}

// sweepKilled gives up what emulators have left that were killed: their devboxes
// run on otherwise.
func sweepKilled(ctx context.Context, log *slog.Logger) {
	tops, err := filepath.Glob(filepath.Join(os.TempDir(), tempPattern))
	if err != nil {
		return // only of a bad pattern
	}
	for _, top := range tops {
		if !killed(ctx, top) {
			continue
		}
		if err := giveUp(ctx, top); err != nil {
			log.Warn("what a killed emulator has left", "dir", top, "error", err)
			continue
		}
		log.Info("removed what a killed emulator has left", "dir", top)
	}
}

// killed reports whether the emulator that had a directory is gone. Those of
// other users cannot be told, unless by root.
func killed(ctx context.Context, top string) bool {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", filepath.Join(top, aliveName))
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// giveUp destroys what is in a state directory, which must be this user's.
func giveUp(ctx context.Context, top string) error {
	dir := filepath.Join(top, stateName)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(top)
	}
	p, err := local.New(local.Config{Dir: dir})
	if err != nil {
		return err
	}
	err = errors.Join(destroyAll(ctx, p), p.Close())
	if err != nil {
		return err
	}
	return os.RemoveAll(top)
}

// destroyAll destroys all sandboxes, and then what they were made from.
func destroyAll(ctx context.Context, c compute.Compute) error {
	for info, err := range c.ListSandboxes(ctx, nil) {
		if err == nil {
			err = c.DestroySandbox(ctx, info.ID)
		}
		if err != nil {
			return err
		}
	}
	for s, err := range c.ListSnapshots(ctx, nil) {
		if err == nil {
			err = c.DeleteSnapshot(ctx, s.ID)
		}
		if err != nil {
			return err
		}
	}
	for t, err := range c.ListTemplates(ctx, nil) {
		if err == nil {
			err = c.DeleteTemplate(ctx, t.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
