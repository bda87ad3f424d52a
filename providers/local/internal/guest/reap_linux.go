package guest

import (
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A reaper waits for every process of the sandbox that has no other parent,
// and tells those who wait for one of them.
type reaper struct {
	mu       sync.Mutex
	children map[int]*child
	wake     chan struct{}
}

func newReaper() *reaper {
	return &reaper{children: map[int]*child{}, wake: make(chan struct{}, 1)}
}

// register starts a child while nothing is reaped, so that one which ends at
// once is not taken for somebody else's orphan.
func (r *reaper) register(c *child, start func() (int, error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	forking.Lock()
	pid, err := start()
	forking.Unlock()
	if err != nil {
		return err
	}
	c.pid = pid
	c.bounds.confine(pid)
	r.children[pid] = c
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return nil
}

func (r *reaper) loop() {
	for {
		// Without taking it away yet: that needs the lock.
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil)
		switch err {
		case nil:
			r.reap()
			runtime.Gosched() // to those who wait for what was reaped
		case unix.ECHILD:
			<-r.wake
		}
	}
}

// reap waits for one that has ended.
func (r *reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var status syscall.WaitStatus
	var usage syscall.Rusage
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, &usage)
	if err != nil || pid <= 0 {
		return // and come back
	}
	if c := r.children[pid]; c != nil {
		delete(r.children, pid)
		c.status, c.rusage, c.ended = status, usage, time.Now()
		c.bounds.judge(status)
		close(c.exited)
	}
}

// signal sends sig to the child's process group unless the child has ended:
// while the lock is held its number, which is the group's too, cannot become
// another's.
func (r *reaper) signal(c *child, sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.children[c.pid] != c {
		return syscall.ESRCH
	}
	return syscall.Kill(-c.pid, sig)
}

// signalOne sends sig to the child alone.
func (r *reaper) signalOne(c *child, sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.children[c.pid] != c {
		return syscall.ESRCH
	}
	return syscall.Kill(c.pid, sig)
}
