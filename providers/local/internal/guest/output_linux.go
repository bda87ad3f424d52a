package guest

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/spool"
	"github.com/computekit/compute/providers/local/internal/wire"
)

const drainTime = 50 * time.Millisecond

// hold has the process wait for readers, if the request asks for that.
func (p *process) hold(r *wire.Request) {
	if r.Hold && r.Stream&wire.Stdout != 0 {
		p.stdout.Hold()
	}
	if r.Hold && r.Stream&wire.Stderr != 0 {
		p.stderr.Hold()
	}
}

// collect spools a stream until its last writer has closed it. The stream
// counts as ended a moment after the process has, and with all that it had
// written, even if children that it left behind keep it open; what they write
// is still kept.
func (p *process) collect(sp *spool.Spool, f *os.File) {
	defer sp.Close()
	if f == nil {
		return
	}
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	t := &tap{p: p, sp: sp, raw: raw, ended: make(chan struct{})}
	go t.settle()
	defer close(t.ended)
	buf := make([]byte, 16<<10)
	for err == nil {
		if readErr := raw.Read(func(fd uintptr) bool { return t.step(int(fd), buf, &err) }); readErr != nil {
			return
		}
	}
}

// A tap is a stream of a process on its way to a spool.
type tap struct {
	p     *process
	sp    *spool.Spool
	raw   syscall.RawConn
	ended chan struct{}
	mu    sync.Mutex // held from a read to the end of its write
}

// step reads and writes once. It returns false if there is nothing to read yet.
func (t *tap) step(fd int, buf []byte, end *error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := unix.Read(fd, buf)
	switch {
	case errors.Is(err, unix.EINTR):
		return true
	case errors.Is(err, unix.EAGAIN):
		return false
	case err == nil && n == 0:
		err = io.EOF
	}
	if *end = err; n > 0 {
		_, _ = t.sp.Write(buf[:n])
		t.p.bounds.wrote(t.p.child, n)
	}
	return true
}

// settle closes the spool when the process has exited and what was on its way
// then has arrived.
func (t *tap) settle() {
	select {
	case <-t.p.exited:
	case <-t.ended:
		return
	}
	t.sp.Release() // what is still to come is little
	for size := t.owed(); ; {
		select {
		case <-t.ended:
			return
		case <-time.After(drainTime):
		}
		if t.sp.Size() >= size {
			t.sp.Close()
			return
		}
	}
}

// owed is the size that the spool will have with what can be read now.
func (t *tap) owed() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	size := t.sp.Size()
	_ = t.raw.Control(func(fd uintptr) {
		if n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ); err == nil {
			size += int64(n)
		}
	})
	return size
}

// output sends a stream from an offset on, each portion after its offset,
// because bytes that are no longer kept leave gaps.
func (s *server) output(c wire.Conn, r *wire.Request) {
	s.withProcess(c, r, func(p *process) {
		sp := p.stdout
		if r.Stream == wire.Stderr {
			sp = p.stderr
		}
		if r.Hold {
			defer sp.Release()
		}
		gone := hangup(c)
		offset := r.Offset
		for {
			data, at, more := sp.At(offset)
			if len(data) == 0 && (more == nil || !r.Follow) {
				_ = c.Send(&wire.Reply{Done: true, Offset: at})
				return
			}
			if len(data) == 0 {
				select {
				case <-more:
				case <-gone:
					return
				}
				continue
			}
			frame := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(data)), uint64(at))
			if c.WriteFrame(wire.KindData, append(frame, data...)) != nil {
				return
			}
			offset = at + int64(len(data))
			if r.Hold {
				sp.Take(offset)
			}
		}
	})
}
