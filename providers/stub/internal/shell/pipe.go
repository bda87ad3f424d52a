package shell

import (
	"context"
	"io"
	"sync"
)

const pipeSize = 64 << 10

// pipe joins two processes. Unlike io.Pipe it has a buffer, as a kernel's pipe
// does, and its blocked ends wake when their own process is ended.
type pipe struct {
	mu      sync.Mutex
	buf     []byte
	start   int
	noRead  bool
	noWrite bool
	changed chan struct{} // closed at the next change; nil if nobody waits
}

// wait unlocks, and returns when something has changed.
func (p *pipe) wait(ctx context.Context) error {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	ch := p.changed
	p.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pipe) wake() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

func (p *pipe) read(ctx context.Context, b []byte) (int, error) {
	for {
		p.mu.Lock()
		if p.start < len(p.buf) || len(b) == 0 {
			n := p.take(b)
			p.mu.Unlock()
			return n, nil
		}
		if p.noWrite {
			p.mu.Unlock()
			return 0, io.EOF
		}
		if err := p.wait(ctx); err != nil {
			return 0, err
		}
	}
}

func (p *pipe) take(b []byte) int {
	n := copy(b, p.buf[p.start:])
	if p.start += n; p.start == len(p.buf) {
		p.buf, p.start = p.buf[:0], 0
	}
	p.wake()
	return n
}

func (p *pipe) write(ctx context.Context, b []byte) (int, error) {
	done := 0
	for {
		p.mu.Lock()
		if p.noRead {
			p.mu.Unlock()
			return done, io.ErrClosedPipe
		}
		done += p.give(b[done:])
		if done == len(b) {
			p.mu.Unlock()
			return done, nil
		}
		if err := p.wait(ctx); err != nil {
			return done, err
		}
	}
}

func (p *pipe) give(b []byte) int {
	room := pipeSize - (len(p.buf) - p.start)
	n := min(room, len(b))
	if n == 0 {
		return 0
	}
	if p.start > 0 {
		p.buf = p.buf[:copy(p.buf, p.buf[p.start:])]
		p.start = 0
	}
	p.buf = append(p.buf, b[:n]...)
	p.wake()
	return n
}

func (p *pipe) closeRead() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noRead = true
	p.wake()
}

func (p *pipe) closeWrite() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noWrite = true
	p.wake()
}
