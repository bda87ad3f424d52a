package providers

import (
	"io"
	"reflect"
	"strings"
	"sync"

	"github.com/computekit/compute"
)

// Capture is an [io.Writer] that keeps the first [compute.MaxCapture] bytes of
// what is written to it and remembers if there was more. It never fails. The
// zero Capture is empty and has no memory; it must not be copied once used, and
// not be used concurrently.
type Capture struct {
	kept      strings.Builder
	truncated bool
}

// Write implements [io.Writer].
func (c *Capture) Write(p []byte) (int, error) {
	n := len(p)
	if room := compute.MaxCapture - c.kept.Len(); n > room {
		c.truncated = true
		p = p[:room]
	}
	c.kept.Write(p)
	return n, nil
}

// String returns what was kept.
func (c *Capture) String() string { return c.kept.String() }

// Truncated reports whether something was not kept.
func (c *Capture) Truncated() bool { return c.truncated }

// Streams is where the output of one command goes: to its writers, and into
// captures where it has none. Make it with [NewStreams].
//
// Stdout and Stderr may be written to concurrently and never fail before the
// command's own writers do. A writer that was given for both gets one Write at
// a time.
type Streams struct {
	Stdout, Stderr io.Writer

	out, err stream
}

// NewStreams returns the streams for cmd.
func NewStreams(cmd *compute.Command) *Streams {
	s := &Streams{}
	s.Stdout, s.Stderr = &s.out, &s.err
	s.out.lock, s.err.lock = &s.out.own, &s.err.own
	s.out.w, s.err.w = cmd.Stdout, cmd.Stderr
	if maybeEqual(cmd.Stdout, cmd.Stderr) {
		s.err.lock = s.out.lock
	}
	return s
}

// Err returns the error of the first Write that failed. The provider must then
// kill the command and return it.
func (s *Streams) Err() error {
	if err := s.out.failure(); err != nil {
		return err
	}
	return s.err.failure()
}

// Close waits for Writes in progress and puts what was captured into res. What
// is written afterwards, as by a child that outlived its parent, is dropped:
// the command's writers are the caller's again.
func (s *Streams) Close(res *compute.Result) {
	s.out.close()
	s.err.close()
	res.Stdout, res.Stderr = s.out.kept.String(), s.err.kept.String()
	res.Truncated = res.Truncated || s.out.kept.truncated || s.err.kept.truncated
}

// maybeEqual reports whether a and b are, or for all one can tell may be, the
// same writer. Others do not share a lock: one that blocks must not hold up the
// other.
func maybeEqual(a, b io.Writer) bool {
	if a == nil || b == nil || reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	return !reflect.ValueOf(a).Comparable() || a == b
}

type stream struct {
	own    sync.Mutex
	lock   *sync.Mutex // own, or that of the other stream
	w      io.Writer   // nil is kept
	kept   Capture
	err    error
	closed bool
}

func (s *stream) Write(p []byte) (int, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	switch {
	case s.closed:
		return len(p), nil
	case s.err != nil:
		return 0, s.err
	case s.w == nil:
		return s.kept.Write(p)
	}
	n, err := s.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	s.err = err
	return n, err
}

func (s *stream) failure() error {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.err
}

func (s *stream) close() {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.closed = true
}
