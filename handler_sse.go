package compute

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/computekit/compute/internal/jsontext"
)

// keepAlive is how often a stream is heard of, lest a proxy gives it up.
const keepAlive = 15 * time.Second

// stream carries out the request of x, sending its output as events and at the
// end the Response as one.
func (h *handler) stream(w http.ResponseWriter, r *http.Request, x *exchange) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := &eventStream{w: w, rc: http.NewResponseController(w), gone: cancel}
	stdout, stderr := &outputEvents{s: s, name: "stdout", sent: &s.sent.Stdout}, &outputEvents{s: s, name: "stderr", sent: &s.sent.Stderr}
	x.events, x.lastEvent = s, r.Header.Get("Last-Event-ID")
	x.stdout, x.stderr = x.limitOutput(stdout), x.limitOutput(stderr)
	if x.req.Action == actionTemplate || x.req.Action == "compute.template.logs" {
		stdout.name = "log"
	}
	stop := s.keepAlive(keepAlive)
	resp := x.run(ctx)
	stop()
	_ = stdout.flush() // if they fail, so will the result
	_ = stderr.flush()
	if !resp.Success && s.abandon() {
		h.reply(w, r, x)
		return
	}
	s.end(h.encode(ctx, x))
}

// errWantsEvents is for what has no end.
var errWantsEvents = &requestError{status: http.StatusNotAcceptable, code: "invalid",
	msg: "this action needs Accept: text/event-stream"}

// sendAll makes an event of each value until the sequence or the client ends.
func sendAll[T any](x *exchange, name string, seq iter.Seq2[T, error]) error {
	if x.events == nil {
		return errWantsEvents
	}
	for v, err := range seq {
		if errors.Is(err, ErrTruncated) { // some were lost; the rest comes
			err = x.events.numbered("truncated", struct{}{})
			if err == nil {
				continue
			}
		}
		if err == nil {
			err = x.events.numbered(name, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// eventStream writes server-sent events. The first begins the answer.
type eventStream struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	rc    *http.ResponseController
	gone  context.CancelFunc // called when nobody reads any more
	begun bool
	ended bool
	sent  Offsets // what the client has of the output
	count int     // of events that are not output
	buf   []byte
}

// resume makes the offsets of what is sent begin where the client is.
func (s *eventStream) resume(from Offsets) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = from
}

// numbered sends v as an event whose ID is its number.
func (s *eventStream) numbered(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.count++
	n := s.count
	s.mu.Unlock()
	return s.send(fmt.Appendf(nil, "event: %s\nid: %d\ndata: %s\n\n", name, n, data))
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
	return s.sendLocked(frame)
}

func (s *eventStream) sendLocked(frame []byte) error {
	if s.ended {
		return io.ErrClosedPipe
	}
	if !s.begun {
		s.begin()
	}
	err := writeAll(s.w, s.rc, frame)
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
				if s.send([]byte(":\n\n")) != nil { // which has cancelled the command
					return
				}
			}
		}
	}()
	return func() { close(quit); <-done }
}

// maxEvent bounds the output in one event, and so what a stream holds.
const maxEvent = 32 << 10

// outputEvents makes events of a command's output. The beginning of a character
// waits for its end, so that text stays text.
type outputEvents struct {
	s    *eventStream
	name string
	sent *int64 // of s, which guards it
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
	for len(buf) > 0 {
		part := buf[:min(len(buf), maxEvent)]
		whole := len(part) - unfinished(part)
		if err := o.emit(part[:whole]); err != nil {
			return 0, err
		}
		buf = buf[whole:]
		if whole == 0 || len(buf) < utf8.UTFMax && unfinished(buf) == len(buf) {
			break
		}
	}
	o.held = bytes.Clone(buf)
	return len(p), nil
}

func (o *outputEvents) flush() error {
	err := o.emit(o.held)
	o.held = nil
	return err
}

// emit sends p with an ID that says what the client then has.
func (o *outputEvents) emit(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	*o.sent += int64(len(p))
	frame := append(o.s.buf[:0], "event: "...)
	frame = append(append(frame, o.name...), "\nid: "...)
	frame = strconv.AppendInt(frame, o.s.sent.Stdout, 10)
	frame = strconv.AppendInt(append(frame, '-'), o.s.sent.Stderr, 10)
	if utf8.Valid(p) {
		frame = appendJSONString(append(frame, "\ndata: {\"text\":"...), p)
	} else {
		frame = base64.StdEncoding.AppendEncode(append(frame, "\ndata: {\"base64\":\""...), p)
		frame = append(frame, '"')
	}
	o.s.buf = append(frame, "}\n\n"...)
	return o.s.sendLocked(o.s.buf)
}

// appendJSONString appends p, which is UTF-8, as a JSON string.
func appendJSONString(dst, p []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for {
		n := jsontext.Plain(p)
		dst = append(dst, p[:n]...)
		if n == len(p) {
			return append(dst, '"')
		}
		switch b := p[n]; b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		}
		p = p[n+1:]
	}
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
