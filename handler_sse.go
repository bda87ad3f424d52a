package compute

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"
)

// keepAlive is how often a stream is heard of, lest a proxy gives it up.
const keepAlive = 15 * time.Second

// stream carries out req, sending its output as events and at the end the
// Response as one.
func (h *handler) stream(w http.ResponseWriter, r *http.Request, req *Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := &eventStream{w: w, rc: http.NewResponseController(w), gone: cancel}
	stdout, stderr := &outputEvents{s: s, name: "stdout"}, &outputEvents{s: s, name: "stderr"}
	stop := s.keepAlive(keepAlive)
	resp := (&exchange{c: h.c, req: req, stdout: stdout, stderr: stderr}).run(ctx)
	stop()
	_ = stdout.flush() // if they fail, so will the result
	_ = stderr.flush()
	if !resp.Success && s.abandon() {
		h.reply(w, r, resp)
		return
	}
	s.end(h.encode(ctx, resp))
}

// eventStream writes server-sent events. The first begins the answer.
type eventStream struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	rc    *http.ResponseController
	gone  context.CancelFunc // called when nobody reads any more
	begun bool
	ended bool
}

func (s *eventStream) begin() {
	header := s.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Accel-Buffering", "no") // proxies that collect answers must not
	s.begun = true
}

// send writes one event, or a comment, and gives up on clients that do not
// take it.
func (s *eventStream) send(frame []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return io.ErrClosedPipe
	}
	if !s.begun {
		s.begin()
	}
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // if it can
	_, err := s.w.Write(frame)
	if err == nil {
		err = s.rc.Flush()
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) { // of middleware that cannot flush
		s.gone()
		return err
	}
	return nil
}

func (s *eventStream) event(name string, data []byte) error {
	return s.send(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, data))
}

// abandon ends a stream that has not begun, and reports whether it had not.
func (s *eventStream) abandon() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = s.ended || !s.begun
	return !s.begun
}

// end sends the last event, after which nothing may use the ResponseWriter.
func (s *eventStream) end(result []byte) {
	_ = s.event("result", result) // the client may have gone; nobody to tell
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	_ = s.rc.SetWriteDeadline(time.Time{})
}

// keepAlive sends comments until stop is called, which waits for the last.
func (s *eventStream) keepAlive(interval time.Duration) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				_ = s.send([]byte(":\n\n")) // a failure has cancelled the command
			}
		}
	}()
	return func() { close(quit); <-done }
}

// outputEvents makes events of a command's output. The beginning of a character
// waits for its end, so that text stays text.
type outputEvents struct {
	s    *eventStream
	name string
	held []byte
}

// outputEvent is one of its fields.
type outputEvent struct {
	Text   string `json:"text,omitempty"`
	Base64 []byte `json:"base64,omitempty"`
}

func (o *outputEvents) Write(p []byte) (int, error) {
	buf := p
	if len(o.held) > 0 {
		buf = append(o.held, p...)
	}
	whole := len(buf) - unfinished(buf)
	if err := o.emit(buf[:whole]); err != nil {
		return 0, err
	}
	o.held = bytes.Clone(buf[whole:])
	return len(p), nil
}

func (o *outputEvents) flush() error {
	err := o.emit(o.held)
	o.held = nil
	return err
}

func (o *outputEvents) emit(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	e := outputEvent{Base64: p}
	if utf8.Valid(p) {
		e = outputEvent{Text: string(p)}
	}
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return o.s.event(o.name, data)
}

// unfinished returns how many bytes at the end of p are the beginning of a
// character.
func unfinished(p []byte) int {
	for n := 1; n <= min(len(p), utf8.UTFMax-1); n++ {
		if tail := p[len(p)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
