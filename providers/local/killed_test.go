//go:build linux

package local_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// The system calls that change files, start processes, and talk to them. A
// program is stopped before each, and killed at one: no moment between two of
// them can be told from another.
var steps = []uint32{
	unix.SYS_MKDIRAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_UNLINKAT, unix.SYS_LINKAT, unix.SYS_SYMLINKAT,
	unix.SYS_FCHOWNAT, unix.SYS_FCHMODAT, unix.SYS_FSYNC, unix.SYS_SYNCFS, unix.SYS_FLOCK, unix.SYS_MOUNT, unix.SYS_MOVE_MOUNT,
	unix.SYS_PIVOT_ROOT, unix.SYS_CLONE, unix.SYS_BIND, unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_PIDFD_SEND_SIGNAL,
}

// stepsEnv is the descriptor that a child sends its notifications to.
const stepsEnv = "COMPUTE_LOCAL_TEST_STEPS"

// announceSteps makes this process and its children stop before each step.
func announceSteps() error {
	number, ok := os.LookupEnv(stepsEnv)
	if !ok {
		return nil // nobody listens
	}
	fd, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the call's number
	for i, nr := range steps {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jt: uint8(len(steps) - i)})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET, K: unix.SECCOMP_RET_USER_NOTIF})
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH |
		unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV // or a signal makes the step begin anew
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return os.NewSyscallError("seccomp", errno)
	}
	// The parent fetches the descriptor: sending it would be a step.
	if _, err := unix.Write(fd, binaryInt(int(listener))); err != nil {
		return err
	}
	_, err = unix.Read(fd, make([]byte, 8))
	return errors.Join(err, unix.Close(int(listener)), unix.Close(fd))
}

func binaryInt(n int) []byte { return []byte(fmt.Sprintf("%8d", n)) }

// A stepper sees a program's steps and kills at one of them.
type stepper struct {
	listener *os.File
	program  int
	killAt   int  // 1 is the first; 0 is never
	whoever  bool // kills who makes the step, and not the program
	before   func()
	each     func(nr uint32) // runs before every step
	mode     string          // what the program does; empty is acts
	count    atomic.Int64
}

// serve lets one step after the other pass, until nobody is left who could
// make one. What lives on after the kill goes on unhindered.
func (s *stepper) serve() {
	fd := int(s.listener.Fd())
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		}
		if fds[0].Revents&unix.POLLIN == 0 {
			return
		}
		var n notification
		if ioctl(fd, notifReceive, unsafe.Pointer(&n)) != nil {
			continue // its maker has died since
		}
		if s.each != nil {
			s.each(uint32(n.nr))
		}
		if s.count.Add(1) == int64(s.killAt) {
			if s.before != nil {
				s.before()
			}
			victim := s.program
			if s.whoever {
				victim = int(n.pid)
			}
			_ = unix.Kill(victim, unix.SIGKILL)
		}
		answer := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		_ = ioctl(fd, notifSend, unsafe.Pointer(&answer))
	}
}

// notification and response are struct seccomp_notif and seccomp_notif_resp of
// linux/seccomp.h, the others its ioctls.
type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type response struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

const (
	notifReceive = 3<<30 | unsafe.Sizeof(notification{})<<16 | '!'<<8
	notifSend    = 3<<30 | unsafe.Sizeof(response{})<<16 | '!'<<8 | 1
)

func ioctl(fd int, request uintptr, p unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(p)); errno != 0 {
		return errno
	}
	return nil
}

