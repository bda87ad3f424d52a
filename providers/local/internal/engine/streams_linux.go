package engine

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// outputs returns the command's writers. If they are the same, its writes
// come one at a time, as with os/exec.
func outputs(cmd Command) (io.Writer, io.Writer) {
	if cmd.Stdout == nil || !same(cmd.Stdout, cmd.Stderr) {
		return orDiscard(cmd.Stdout), orDiscard(cmd.Stderr)
	}
	w := &lockedWriter{w: cmd.Stdout}
	return w, w
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

func same(a, b io.Writer) (equal bool) {
	defer func() { _ = recover() }() // types that cannot be compared
	return a == b
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// feed copies the input until the command does not take it any more.
func (r *run) feed(w *os.File, in io.Reader) {
	go func() {
		defer w.Close()
		_, _ = io.Copy(w, in)
	}()
}

// stopFeeding ends a write that waits for a process which the command has left
// behind: nobody else will end it.
func stopFeeding(w *os.File) { _ = w.SetWriteDeadline(time.Unix(1, 0)) }

// buffers are those of pumps.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// pumpAll copies the streams that have not ended.
func (r *run) pumpAll(p *pipes, outputs [2]io.Writer) {
	p.files()
	for i, f := range p.out {
		if f != nil {
			r.pump(f, outputs[i], &r.owed[i])
		}
	}
}

// pump copies a stream. After an error of the writer it goes on reading: the
// command must not hang because its output is not wanted. What the command
// owes, because it was in the pipe at the exit, comes however slow the writer
// is; for what comes from processes in the background there are deadlines.
func (r *run) pump(f *os.File, w io.Writer, owed *atomic.Int64) {
	r.pumps.Go(func() {
		buffer := buffers.Get().(*[32 << 10]byte)
		defer buffers.Put(buffer)
		for {
			after := r.exited.Load() != 0
			n, err := f.Read(buffer[:])
			if errors.Is(err, os.ErrDeadlineExceeded) {
				// That is about this goroutine's turn, too: what the pipe
				// holds already was written in time.
				n, err = wire.ReadNow(f, buffer[:])
			}
			if n > 0 {
				w = r.write(w, buffer[:r.budget.take(n, r.call)])
			}
			if after {
				owed.Add(-int64(n))
			}
			if errors.Is(err, io.EOF) {
				r.whole.Add(1)
			}
			if err != nil || r.overdue() && owed.Load() <= 0 {
				return
			}
			r.extend(f)
		}
	})
}

// overdue reports that the command has exited so long ago that what still
// comes is not its output.
func (r *run) overdue() bool {
	at := r.exited.Load()
	return at != 0 && time.Since(time.Unix(0, at)) > drainMax
}

func (r *run) write(w io.Writer, p []byte) io.Writer {
	if _, err := w.Write(p); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.writeErr == nil {
			r.writeErr = err
		}
		return io.Discard
	}
	return w
}

// extend waits a little longer for a stream that goes on after the exit.
func (r *run) extend(f *os.File) {
	if at := r.exited.Load(); at != 0 {
		r.limit(f, time.Unix(0, at))
	}
}

func (r *run) limit(f *os.File, exited time.Time) {
	deadline := time.Now().Add(drainQuiet)
	if last := exited.Add(drainMax); deadline.After(last) {
		deadline = last
	}
	_ = f.SetReadDeadline(deadline)
}

// drain takes what the command wrote last.
func (r *run) drain(outputs []*os.File) {
	now := time.Now()
	for i, f := range outputs {
		if f != nil {
			r.owed[i].Store(wire.Pending(f))
		}
	}
	r.exited.Store(now.UnixNano())
	for _, f := range outputs {
		if f != nil {
			r.limit(f, now)
		}
	}
	r.pumps.Wait()
}
