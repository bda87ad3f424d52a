package runloop

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	maxAlong  = 64 << 10 // bytes of input that go along with a command
	inputWait = 10 * time.Millisecond
	maxPiece  = 48 << 10 // bytes in a line of input; a multiple of three
)

// input prepares a command's input. What is at its end at once goes along with
// the command, or as a file ahead of it; for the rest, which is read while the
// command runs, it returns a feeder.
func (s *Sandbox) input(ctx context.Context, l *launch) (*feeder, error) {
	in := l.cmd.Stdin
	if in == nil {
		return nil, nil
	}
	along := int64(maxAlong)
	if ctx.Value(inlineKey{}) != nil {
		along = maxInline
	}
	size, known := inputSize(in)
	if known && size <= along {
		data, err := io.ReadAll(io.LimitReader(in, along+1))
		if err != nil {
			return nil, &readError{err}
		}
		l.inline = data
		return nil, nil
	}
	if known {
		l.file = stateDir + "-in-" + l.id
		up, cancel := bounded(ctx, s.p.timeouts.Upload)
		defer cancel()
		return nil, s.p.client.Devboxes.UploadFile(up, s.id, l.file, in)
	}
	f := newFeeder(in)
	data, whole, err := f.head(ctx)
	if err != nil {
		f.stop()
		return nil, err
	}
	if whole {
		l.inline = data
		return nil, nil
	}
	l.feed = true
	f.pending = data
	return f, nil
}

// inputSize returns how much there is to read, of readers that know.
func inputSize(in io.Reader) (int64, bool) {
	switch in := in.(type) {
	case *bytes.Reader:
		return int64(in.Len()), true
	case *strings.Reader:
		return int64(in.Len()), true
	case *bytes.Buffer:
		return int64(in.Len()), true
	case *os.File:
		info, err := in.Stat()
		if err != nil || !info.Mode().IsRegular() {
			return 0, false
		}
		at, err := in.Seek(0, io.SeekCurrent)
		return max(info.Size()-at, 0), err == nil
	}
	return 0, false
}

// feeder reads a command's input ahead. Its reading goroutine ends with the
// reader or, when that blocks for ever, never: nobody waits for it then.
type feeder struct {
	pieces  chan piece
	quit    chan struct{}
	once    sync.Once
	pending []byte // read, and not sent yet
}

type piece struct {
	data []byte
	err  error // io.EOF at the end
}

func newFeeder(in io.Reader) *feeder {
	f := &feeder{pieces: make(chan piece), quit: make(chan struct{})}
	go func() {
		for {
			buf := make([]byte, maxPiece)
			n, err := in.Read(buf)
			if n > 0 && !f.give(piece{data: buf[:n]}) {
				return
			}
			if err != nil {
				f.give(piece{err: err})
				return
			}
		}
	}()
	return f
}

func (f *feeder) give(p piece) bool {
	select {
	case f.pieces <- p:
		return true
	case <-f.quit:
		return false
	}
}

func (f *feeder) stop() { f.once.Do(func() { close(f.quit) }) }

// head returns the beginning of the input, and whether that is all. It waits a
// moment for what comes at once.
func (f *feeder) head(ctx context.Context) (data []byte, whole bool, err error) {
	timer := time.NewTimer(inputWait)
	defer timer.Stop()
	data = []byte{}
	for len(data) <= maxAlong {
		select {
		case p := <-f.pieces:
			data = append(data, p.data...)
			if errors.Is(p.err, io.EOF) {
				return data, true, nil
			}
			if p.err != nil {
				return nil, false, &readError{p.err}
			}
		case <-timer.C:
			return data, false, nil
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	return data, false, nil
}

// readError is what a command's own reader failed with.
type readError struct{ err error }

func (e *readError) Error() string { return "read the command's input: " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// serve sends the input to an execution until ctx ends, and reports a failure of
// the reader or of the sending, while the command runs. The function that it
// returns ends that.
func (f *feeder) serve(ctx context.Context, s *Sandbox, id string, report func(error)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	w := &stdin{ctx: ctx, s: s, id: id}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer f.stop()
		err := f.send(ctx, w)
		var own *readError
		switch {
		case errors.As(err, &own):
			report(own)
		case err != nil && ctx.Err() == nil && !errors.Is(err, fs.ErrClosed):
			report(err)
		}
	}()
	return func() { cancel(); <-ended }
}

func (f *feeder) send(ctx context.Context, w *stdin) error {
	if _, err := w.Write(f.pending); err != nil {
		return err
	}
	f.pending = nil
	for {
		select {
		case p := <-f.pieces:
			if errors.Is(p.err, io.EOF) {
				return w.Close()
			}
			if p.err != nil {
				return &readError{p.err}
			}
			if _, err := w.Write(p.data); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stdin is the input of a command that runs feedScript.
type stdin struct {
	ctx context.Context // of all that is written
	s   *Sandbox
	id  string // of the execution

	mu     sync.Mutex
	n      int
	key    string
	closed bool
}

// Write sends p in pieces. Bytes arrive as they are.
func (w *stdin) Write(p []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, fs.ErrClosed
	}
	for n < len(p) {
		piece := p[n:min(n+maxPiece, len(p))]
		if err := w.line(base64.StdEncoding.EncodeToString(piece)); err != nil {
			return n, err
		}
		n += len(piece)
	}
	return n, nil
}

// Close ends the input.
func (w *stdin) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return fs.ErrClosed
	}
	w.closed = true
	return w.line(".")
}

// maxLines is how often a line is sent whose answer was lost.
const maxLines = 3

// line sends one line. It has a key of its own, so that it can be sent again.
func (w *stdin) line(text string) error {
	if w.key == "" {
		w.key = newID()
	}
	w.n++
	text = w.key + "-" + strconv.Itoa(w.n) + " " + text + "\n"
	for try := 1; ; try++ {
		view, err := w.s.p.client.Executions.SendStdin(w.ctx, w.s.id, w.id, &runloopapi.SendStdinParams{Text: &text})
		switch {
		case err == nil && view.Success:
			return nil
		case err == nil:
			return fs.ErrClosed // it has ended
		case w.ctx.Err() != nil || !lost(err) || try == maxLines:
			return err
		}
	}
}
