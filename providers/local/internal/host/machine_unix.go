//go:build unix

package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// ErrUnavailable is nil: a Unix has all that is needed.
var ErrUnavailable error

// A Machine runs the commands of one sandbox. It is safe for concurrent use.
type Machine struct {
	dir   string
	work  string // without symbolic links, so that pwd says the same
	mark  string
	env   []string
	owner *os.File // locked as long as the machine lives
	table table

	gate   sync.RWMutex // held shared while a command is started
	closed bool

	mu       sync.Mutex
	next     int
	children map[*child]struct{} // that run
	kept     map[*pump]struct{}  // outputs that nobody waits for
	letGo    bool
	owned    sync.WaitGroup // all goroutines but those that wait for a caller's reader
}

// errNone reports that nothing has been done for want of a machine, which the
// second error tells from one that ended on the way.
var errNone = fmt.Errorf("%w: %w", engine.ErrGone, syscall.ECONNREFUSED)

// New returns the machine of a directory. What an earlier one, whose program
// was killed, has left running is killed first, where it can be found.
func New(cfg Config) (*Machine, error) {
	if err := checkUser(cfg.User); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	m := &Machine{dir: dir, mark: markOf(dir), env: cfg.Env, table: newTable(),
		children: map[*child]struct{}{}, kept: map[*pump]struct{}{}}
	if err := os.MkdirAll(filepath.Join(dir, workName), 0o700); err != nil {
		return nil, err
	}
	if m.work, err = filepath.EvalSymlinks(filepath.Join(dir, workName)); err != nil {
		return nil, err
	}
	if m.owner, err = takeOwner(dir); err != nil {
		return nil, err
	}
	if err := killTree(m.isOurs, nil); err != nil {
		return nil, errors.Join(err, releaseOwner(m.owner))
	}
	return m, nil
}

// markOf is what the marks of all commands in dir begin with.
func markOf(dir string) string {
	name := filepath.Join(filepath.Base(filepath.Dir(dir)), filepath.Base(dir))
	return strings.Join(strings.Fields(name), "_") + "#"
}

func (m *Machine) isOurs(mark string) bool { return strings.HasPrefix(mark, m.mark) }

// Owned looks by taking the lock for a moment, which takeOwner waits out.
const (
	ownerTries = 50
	ownerPause = time.Millisecond
)

// takeOwner locks the directory. The lock ends with this program, too.
func takeOwner(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, ownerName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for range ownerTries {
		if err = tryLock(f, unix.LOCK_EX); !errors.Is(err, ErrOwned) {
			break
		}
		time.Sleep(ownerPause)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// tryLock takes a lock that nobody has, or fails with ErrOwned.
func tryLock(f *os.File, how int) error {
	for {
		switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err {
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return ErrOwned
		default:
			return os.NewSyscallError("flock", err)
		}
	}
}

// releaseOwner gives the directory back. Closing alone would leave the lock to
// a process that is just being started, until it executes its program.
func releaseOwner(f *os.File) error {
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	return f.Close()
}

// Owned reports whether a machine, of this program or another, has dir.
func Owned(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, ownerName), os.O_RDWR, 0) //nolint:gosec // the state directory is the user's to choose
	if err != nil {
		return false
	}
	err = tryLock(f, unix.LOCK_SH) // many may look at once
	_ = releaseOwner(f)
	return errors.Is(err, ErrOwned)
}

// enter begins an operation.
func (m *Machine) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if m.isClosed() {
		return errNone
	}
	// Another program may have destroyed the sandbox.
	if _, err := os.Lstat(filepath.Join(m.dir, ownerName)); errors.Is(err, os.ErrNotExist) {
		return errNone
	}
	return nil
}

func (m *Machine) isClosed() bool {
	m.gate.RLock()
	defer m.gate.RUnlock()
	return m.closed
}

// Flush has nothing to do: m has no file system of its own.
func (m *Machine) Flush(ctx context.Context) error { return m.enter(ctx) }

// Ping fails with engine.ErrGone if m has ended.
func (m *Machine) Ping(ctx context.Context) error { return m.enter(ctx) }

// Dial connects to an address of this machine.
func (m *Machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	if network == "unix" {
		address = m.resolve(address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// Snapshot fails: what commands have changed may be anywhere.
func (m *Machine) Snapshot(context.Context, string) error {
	return fmt.Errorf("snapshots without isolation: %w", errors.ErrUnsupported)
}

// Shutdown kills all processes and waits for them. It is idempotent. Files
// stay.
func (m *Machine) Shutdown(ctx context.Context) error {
	m.gate.Lock()
	m.closed = true
	m.gate.Unlock()
	if err := killTree(m.isOurs, m.running()); err != nil {
		return err
	}
	m.release()
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.owned.Wait()
		_ = releaseOwner(m.owner) // a second time does nothing
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// running lists the children, for systems where marks cannot be seen.
func (m *Machine) running() []*child {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]*child, 0, len(m.children))
	for c := range m.children {
		all = append(all, c)
	}
	return all
}

// release closes the outputs that nobody waits for.
func (m *Machine) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.letGo = true
	for p := range m.kept {
		_ = p.f.Close()
	}
}

// keep goes on reading an output, so that who writes to it is not killed.
func (m *Machine) keep(p *pump) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.letGo {
		_ = p.f.Close()
		return
	}
	m.kept[p] = struct{}{}
	m.owned.Go(func() {
		<-p.done
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.kept, p)
	})
}

// Reap kills what a machine of dir has left running whose program was killed.
// It does nothing where marks cannot be seen.
func Reap(_ context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	mark := markOf(dir)
	return killTree(func(m string) bool { return strings.HasPrefix(m, mark) }, nil)
}

// Destroyable fails with ErrOwned where the processes of the machine that has
// dir cannot be found.
func Destroyable(dir string) error {
	if !seesMarks && Owned(dir) {
		return ErrOwned
	}
	return nil
}

// Destroy ends the processes of dir and removes it. That there is none is not
// an error.
func Destroy(ctx context.Context, dir string) error {
	if err := Destroyable(dir); err != nil {
		return err
	}
	// Without this file its machine starts nothing more.
	if err := os.Remove(filepath.Join(dir, ownerName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var err error
	for range 3 { // it may have been about to start something
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err = Reap(ctx, dir); err != nil {
			return err
		}
		if err = removeTree(dir); err == nil {
			return nil
		}
	}
	return err
}

// removeTree is os.RemoveAll that is not stopped by directories which their
// owner may not write to.
func removeTree(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	_ = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = root.Chmod(name, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
