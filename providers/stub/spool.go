package stub

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/computekit/compute"
)

// spool keeps the last bytes of a process's output, at most
// [compute.MaxCapture], for any number of readers.
type spool struct {
	mu     sync.Mutex
	data   []byte
	first  int64 // offset of data[0] in the output
	closed bool
	more   chan struct{} // closed when there is more to read
}

func newSpool() *spool { return &spool{more: make(chan struct{})} }

func (s *spool) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = append(s.data, b...)
	if len(s.data) > 2*compute.MaxCapture {
		s.trim()
	}
	s.wake()
	return len(b), nil
}

// trim drops what is too old, seldom enough to cost little.
func (s *spool) trim() {
	if drop := len(s.data) - compute.MaxCapture; drop > 0 {
		s.data = append([]byte(nil), s.data[drop:]...)
		s.first += int64(drop)
	}
}

func (s *spool) wake() {
	close(s.more)
	s.more = make(chan struct{})
}

func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trim()
	s.closed = true
	s.wake()
}

func (s *spool) lost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first > 0
}

func (s *spool) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.data)
}

// next returns a copy of what follows pos, the new position, and what to wait
// for if there is nothing; nil is the end.
func (s *spool) next(pos int64) ([]byte, int64, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pos = max(pos, s.first)
	data := bytes.Clone(s.data[pos-s.first:])
	if len(data) == 0 && s.closed {
		return nil, pos, nil
	}
	return data, pos + int64(len(data)), s.more
}

// copyTo writes all that is and comes to w.
func (s *spool) copyTo(ctx context.Context, w io.Writer) error {
	pos := int64(0)
	for {
		data, next, more := s.next(pos)
		pos = next
		if len(data) > 0 {
			if _, err := w.Write(data); err != nil {
				return err
			}
			continue
		}
		if more == nil {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// pipe is the input of a background process: bounded, with any number of
// writers, each under a context of its own.
type pipe struct {
	mu      sync.Mutex
	data    []byte
	closed  bool
	changed chan struct{}
}

const pipeSize = 64 << 10

func newPipe() *pipe { return &pipe{changed: make(chan struct{})} }

func (p *pipe) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *pipe) Read(b []byte) (int, error) {
	for {
		p.mu.Lock()
		if n := copy(b, p.data); n > 0 || len(b) == 0 {
			p.data = p.data[n:]
			p.wake()
			p.mu.Unlock()
			return n, nil
		}
		closed, changed := p.closed, p.changed
		p.mu.Unlock()
		if closed {
			return 0, io.EOF
		}
		<-changed
	}
}

// Close ends the input.
func (p *pipe) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		p.wake()
	}
	return nil
}

func (p *pipe) writer(ctx context.Context) io.WriteCloser { return &pipeWriter{p, ctx} }

type pipeWriter struct {
	*pipe
	ctx context.Context // covers all writes, as compute.OpenStdin says
}

func (w *pipeWriter) Write(b []byte) (written int, err error) {
	for len(b) > 0 {
		n, wait, err := w.put(b)
		if err != nil {
			return written, err
		}
		written, b = written+n, b[n:]
		if n > 0 {
			continue
		}
		select {
		case <-wait:
		case <-w.ctx.Done():
			return written, w.ctx.Err()
		}
	}
	return written, nil
}

func (w *pipeWriter) put(b []byte) (int, <-chan struct{}, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.ctx.Err(); err != nil {
		return 0, nil, err
	}
	if w.closed {
		return 0, nil, io.ErrClosedPipe
	}
	n := min(len(b), pipeSize-len(w.data))
	if n > 0 {
		w.data = append(w.data, b[:n]...)
		w.wake()
	}
	return n, w.changed, nil
}
