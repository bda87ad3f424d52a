package engine

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// Most commands of a program are over before anyone could have looked at their
// output. To wait for those takes one thread for a moment, as os/exec does, and
// no goroutine for each stream; their output is read at the end.

const (
	// soonTime is for how long. A pipe that is full meanwhile is not read: this is
	// also what a command with much output loses by it, once.
	soonTime = 5 * time.Millisecond
	// maxSoon is how many threads may wait.
	maxSoon = 64
)

var waitingSoon = make(chan struct{}, maxSoon)

// unwatched reports that it does not matter when output comes, and that nothing
// is to be done while the command runs.
func (c *Command) unwatched() bool {
	return (c.Captured || c.Stdout == nil && c.Stderr == nil) && c.Stdin == nil && c.Signals == nil
}

// endsSoon waits a moment for init's answer, which is that the command has ended.
func (r *run) endsSoon() bool {
	select {
	case waitingSoon <- struct{}{}:
	default:
		return false
	}
	defer func() { <-waitingSoon }()
	raw, err := r.call.SyscallConn()
	if err != nil {
		return false
	}
	soon := false
	_ = raw.Control(func(fd uintptr) { soon = readable(int(fd), soonTime) })
	return soon
}

// readable waits for something to read, or the end.
func readable(fd int, timeout time.Duration) bool {
	polls := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for deadline := time.Now().Add(timeout); timeout > 0; timeout = time.Until(deadline) {
		left := unix.NsecToTimespec(int64(timeout))
		n, err := unix.Ppoll(polls[:], &left, nil)
		if !errors.Is(err, unix.EINTR) {
			return n > 0 && err == nil
		}
	}
	return false
}

// takeAll reads what the pipes hold, and closes those that have ended.
func (r *run) takeAll(p *pipes, outputs *[2]io.Writer) {
	buffer := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buffer)
	for i, fd := range p.fds {
		for {
			n, err := unix.Read(fd, buffer[:])
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if n > 0 {
				outputs[i] = r.write(outputs[i], buffer[:r.budget.take(n, r.call)])
				continue
			}
			if n == 0 && err == nil {
				r.whole.Add(1)
				p.closeFd(i)
			}
			break // and if there is no more at the moment, a pump goes on
		}
	}
}
