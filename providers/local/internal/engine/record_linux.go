package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// A record identifies a sandbox's init beyond doubt: its number may have
// become another process's, but not one that started at the same tick of the
// same boot.
type record struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // field 22 of /proc/<pid>/stat
	Boot  string `json:"boot"`
	Base  string `json:"base,omitempty"` // the base layer's name
	Mark  uint64 `json:"mark,omitempty"` // of the processes of an init without namespaces
}

// writeRecord makes it known which process is the init of a directory. more
// holds what is not found out here.
func writeRecord(dir string, pid int, more record) error {
	start, err := startTime(pid)
	if err != nil {
		return err
	}
	more.PID, more.Start, more.Boot = pid, start, BootID()
	data, err := json.Marshal(more)
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, recordName+".new")
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, recordName))
}

func readRecord(dir string) (record, error) {
	var r record
	data, err := os.ReadFile(filepath.Join(dir, recordName))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

func startTime(pid int) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	const afterName = 20 // field 22 of the line, counted behind "pid (name)"
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < afterName {
		return "", errors.New("/proc has an unknown format")
	}
	return fields[afterName-1], nil
}

// pidfd returns a descriptor of the recorded process, or ErrGone.
func (r record) pidfd() (int, error) {
	if r.PID <= 1 || r.Boot != BootID() {
		return -1, ErrGone
	}
	fd, err := unix.PidfdOpen(r.PID, 0)
	if err != nil {
		return -1, ErrGone
	}
	// After opening it: from now on the number cannot change hands unseen.
	if start, err := startTime(r.PID); err != nil || start != r.Start {
		_ = unix.Close(fd)
		return -1, ErrGone
	}
	return fd, nil
}

// Destroy ends the sandbox of a directory, if it lives, and removes the
// directory. That there is none is not an error. It refuses a directory that
// holds anything but a sandbox.
func Destroy(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := looksOurs(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := endInit(ctx, dir); err != nil {
		return err
	}
	awaitEgress(ctx, dir)
	sweep()
	if err := removeGroups(dir); err != nil {
		return err
	}
	return removeDir(dir)
}

func removeDir(dir string) error { return removeTree(dir) }

func looksOurs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case fsName, socketName, recordName, recordName + ".new", egressName:
		default:
			if ours(e.Name()) {
				continue
			}
			return fmt.Errorf("%s is not the directory of a sandbox: it holds %q", dir, e.Name())
		}
	}
	return nil
}

// endInit kills init, and with it all of the sandbox, and waits for its end.
func endInit(ctx context.Context, dir string) error {
	r, err := readRecord(dir)
	if err != nil {
		return nil // there was none yet: an init without a record never stays
	}
	if r.Mark != 0 {
		return r.endMarked(ctx, dir)
	}
	fd, err := r.pidfd()
	if errors.Is(err, ErrGone) {
		return shutdownUnseen(ctx, dir)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return os.NewSyscallError("pidfd_send_signal", err)
	}
	return awaitEnd(ctx, fd)
}

// shutdownUnseen ends an init that this process cannot see, because it is in
// another pid namespace, but can talk to.
func shutdownUnseen(ctx context.Context, dir string) error {
	c, err := (&Box{dir: dir}).call(ctx, &wire.Request{Op: wire.OpShutdown})
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.reply(); errors.Is(err, ErrGone) {
		// Nobody was there: for a moment, a process that this program is
		// starting has its descriptors too, and so the socket of one that ended.
		return nil
	} else if err != nil {
		return err
	}
	// The kernel ends the connection when it ends init.
	_, _ = c.reply()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func awaitEnd(ctx context.Context, pidfd int) error {
	for {
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 20)
		if n > 0 {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// children are the inits that this process started. They stay its children,
// so each needs to be waited for when it has ended; that happens whenever
// sandboxes are started or ended, rather than in a goroutine for each.
var children struct {
	sync.Mutex
	procs []*os.Process
}

func adopt(p *os.Process) {
	children.Lock()
	defer children.Unlock()
	children.procs = append(children.procs, p)
}

// sweep waits for those children that have ended.
func sweep() {
	children.Lock()
	defer children.Unlock()
	var living []*os.Process
	for _, p := range children.procs {
		if ended(p.Pid) {
			_, _ = p.Wait()
			continue
		}
		living = append(living, p)
	}
	children.procs = living
}

// ended reports whether a child has ended, without waiting for it.
func ended(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err != nil && err != unix.EINTR || info.Signo != 0
}

// grace is how long cleaning up may take when the caller's context is over.
const grace = 10 * time.Second
