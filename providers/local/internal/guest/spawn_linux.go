package guest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/seccomp"
)

// kept are the capabilities that commands running as root have inside their
// own namespaces: what package managers and servers use.
var kept = map[uintptr]bool{
	unix.CAP_CHOWN: true, unix.CAP_DAC_OVERRIDE: true, unix.CAP_FOWNER: true, unix.CAP_FSETID: true,
	unix.CAP_KILL: true, unix.CAP_SETGID: true, unix.CAP_SETUID: true, unix.CAP_SETPCAP: true,
	unix.CAP_NET_BIND_SERVICE: true, unix.CAP_SYS_CHROOT: true,
}

// A spawner starts all commands, from threads that have dropped the other
// capabilities from their bounding set, which a command inherits.
//
// The thread also moves to a new UTS namespace for each command. No command
// may leave or make one, so the namespace marks all its descendants, however
// they detach themselves.
type spawner struct {
	reaper *reaper
	limits *limiter
	last   uintptr // the last capability there is

	starting chan struct{} // holds one for each start under way

	mu    sync.Mutex
	fresh map[int]bool // threads in a namespace that no command has had; they never end
}

// A child is a started command.
type child struct {
	pid     int
	mark    mark
	started time.Time
	exited  chan struct{}
	status  syscall.WaitStatus
	rusage  syscall.Rusage
	ended   time.Time
	bounds  *bounds // nil without limits
}

func newSpawner(limits *limiter) (*spawner, error) {
	last, err := lastCapability()
	return &spawner{reaper: newReaper(), limits: limits, last: last, starting: make(chan struct{}, maxStarting)}, err
}

// lastCapability returns the last one that there is to drop: by that
// dropBounding tells whether a thread has dropped all.
func lastCapability() (uintptr, error) {
	for cap := uintptr(63); cap > 0; cap-- {
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, cap, 0, 0, 0); err == nil && has == 1 && !kept[cap] {
			return cap, nil
		}
	}
	return 0, errors.New("init has no capabilities to drop")
}

// dropBounding makes sure that this thread's bounding set has no more than
// what is kept, and that its filter has what is for commands alone. The last to
// be dropped tells whether that was done before.
func (s *spawner) dropBounding() error {
	if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, s.last, 0, 0, 0); err == nil && has == 0 {
		return nil
	}
	if err := dropInherited(); err != nil {
		return err
	}
	for cap := uintptr(0); cap <= s.last; cap++ {
		if kept[cap] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, cap, 0, 0, 0); err != nil {
			return os.NewSyscallError("prctl(PR_CAPBSET_DROP)", err)
		}
	}
	return seccomp.InstallHere(seccomp.Others())
}

// dropInherited makes sure that programs get no capability of this thread's that
// is not in the bounding set: init may have been started with some.
func dropInherited() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && err != unix.EINVAL {
		return os.NewSyscallError("prctl(PR_CAP_AMBIENT)", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	caps[0].Inheritable, caps[1].Inheritable = 0, 0
	return os.NewSyscallError("capset", unix.Capset(&header, &caps[0]))
}

const maxReapTime = 32 * time.Millisecond

// start starts a program and returns when it is executing.
func (s *spawner) start(path string, argv []string, attr syscall.ProcAttr) (*child, error) {
	if plain != nil {
		return plain.start(s.reaper, path, argv, attr)
	}
	s.starting <- struct{}{}
	defer func() { <-s.starting }()
	// From here to the fork on one thread. It need not be one of its own:
	// nothing else that init does depends on what is changed here.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := s.dropBounding(); err != nil {
		return nil, err
	}
	if err := s.takeNamespace(); err != nil {
		return nil, fmt.Errorf("marking the command: %w", err)
	}
	c := &child{started: time.Now(), exited: make(chan struct{}), bounds: s.limits.bind()}
	fork := func() (int, error) {
		defer s.limits.offer()()
		return syscall.ForkExec(path, argv, &attr)
	}
	err := s.reaper.register(c, fork)
	for wait := time.Millisecond; passes(err) && wait <= maxReapTime; wait *= 2 {
		time.Sleep(wait)
		err = s.reaper.register(c, fork)
	}
	if err != nil {
		return nil, err
	}
	// While the command comes up: nobody knows of it yet, and the thread is
	// still where the command was made.
	if c.mark, err = ownMark(); err != nil {
		_ = s.reaper.signalOne(c, syscall.SIGKILL)
		_ = killTree(c.mark.inode)
		c.mark.close()
		return nil, fmt.Errorf("marking the command: %w", err)
	}
	s.prepareNamespace()
	s.limits.follow(c)
	return c, nil
}

// takeNamespace moves this thread to a namespace for the next command alone,
// unless it is in one that was prepared.
func (s *spawner) takeNamespace() error {
	thread := unix.Gettid()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fresh[thread] {
		delete(s.fresh, thread)
		return nil
	}
	return unix.Unshare(unix.CLONE_NEWUTS)
}

// prepareNamespace does for the next command what that need not wait for then.
// A failure is that command's to find.
func (s *spawner) prepareNamespace() {
	if unix.Unshare(unix.CLONE_NEWUTS) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fresh == nil {
		s.fresh = map[int]bool{}
	}
	s.fresh[unix.Gettid()] = true
}

// passes reports whether a failure to start is one that passes: the dead count
// against the limit until they are waited for, which takes a moment when many
// died at once; and a program that was just written counts as being written
// while another process, here or on the host, is between fork and exec.
func passes(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ETXTBSY)
}

// A mark is a UTS namespace. It is kept open so that its number is not used
// again.
type mark struct {
	fd    int
	inode uint64
}

// ownMark is that of this thread. If it cannot be kept open, for want of
// descriptors, the error comes with its number.
func ownMark() (mark, error) {
	const name = "/proc/thread-self/ns/uts"
	var st unix.Stat_t
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Fstat(fd, &st)
	} else {
		_ = unix.Stat(name, &st)
	}
	return mark{fd, st.Ino}, err
}

func (m mark) close() { _ = unix.Close(m.fd) }