// acts takes a sandbox through all that leaves traces, once.
func acts(ctx context.Context, c compute.Compute) error {
	var sb compute.Sandbox
	var snap *compute.Snapshot
	return inTurn([]act{
		{"create", func() (err error) {
			if sb, err = c.CreateSandbox(ctx, nil); err == nil {
				fmt.Println("id sandbox", sb.ID())
			}
			return err
		}},
		{"write", func() error { return sb.Filesystem().WriteFile(ctx, "f", []byte("first"), 0o600) }},
		{"run", func() error { return ran(sb.RunCommand(ctx, compute.Shell("echo ran >g"))) }},
		{"snapshot", func() (err error) {
			if snap, err = c.CreateSnapshot(ctx, sb.ID(), nil); err == nil {
				fmt.Println("id snapshot", snap.ID)
			}
			return err
		}},
		{"rewrite", func() error { return sb.Filesystem().WriteFile(ctx, "f", []byte("second"), 0o600) }},
		{"suspend", func() error { return compute.Suspend(ctx, sb) }},
		{"resume", func() error { return compute.Resume(ctx, sb) }},
		{"label", func() error { return compute.UpdateMetadata(ctx, sb, map[string]string{"k": "v"}) }},
		{"rollback", func() error { return compute.Rollback(ctx, sb, snap.ID) }},
		{"delete snapshot", func() error { return c.DeleteSnapshot(ctx, snap.ID) }},
		{"destroy", func() error { return sb.Destroy(ctx) }},
	})
}

// An act is one operation.
type act struct {
	name string
	do   func() error
}

// inTurn does the acts, and tells what it begins and what is acknowledged.
func inTurn(acts []act) error {
	for _, act := range acts {
		fmt.Println("begin", act.name)
		if err := act.do(); err != nil {
			return fmt.Errorf("%s: %w", act.name, err)
		}
		fmt.Println("done", act.name)
	}
	return nil
}

func ran(res *compute.Result, err error) error {
	if err != nil {
		return err
	}
	return res.Err()
}

// a story is what a program has told before its end.
type story struct {
	ids         map[string]string
	begun, done map[string]bool
	failure     string
}

// lives reports that something was made, and nobody had begun to remove it.
func (s story) lives(made, removed string) bool { return s.done[made] && !s.begun[removed] }

// requireFound wants what came of a look for something, which two acts make and
// remove, to be what was acknowledged.
func (s story) requireFound(t *testing.T, err error, made, removed string) {
	t.Helper()
	switch {
	case s.done[removed]:
		require.ErrorIs(t, err, compute.ErrNotFound)
	case s.lives(made, removed):
		require.NoError(t, err)
	}
}

func hear(r io.Reader) story {
	s := story{ids: map[string]string{}, begun: map[string]bool{}, done: map[string]bool{}}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		switch kind {
		case "begin":
			s.begun[rest] = true
		case "done":
			s.done[rest] = true
		case "id":
			what, id, _ := strings.Cut(rest, " ")
			s.ids[what] = id
		default:
			s.failure = lines.Text()
		}
	}
	return s
}

// perform runs the acts in a program of their own, which s kills at a step. It
// returns what the program told.
func perform(t *testing.T, dir string, s *stepper) story {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	theirs := os.NewFile(uintptr(pair[1]), "theirs")
	ours, err := net.FileConn(os.NewFile(uintptr(pair[0]), "ours"))
	require.NoError(t, err)
	defer ours.Close()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childEnv+"="+cmp.Or(s.mode, "acts")+":"+dir, stepsEnv+"=3")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_ = theirs.Close()

	s.listener, s.program = fetchListener(t, ours, cmd.Process.Pid), cmd.Process.Pid
	served := make(chan struct{})
	go func() { defer close(served); s.serve() }()
	_, err = ours.Write(make([]byte, 8))
	require.NoError(t, err)
	told := hear(out)
	_ = cmd.Wait() // killed
	t.Cleanup(func() {
		if !t.Failed() {
			<-served // what lives on has been destroyed by now
		}
		_ = s.listener.Close()
	})
	return told
}

// fetchListener takes the listener from the program that installed the filter.
func fetchListener(t *testing.T, conn net.Conn, pid int) *os.File {
	t.Helper()
	number := make([]byte, 8)
	_, err := io.ReadFull(conn, number)
	require.NoError(t, err)
	fd, err := strconv.Atoi(strings.TrimSpace(string(number)))
	require.NoError(t, err)
	pidfd, err := unix.PidfdOpen(pid, 0)
	require.NoError(t, err)
	defer unix.Close(pidfd)
	listener, err := unix.PidfdGetfd(pidfd, fd, 0)
	require.NoError(t, err)
	return os.NewFile(uintptr(listener), "listener")
}

