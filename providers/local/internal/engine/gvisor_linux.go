package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/tree"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// A GVisorBox is a sandbox that has gVisor's kernel. The process that Start
// started is its keeper (see package guest), and its init is inside, where
// descriptors cannot be passed to: contents go over the connections.
type GVisorBox struct{ *Box }

// AtGVisor returns the sandbox of a directory, whether it runs or not.
func AtGVisor(dir string) GVisorBox { return GVisorBox{&Box{dir: dir, gvisor: true}} }

func (b *Box) dialGVisor(ctx context.Context) (wire.Conn, error) {
	path := filepath.Join(b.dir, fsName, wire.GVisorSocket)
	for {
		c, err := wire.DialSocket(path)
		switch {
		case err == nil:
			return c, nil
		case ctx.Err() != nil:
			return wire.Conn{}, context.Cause(ctx)
		case errors.Is(err, syscall.EAGAIN): // many connect at once
			time.Sleep(time.Millisecond)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
			return wire.Conn{}, fmt.Errorf("%w: %w", ErrGone, err)
		default:
			return wire.Conn{}, err
		}
	}
}

// Snapshot copies what the sandbox has written into a new layer.
func (b GVisorBox) Snapshot(ctx context.Context, layer string) error {
	return b.WhileFrozen(ctx, func() error {
		if err := b.writeBack(ctx); err != nil {
			return err
		}
		return CopyLayer(ctx, b.Upper(), layer)
	})
}

// writeBack has the sandbox's own kernel hand over what it holds of files.
func (b GVisorBox) writeBack(ctx context.Context) error {
	_, err := b.ask(ctx, &wire.Request{Op: wire.OpSync})
	return err
}

// Flush is as that of a Box.
func (b GVisorBox) Flush(ctx context.Context) error {
	if err := b.writeBack(ctx); err != nil {
		return err
	}
	return b.Box.Flush(ctx)
}

// Ping asks the sandbox for a sign of life. It waits for one that is being
// saved.
func (b GVisorBox) Ping(ctx context.Context) error {
	if err := (&Box{dir: b.dir}).Ping(ctx); err != nil {
		return err
	}
	return b.Box.Ping(ctx)
}

// checkpointTime is how long saving goes on, once begun, when the caller's
// context is over: half of it would be the worst.
const checkpointTime = time.Minute

// Checkpoint saves the sandbox's memory and processes in its directory and
// ends it. If it fails the sandbox goes on; but commands under way have been
// killed. Once begun it does not end with ctx.
func (b GVisorBox) Checkpoint(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(checkpointTime):
			cancel()
		case <-own.Done():
		}
	})
	defer stop()
	ctx = own
	keeper := &Box{dir: b.dir}
	if _, err := keeper.ask(ctx, &wire.Request{Op: wire.OpCheckpoint}); err != nil {
		return err
	}
	return b.Shutdown(ctx) // wait for the keeper's end
}

// Saved reports whether Start can restore the sandbox.
func (b GVisorBox) Saved() bool {
	_, err := os.Lstat(filepath.Join(b.dir, fsName, wire.GVisorImage))
	return err == nil
}

// Forget removes what Checkpoint saved.
func (b GVisorBox) Forget() error {
	return tree.RemovePath(filepath.Join(b.dir, fsName), wire.GVisorImage)
}

// makeGVisor adds to the sandbox's directory what gVisor needs there.
func (l *launcher) makeGVisor() error {
	if l.spec.GVisor.Runsc == "" {
		return nil
	}
	root := filepath.Join(l.spec.Dir, fsName)
	control := filepath.Join(root, wire.GVisorControl)
	if err := os.Mkdir(control, 0o700); err != nil {
		return err
	}
	config := &wire.Config{Hostname: l.spec.Hostname, Env: l.spec.Env, Ranged: l.ids.ranged(), MaxProcs: uint64(l.spec.MaxProcesses),
		Base: wire.BaseConfig{Dir: l.spec.Base.Dir}}
	file := filepath.Join(root, wire.GVisorConfigs)
	if err := os.WriteFile(file, wire.Marshal(config), 0o600); err != nil {
		return err
	}
	for _, path := range []string{file, control, root} {
		if err := l.ids.give(path); err != nil {
			return err
		}
	}
	return linkProgram(l.spec.StateDir, filepath.Join(root, wire.GVisorProgram))
}

