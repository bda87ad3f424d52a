//go:build unix

package host

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/computekit/compute/providers/local/internal/engine"
	"github.com/computekit/compute/providers/local/internal/spool"
)

// WriteStdin writes to a background process's standard input, and closes it
// afterwards if last.
func (m *Machine) WriteStdin(ctx context.Context, id string, data io.Reader, last bool) error {
	p, err := m.process(ctx, id)
	if err != nil {
		return err
	}
	w := p.in
	if p.tty != nil {
		w = p.tty
	}
	if w == nil {
		return fmt.Errorf("it has no open input: %w", syscall.EBADF)
	}
	p.input.Lock()
	defer p.input.Unlock()
	return bare(p.write(ctx, w, data, last))
}

// write copies until ctx ends: the process need not read.
func (p *background) write(ctx context.Context, w *os.File, data io.Reader, last bool) error {
	if err := w.SetWriteDeadline(time.Time{}); err != nil {
		return err // closed: an empty write must find out, too
	}
	stop := context.AfterFunc(ctx, func() { _ = w.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	if data != nil {
		if _, err := io.Copy(plainWriter{w}, plainReader{data}); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
	}
	if last && p.tty == nil {
		return w.Close()
	}
	return nil
}

// Output copies a background process's stream to w, from a byte offset on,
// and returns the offset that follows. With follow it lasts until the process
// has ended. Where the bytes asked for are no longer kept, it calls gap, if not
// nil, with how many are missing, and goes on behind them.
func (m *Machine) Output(ctx context.Context, id string, s engine.Stream, offset int64, follow bool, w io.Writer, gap func(int64)) (int64, error) {
	from, err := m.spool(ctx, id, s)
	if err != nil {
		return offset, err
	}
	return m.output(ctx, from, offset, follow, w, gap)
}

// HeldOutput copies all of a stream of Command.Held, as Output does. The process
// does not get far ahead of w.
func (m *Machine) HeldOutput(ctx context.Context, id string, s engine.Stream, w io.Writer, gap func(int64)) error {
	from, err := m.spool(ctx, id, s)
	if err != nil {
		return err
	}
	defer from.Release()
	_, err = m.output(ctx, from, 0, true, &taker{w: w, from: from}, gap)
	return err
}

// A taker tells a spool what it has written.
type taker struct {
	w    io.Writer
	from *spool.Spool
	n    int64
}

func (t *taker) Write(b []byte) (int, error) {
	n, err := t.w.Write(b)
	t.n += int64(n)
	t.from.Take(t.n)
	return n, err
}

func (m *Machine) spool(ctx context.Context, id string, s engine.Stream) (*spool.Spool, error) {
	p, err := m.process(ctx, id)
	if err != nil {
		return nil, err
	}
	if s == engine.Stderr {
		return p.outputs[1], nil
	}
	return p.outputs[0], nil
}

func (m *Machine) output(ctx context.Context, from *spool.Spool, offset int64, follow bool, w io.Writer, gap func(int64)) (int64, error) {
	for {
		data, at, more := from.At(offset)
		switch {
		case len(data) > 0:
			if at > offset && gap != nil {
				gap(at - offset)
			}
			n, err := w.Write(data)
			if offset = at + int64(n); err != nil {
				return offset, err
			}
		case more == nil || !follow:
			return m.outputEnded(at)
		default:
			select {
			case <-more:
			case <-ctx.Done():
				return at, context.Cause(ctx)
			}
		}
		if ctx.Err() != nil {
			return offset, context.Cause(ctx)
		}
	}
}

// outputEnded tells the end of a stream from the end of the machine.
func (m *Machine) outputEnded(at int64) (int64, error) {
	if m.isClosed() {
		return at, engine.ErrGone
	}
	return at, nil
}
