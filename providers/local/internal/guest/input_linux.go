package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// maxWriters bounds how many connections may wait to write to one process, and
// stallTime is how often those that wait look whether the host is still there:
// a process that never reads must not hold what nobody waits for any more.
const (
	maxWriters = 16
	stallTime  = 250 * time.Millisecond
)

var errHungUp = errors.New("the host has hung up")

// stdin writes what comes in data frames, ended by a message, to the process.
func (s *server) stdin(c wire.Conn, r *wire.Request) {
	s.withProcess(c, r, func(p *process) {
		w := p.stdio.in
		if p.stdio.tty {
			w = p.stdio.out
		}
		if w == nil {
			reply(c, &os.PathError{Op: "write", Path: "stdin", Err: syscall.EBADF})
			return
		}
		if err := p.takeInput(c); err != nil {
			reply(c, err)
			return
		}
		defer p.leaveInput()
		err := pour(c, w)
		if r.EOF && !p.stdio.tty && err == nil {
			err = w.Close()
		}
		reply(c, err)
	})
}

// takeInput waits for other writers to the process to be done.
func (p *process) takeInput(c wire.Conn) error {
	if p.writers.Add(1) > maxWriters {
		p.writers.Add(-1)
		return &opError{wire.CodeLimit, fmt.Errorf("%d writers wait for the process to read", maxWriters)}
	}
	for wait := time.Millisecond; !p.input.TryLock(); wait = min(2*wait, stallTime) {
		time.Sleep(wait)
		if hungUp(c) {
			p.writers.Add(-1)
			return errHungUp
		}
	}
	return nil
}

func (p *process) leaveInput() {
	p.input.Unlock()
	p.writers.Add(-1)
}

// pour copies from the connection, as long as the host is there.
func pour(c wire.Conn, w *os.File) error {
	in := &frameReader{conn: c}
	buf := make([]byte, 32<<10)
	for {
		n, err := in.Read(buf)
		if werr := writeWhile(c, w, buf[:n]); werr != nil {
			return werr
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func writeWhile(c wire.Conn, w *os.File, data []byte) error {
	for len(data) > 0 {
		_ = w.SetWriteDeadline(time.Now().Add(stallTime))
		n, err := w.Write(data)
		data = data[n:]
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && hungUp(c):
			return errHungUp
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
	}
	return nil
}

// hungUp reports that the host has ended the connection, without reading what
// it may have sent before.
func hungUp(c wire.Conn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds, 0)
		gone = err == nil && n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone || err != nil
}
