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
	reaper  *reaper
	limits  *limiter
	reserve reserve
	last    uintptr // the last capability there is
	alike   bool    // the filter is the same for init and for commands

	starting chan struct{} // holds one for each start under way

	mu    sync.Mutex
	fresh map[int]mark // threads in a namespace that no command has had; they never end
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

// filter installs what commands and init are refused, and what commands alone
// are, if init sets no limits of theirs.
func (s *spawner) filter() error {
	if s.limits.confining != nil {
		return seccomp.Install()
	}
	s.alike = true
	return seccomp.Install(seccomp.Others()...)
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
	if s.alike {
		return nil
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

// start starts a program and returns when it is executing. Its directory is
// that of attr, or if that has none the one that is open as dir.
func (s *spawner) start(path string, argv []string, attr syscall.ProcAttr, dir int) (*child, error) {
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
	m, err := s.takeNamespace()
	if err != nil {
		return nil, fmt.Errorf("marking the command: %w", err)
	}
	if attr.Dir == "" {
		if err := enterDir(dir); err != nil {
			m.close()
			return nil, err
		}
		defer leaveDir()
	}
	c := &child{mark: m, started: time.Now(), exited: make(chan struct{}), bounds: s.limits.bind()}
	fork := func() (int, error) {
		defer s.limits.offer()()
		return syscall.ForkExec(path, argv, &attr)
	}
	s.reserve.watch()
	err = s.reaper.register(c, fork)
	for wait := time.Millisecond; passes(err) && wait <= maxReapTime; wait *= 2 {
		time.Sleep(wait)
		err = s.reaper.register(c, fork)
	}
	if err != nil {
		m.close()
		return nil, err
	}
	s.limits.follow(c)
	return c, nil
}

// enterDir moves this thread alone to a directory. The runtime makes no threads
// from one that is locked, so that none shares it until leaveDir.
func enterDir(fd int) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	return os.NewSyscallError("fchdir", unix.Fchdir(fd))
}

// leaveDir lets go of it: nobody else is to find it in use.
func leaveDir() { _ = unix.Chdir("/") }

// takeNamespace moves this thread to a namespace for the next command alone,
// unless it is in one that was prepared.
func (s *spawner) takeNamespace() (mark, error) {
	s.mu.Lock()
	m, prepared := s.fresh[unix.Gettid()]
	delete(s.fresh, unix.Gettid())
	s.mu.Unlock()
	if prepared {
		return m, nil
	}
	return newMark()
}

// prepare does for the next command what that need not wait for then. A failure
// is that command's to find.
func (s *spawner) prepare() {
	if plain != nil {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread := unix.Gettid()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, prepared := s.fresh[thread]; prepared {
		return
	}
	m, err := newMark()
	if err != nil {
		return
	}
	if s.fresh == nil {
		s.fresh = map[int]mark{}
	}
	s.fresh[thread] = m
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

// newMark moves this thread to a new namespace and returns that.
func newMark() (mark, error) {
	if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
		return mark{}, os.NewSyscallError("unshare", err)
	}
	fd, err := unix.Open("/proc/thread-self/ns/uts", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return mark{}, &os.PathError{Op: "open", Path: "/proc/thread-self/ns/uts", Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return mark{}, os.NewSyscallError("fstat", err)
	}
	return mark{fd, st.Ino}, nil
}

func (m mark) close() { _ = unix.Close(m.fd) }
