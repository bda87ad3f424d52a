//go:build unix

package host

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// quietTime is how long output may pause, once the command has exited,
	// before what still holds it open counts as a process in the background.
	quietTime = 50 * time.Millisecond
	// quietMax bounds that for a background process that never pauses, as
	// soon as a full pipe has been read: that may have been the command's.
	quietMax = 2 * time.Second
	pipeMax  = 1 << 20
)

// A pump copies an output of a command to its writer until nothing has it open
// any more. It goes on reading when nobody wants the output.
type pump struct {
	f    *os.File
	done chan struct{}

	mu  sync.Mutex // held from a read to the end of its write
	w   io.Writer
	err error // of the writer
	n   int64
}

func startPump(f *os.File, w io.Writer) *pump {
	if w == nil {
		w = io.Discard
	}
	p := &pump{f: f, w: w, done: make(chan struct{})}
	go p.run() // ends with the last writer, or with f.Close
	return p
}

func (p *pump) run() {
	defer close(p.done)
	defer p.f.Close()
	raw, err := p.f.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 32<<10)
	for ended := false; !ended && err == nil; {
		err = raw.Read(func(fd uintptr) (ready bool) {
			ready, ended = p.step(int(fd), buf)
			return ready
		})
	}
}

// step reads and writes once. It is not ready if there is nothing to read yet.
func (p *pump) step(fd int, buf []byte) (ready, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := unix.Read(fd, buf)
	switch {
	case errors.Is(err, unix.EINTR):
		return true, false
	case errors.Is(err, unix.EAGAIN):
		return false, false
	case err != nil || n <= 0: // on a terminal the end is an error
		return true, true
	}
	p.n += int64(n)
	if _, err := p.w.Write(buf[:n]); err != nil {
		p.err, p.w = err, io.Discard
	}
	return true, false
}

// settle waits, after the command has exited, until its output has been
// written. It reports whether that was the end, or others have it open still.
func (p *pump) settle(exited time.Time) (ended bool) {
	p.mu.Lock()
	first := p.n
	p.mu.Unlock()
	for seen := first; ; {
		pause := time.NewTimer(quietTime)
		select {
		case <-p.done:
			pause.Stop()
			return true
		case <-pause.C:
		}
		late := time.Since(exited) > quietMax
		n, pending := p.progress()
		if !pending && (n == seen || late) || late && n-first >= pipeMax {
			return false
		}
		seen = n
	}
}

// progress tells how much has been written, and whether there is more to read.
func (p *pump) progress() (n int64, pending bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	raw, err := p.f.SyscallConn()
	if err != nil {
		return p.n, false
	}
	_ = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		got, err := unix.Poll(poll, 0)
		pending = got > 0 && err == nil
	})
	return p.n, pending
}

// detach drops what is still to come. It returns the error of the writer.
func (p *pump) detach() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.w = io.Discard
	return p.err
}
