package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/guest"
	"github.com/computekit/compute/providers/local/internal/landlock"
	"github.com/computekit/compute/providers/local/internal/mark"
	"github.com/computekit/compute/providers/local/internal/tree"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// endMarked ends an init without namespaces, and then what it could not end.
func (r record) endMarked(ctx context.Context, dir string) error {
	if fd, err := r.pidfd(); err == nil {
		defer unix.Close(fd)
		// It knows its processes best. But if they have stopped it, it is mute.
		polite, cancel := context.WithTimeout(ctx, grace)
		err := shutdownUnseen(polite, dir)
		cancel()
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			return os.NewSyscallError("pidfd_send_signal", err)
		}
		if err := awaitEnd(ctx, fd); err != nil {
			return err
		}
	} else if err := shutdownUnseen(ctx, dir); err != nil {
		return err
	}
	return killMarked(ctx, r.Mark)
}

// killMarked kills the processes of an init that was killed.
func killMarked(ctx context.Context, first uint64) error {
	for {
		pids := mark.Find(first, first+wire.MarkCount)
		if len(pids) == 0 {
			return nil
		}
		var refused int
		for _, pid := range pids {
			if unix.Kill(pid, unix.SIGKILL) == unix.EPERM {
				refused++
			}
		}
		if refused == len(pids) {
			return fmt.Errorf("ending the sandbox's processes %v: %w", pids, unix.EPERM)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
}

// CopyRestricted copies the files of a sandbox without namespaces into a new
// directory, a layer. The sandbox should be frozen meanwhile. If it fails, or
// ctx ends, the directory is not there.
func CopyRestricted(ctx context.Context, upper, layer string) error {
	layer, err := filepath.Abs(layer)
	if err != nil {
		return err
	}
	if err := os.Mkdir(layer, 0o700); err != nil {
		return err
	}
	if err := copyRestricted(ctx, upper, layer, os.Geteuid()); err != nil {
		return errors.Join(err, tree.RemovePath(filepath.Dir(layer), filepath.Base(layer)))
	}
	return nil
}

// copying are the capabilities, if there are any, for copying what belongs to
// others and is closed by its mode.
const copying = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID

// copyRestricted copies a tree and makes the copy a user's.
func copyRestricted(ctx context.Context, from, to string, uid int) error {
	program, err := self()
	if err != nil {
		return err
	}
	src, err := os.OpenFile(from, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer dst.Close()
	// It reads what hostile programs have made, so it can do nothing else.
	rules := landlock.Rules{Scope: true, NoConnect: true, Files: []landlock.File{
		{Path: from, Rights: landlock.Read}, {Path: to, Rights: landlock.All}, {Path: os.DevNull, Rights: landlock.Device}}}
	for _, name := range append(publicRun[:len(publicRun):len(publicRun)], "/etc/ld.so.cache") { // to start at all
		rules.Files = append(rules.Files, landlock.File{Path: name, Rights: landlock.Run, Optional: true})
	}
	err = onThread(func() error {
		if err := rules.Restrict(); err != nil {
			return err
		}
		if err := keepCapabilities(copying); err != nil {
			return err
		}
		return runHelper(ctx, program, []string{guest.CopyName}, []*os.File{src, dst}, &syscall.SysProcAttr{Setsid: true},
			func(int) error { return nil })
	})
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	return tree.Give(int(dst.Fd()), uid)
}

// SnapshotRestricted copies the files of a sandbox without namespaces that runs.
func (b *Box) SnapshotRestricted(ctx context.Context, layer string) error {
	return b.WhileFrozen(ctx, func() error { return CopyRestricted(ctx, b.Upper(), layer) })
}