// prepareRestore makes the directory of a saved sandbox ready for another
// keeper.
func (l *launcher) prepareRestore() (err error) {
	if _, err := os.Lstat(filepath.Join(l.spec.Dir, fsName, wire.GVisorImage)); err != nil {
		return err
	}
	if err := l.renewWork(); err != nil {
		return err
	}
	socket := filepath.Join(l.spec.Dir, socketName)
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l.listener, err = listen(socket)
	return err
}

// renewWork makes the work directories of the overlays anew: the old ones
// remember that what was mounted on them was not flushed to the disk, and
// cannot be mounted again.
func (l *launcher) renewWork() error {
	root := filepath.Join(l.spec.Dir, fsName)
	if err := tree.RemovePath(root, "work"); err != nil {
		return err
	}
	dirs := []string{root + "/work"}
	for _, t := range l.base.trees {
		dirs = append(dirs, root+"/work/"+t.Name)
	}
	for _, d := range dirs {
		if err := errors.Join(os.Mkdir(d, 0o755), os.Chmod(d, 0o755)); err != nil { // whatever the umask
			return err
		}
		if err := l.ids.give(d); err != nil {
			return err
		}
	}
	return nil
}

// openGVisor opens runsc for a keeper that may not see its name.
func (l *launcher) openGVisor() ([]int, error) {
	if l.spec.GVisor.Runsc == "" {
		return nil, nil
	}
	fd, err := unix.Open(l.spec.GVisor.Runsc, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &UnavailableError{Facility: "gVisor's runsc", Err: &os.PathError{Op: "open", Path: l.spec.GVisor.Runsc, Err: err}}
	}
	return []int{fd}, nil
}

// A copy of this program is the init of gVisor sandboxes. It is a file, since
// gVisor shows its guests files, shared by the sandboxes of a state directory,
// which have links to it: a sandbox that was saved goes on in the program that
// it was saved in.
const programPrefix = "program-"

// programAge is how old a copy without links must be to be removed: somebody
// may be about to link a younger one.
const programAge = 10 * time.Minute

func linkProgram(stateDir, to string) error {
	var err error
	for range 3 { // another program may remove an old copy just now
		var file string
		if file, err = ensureProgram(stateDir); err != nil {
			return err
		}
		if err = os.Link(file, to); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// ensureProgram returns the copy of this program.
func ensureProgram(stateDir string) (string, error) {
	const self = "/proc/self/exe"
	info, err := os.Stat(self)
	if err != nil {
		return "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", errors.ErrUnsupported
	}
	sum := sha256.Sum256(fmt.Appendln(nil, st.Dev, st.Ino, st.Size, info.ModTime().UnixNano()))
	file := filepath.Join(stateDir, programPrefix+hex.EncodeToString(sum[:8]))
	if _, err := os.Lstat(file); err == nil {
		return file, nil
	}
	removePrograms(stateDir)
	temp := file + ".new"
	if temp, err = copyProgram(self, temp); err != nil {
		return "", err
	}
	return file, os.Rename(temp, file)
}

func copyProgram(from, pattern string) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(pattern), filepath.Base(pattern))
	if err != nil {
		return "", err
	}
	src, err := os.Open(from)
	if err == nil {
		_, err = f.ReadFrom(src)
		err = errors.Join(err, src.Close(), f.Chmod(0o555))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// removePrograms removes the copies of programs that have no sandboxes any
// more. What it cannot remove stays until the next time.
func removePrograms(stateDir string) {
	entries, err := os.ReadDir(stateDir)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), programPrefix) || time.Since(info.ModTime()) < programAge {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink == 1 {
			_ = os.Remove(filepath.Join(stateDir, e.Name()))
		}
	}
}
