package shell

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

const maxFD = 10

// reader and writer are ends that stop when the process that uses them does.
type reader interface {
	read(ctx context.Context, b []byte) (int, error)
}

type writer interface {
	write(ctx context.Context, b []byte) (int, error)
}

// desc is an open file description, shared by the processes that inherit it.
type desc struct {
	r     reader
	w     writer
	file  *memfs.File
	refs  atomic.Int32
	tty   bool
	close func()
}

func (d *desc) hold() *desc {
	if d != nil {
		d.refs.Add(1)
	}
	return d
}

func (d *desc) release() {
	if d != nil && d.refs.Add(-1) == 0 && d.close != nil {
		d.close()
	}
}

// fds is the table of a process.
type fds [maxFD]*desc

func (t *fds) clone() fds {
	for _, d := range t {
		d.hold()
	}
	return *t
}

// isTerminal reports whether the descriptor n leads to the process's terminal.
func (t *fds) isTerminal(n int) bool {
	return t != nil && n >= 0 && n < maxFD && t[n] != nil && t[n].tty
}

func (t *fds) closeAll() {
	for i, d := range t {
		t[i] = nil
		d.release()
	}
}

// set replaces an entry, taking over the reference that the caller holds.
func (t *fds) set(i int, d *desc) {
	old := t[i]
	t[i] = d
	old.release()
}

func newDesc(r reader, w writer, close func()) *desc {
	d := &desc{r: r, w: w, close: close}
	d.refs.Store(1)
	return d
}

func newPipe() (r, w *desc) {
	p := &pipe{}
	return newDesc(p, nil, p.closeRead), newDesc(nil, p, p.closeWrite)
}

func fileDesc(f *memfs.File) *desc {
	d := newDesc(fileEnd{f}, fileEnd{f}, func() { f.Close() })
	d.file = f
	return d
}

type fileEnd struct{ f *memfs.File }

func (e fileEnd) read(_ context.Context, b []byte) (int, error)  { return e.f.Read(b) }
func (e fileEnd) write(_ context.Context, b []byte) (int, error) { return e.f.Write(b) }

// textEnd reads a here-document.
type textEnd struct{ *strings.Reader }

func (e textEnd) read(_ context.Context, b []byte) (int, error) { return e.Read(b) }

var errBadFD = errors.New("bad file descriptor")

// stdin and stdout are a process's view of its descriptors: they stop the
// process when it has been killed or when nobody reads what it writes.
type stdin struct {
	ctx  context.Context
	d    *desc
	read int64 // bytes so far
}

func (s *stdin) Read(b []byte) (int, error) {
	if s.d == nil || s.d.r == nil {
		return 0, errBadFD
	}
	if s.ctx.Err() != nil {
		panic(killed(s.ctx))
	}
	n, err := s.d.r.read(s.ctx, b)
	s.read += int64(n)
	if err != nil && s.ctx.Err() != nil {
		panic(killed(s.ctx))
	}
	return n, err
}

// stdinCloser is the input where a file is expected.
type stdinCloser struct{ *stdin }

func (stdinCloser) Close() error { return nil }

type stdout struct {
	ctx context.Context
	d   *desc
}

func (s *stdout) Write(b []byte) (int, error) {
	if s.ctx.Err() != nil {
		panic(killed(s.ctx))
	}
	if s.d == nil || s.d.w == nil {
		return 0, errBadFD
	}
	n, err := s.d.w.write(s.ctx, b)
	switch {
	case err == nil:
	case s.ctx.Err() != nil:
		panic(killed(s.ctx))
	case errors.Is(err, io.ErrClosedPipe):
		panic(exitNow(128 + sigPipe))
	}
	return n, err
}

func (s *stdout) WriteString(t string) (int, error) { return s.Write([]byte(t)) }
