package guest

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// kept are the capabilities that commands running as root have inside their
// own namespaces: what package managers and servers use.
var kept = map[uintptr]bool{
	unix.CAP_CHOWN: true, unix.CAP_DAC_OVERRIDE: true, unix.CAP_FOWNER: true, unix.CAP_FSETID: true,
	unix.CAP_KILL: true, unix.CAP_SETGID: true, unix.CAP_SETUID: true, unix.CAP_SETPCAP: true,
	unix.CAP_NET_BIND_SERVICE: true, unix.CAP_SYS_CHROOT: true,
}

// A spawner starts all commands from one thread that has dropped the other
// capabilities from its bounding set. A command inherits the thread's set.
//
// The thread also moves to a new UTS namespace for each command. No command
// may leave or make one, so the namespace marks all its descendants, however
// they detach themselves.
type spawner struct {
	reaper *reaper
	jobs   chan *job
}

type job struct {
	path  string
	argv  []string
	attr  syscall.ProcAttr
	child *child
	err   error
	done  chan struct{}
}

// A child is a started command.
type child struct {
	pid     int
	mark    *os.File // its UTS namespace; open, so that the number is not used again
	inode   uint64
	started time.Time
	exited  chan struct{}
	status  syscall.WaitStatus
	rusage  syscall.Rusage
	ended   time.Time
}

func newSpawner() (*spawner, error) {
	s := &spawner{reaper: newReaper(), jobs: make(chan *job)}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread is unlike the others
		err := dropBounding()
		ready <- err
		if err == nil {
			s.loop()
		}
	}()
	return s, <-ready
}

func dropBounding() error {
	for cap := uintptr(0); cap <= 63; cap++ {
		if kept[cap] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, cap, 0, 0, 0); err != nil {
			if err == unix.EINVAL { // beyond the last capability
				return nil
			}
			return os.NewSyscallError("prctl(PR_CAPBSET_DROP)", err)
		}
	}
	return nil
}

func (s *spawner) loop() {
	for j := range s.jobs {
		j.child, j.err = s.spawn(j)
		close(j.done)
	}
}

// start starts a program and returns when it is executing.
func (s *spawner) start(path string, argv []string, attr syscall.ProcAttr) (*child, error) {
	j := &job{path: path, argv: argv, attr: attr, done: make(chan struct{})}
	s.jobs <- j
	<-j.done
	return j.child, j.err
}

func (s *spawner) spawn(j *job) (*child, error) {
	if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
		return nil, fmt.Errorf("marking the command: %w", err)
	}
	mark, inode, err := ownMark()
	if err != nil {
		return nil, fmt.Errorf("marking the command: %w", err)
	}
	c := &child{mark: mark, inode: inode, started: time.Now(), exited: make(chan struct{})}
	err = s.reaper.register(c, func() (int, error) {
		return syscall.ForkExec(j.path, j.argv, &j.attr)
	})
	if err != nil {
		_ = mark.Close()
		return nil, err
	}
	return c, nil
}

func ownMark() (*os.File, uint64, error) {
	f, err := os.Open("/proc/thread-self/ns/uts")
	if err != nil {
		return nil, 0, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, st.Ino, nil
}