// everyStep has the tests try all steps and not some, which takes an hour on two
// cores. 2/3 is every third, from the second on.
const everyStep = "COMPUTE_TEST_EVERY_STEP"

// someSteps returns steps of what the program does, counted from 1, in a random order.
func someSteps(t *testing.T, dir, mode string, atMost int) []int {
	t.Helper()
	s := stepper{mode: mode}
	told := perform(t, dir, &s)
	require.Empty(t, told.failure)
	require.True(t, told.done["destroy"])
	total := int(s.count.Load())
	t.Log(total, "steps")
	at := rand.Perm(total)
	for i := range at {
		at[i]++
	}
	switch which := os.Getenv(everyStep); {
	case which == "":
		at = at[:min(atMost, total)]
	case strings.Contains(which, "/"):
		var part, parts int
		_, err := fmt.Sscanf(which, "%d/%d", &part, &parts)
		require.NoError(t, err, everyStep)
		require.True(t, part >= 1 && part <= parts, everyStep)
		at = slices.DeleteFunc(at, func(n int) bool { return n%parts != part%parts })
	}
	return at
}

// Whatever step a program, or one of its inits, is killed at: what was
// acknowledged is there, and what was not leaves nothing. The state directory
// is a fresh one, or one that was used before.
func TestKilledAtEveryStep(t *testing.T) {
	for _, fresh := range []bool{true, false} {
		dir := t.TempDir()
		if !fresh {
			newLocal(t, dir, local.Namespaces)
		}
		for _, n := range someSteps(t, dir, "acts", 8) {
			whoever := rand.N(3) == 0
			t.Run(fmt.Sprintf("fresh %v, step %d, whoever %v", fresh, n, whoever), func(t *testing.T) {
				dir := dir
				if fresh {
					dir = t.TempDir()
				}
				told := perform(t, dir, &stepper{killAt: n, whoever: whoever})
				c := newLocal(t, dir, local.Namespaces) // sweeps
				verify(t, c, told)
				requireNothingLeft(t, c, dir)
			})
		}
	}
}

func verify(t *testing.T, c compute.Compute, told story) {
	t.Helper()
	ctx := t.Context()
	sandboxes, err := compute.Collect(c.ListSandboxes(ctx, nil), 0)
	require.NoError(t, err)
	switch {
	case told.done["destroy"]:
		require.Empty(t, sandboxes)
	case told.lives("create", "destroy"):
		require.Len(t, sandboxes, 1)
		require.Equal(t, told.ids["sandbox"], sandboxes[0].ID)
		if told.done["label"] {
			require.Equal(t, map[string]string{"k": "v"}, sandboxes[0].Metadata)
		}
		sb, err := c.GetSandbox(ctx, told.ids["sandbox"])
		require.NoError(t, err)
		require.NoError(t, compute.Resume(ctx, sb))
		verifyFiles(t, sb, told)
	}
	_, err = c.GetSnapshot(ctx, told.ids["snapshot"])
	told.requireFound(t, err, "snapshot", "delete snapshot")
	if told.lives("snapshot", "delete snapshot") {
		sb, err := c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Snapshot: told.ids["snapshot"]})
		require.NoError(t, err)
		requireFile(t, sb, "f", "first")
	}
}

// verifyFiles looks for what the sandbox must have: of two states where one
// was being changed into the other, either.
func verifyFiles(t *testing.T, sb compute.Sandbox, told story) {
	t.Helper()
	if told.done["run"] {
		requireFile(t, sb, "g", "ran\n")
	}
	switch {
	case told.done["rollback"]:
		requireFile(t, sb, "f", "first")
	case told.begun["rewrite"] && !told.done["rewrite"], told.begun["rollback"]:
		requireFile(t, sb, "f", "first", "second")
	case told.done["rewrite"]:
		requireFile(t, sb, "f", "second")
	case told.done["write"]:
		requireFile(t, sb, "f", "first")
	}
}

func requireFile(t *testing.T, sb compute.Sandbox, name string, contents ...string) {
	t.Helper()
	data, err := sb.Filesystem().ReadFile(t.Context(), name)
	require.NoError(t, err)
	require.Contains(t, contents, string(data))
}
