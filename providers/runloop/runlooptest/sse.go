package runlooptest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

const heartbeat = 15 * time.Second

// events is an answer that is a stream of server-sent events.
type events struct {
	w     http.ResponseWriter
	flush *http.ResponseController
}

// events begins such an answer. Its status is sent at once.
func (c *call) events() *events {
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	c.w.WriteHeader(http.StatusOK)
	ev := &events{c.w, http.NewResponseController(c.w)}
	_ = ev.flush.Flush() // if the client has gone, send will say so
	return ev
}

// send sends one event with v as its data. There is no id line: some clients
// would take it for an event.
func (ev *events) send(v any) error {
	var b bytes.Buffer
	b.WriteString("data: ")
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.WriteByte('\n') // after the encoder's own: an empty line ends the event
	if _, err := ev.w.Write(b.Bytes()); err != nil {
		return err
	}
	return ev.flush.Flush()
}

// beat sends a comment, so that nobody takes the connection for dead.
func (ev *events) beat() error {
	if _, err := ev.w.Write([]byte(": keep-alive\n\n")); err != nil {
		return err
	}
	return ev.flush.Flush()
}
