package shell

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

// outsideReader reads what the caller gave as standard input. Such a read may
// block for ever, so it happens on a goroutine of its own whose result is kept
// for the next read when the process that asked has ended meanwhile.
type outsideReader struct {
	r    io.Reader
	mu   sync.Mutex // held by the process that reads
	left []byte
	err  error
	busy chan result
}

type result struct {
	b   []byte
	err error
}

// neverBlocks reports whether the reader can be read without a goroutine.
func neverBlocks(r io.Reader) bool {
	switch r.(type) {
	case *bytes.Reader, *bytes.Buffer, *strings.Reader, *memfs.File:
		return true
	}
	return false
}

type directReader struct{ r io.Reader }

func (d directReader) read(_ context.Context, b []byte) (int, error) { return d.r.Read(b) }

func (o *outsideReader) read(ctx context.Context, b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.left) == 0 && o.err == nil {
		if err := o.fetch(ctx); err != nil {
			return 0, err
		}
	}
	if len(o.left) == 0 {
		return 0, o.err
	}
	n := copy(b, o.left)
	o.left = o.left[n:]
	return n, nil
}

func (o *outsideReader) fetch(ctx context.Context) error {
	if o.busy == nil {
		o.busy = make(chan result, 1)
		go func(ch chan<- result) {
			b := make([]byte, 32<<10)
			n, err := o.r.Read(b)
			ch <- result{b[:n], err}
		}(o.busy)
	}
	select {
	case res := <-o.busy:
		o.left, o.err, o.busy = res.b, res.err, nil
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends a read that is still under way, if the reader can be closed.
func (o *outsideReader) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	c, ok := o.r.(io.Closer)
	if o.busy == nil || !ok {
		return
	}
	c.Close()
	<-o.busy
	o.busy = nil
}

// outsideWriter writes to what the caller gave as standard output. Background
// jobs write concurrently, and must not write once Run has returned.
type outsideWriter struct {
	mu   *sync.Mutex
	w    io.Writer
	over *bool
}

func (o *outsideWriter) write(_ context.Context, b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if *o.over {
		return 0, io.ErrClosedPipe
	}
	return o.w.Write(b)
}
