package runlooptest

import (
	"bytes"
	"maps"
	"net/http"
	"sync"
	"time"
)

const (
	replayFor    = time.Minute
	maxReplay    = 1 << 20 // bytes of an answer that is kept
	maxReplayKey = 256     // bytes of a key
)

// replays keeps the answers to requests with an idempotency key
// (X-Request-Id), so that a repetition is answered as the first was and not
// done again. A key that comes back with another body is refused: whoever uses it
// twice would get the answer to something else. Answers that ask to try again (408, 409, 429, 5xx) are not kept.
type replays struct {
	mu   sync.Mutex
	byID map[string]*replay
}

type replay struct {
	done    chan struct{} // closed when the first request was answered
	kept    bool
	expires time.Time
	status  int
	header  http.Header
	body    []byte
	request []byte // the digest of the request's body; nil if it was not JSON
}

// serve answers c's request if it has an idempotency key, by doing it or from
// memory. It reports whether it did. A repetition waits for the first.
func (p *replays) serve(c *call, do func(*call) error) bool {
	key := c.r.Header.Get("X-Request-Id")
	if key == "" || len(key) > maxReplayKey || c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		return false
	}
	key = c.r.Method + " " + c.r.URL.RequestURI() + " " + key
	for {
		r, first := p.find(key)
		if first {
			p.first(key, r, c, do)
			return true
		}
		select {
		case <-r.done:
		case <-c.r.Context().Done():
			return true
		}
		if r.kept {
			r.answer(c)
			return true
		}
	}
}

// answer answers a repetition.
func (r *replay) answer(c *call) {
	if r.request != nil { // the bodies of forms differ from try to try, by their boundaries
		if _, err := c.readBody(maxTextBody); err != nil {
			c.writeError(err)
			return
		}
		if !bytes.Equal(c.body, r.request) {
			c.writeError(fail(http.StatusUnprocessableEntity, "there was another request with this X-Request-Id, which had another body"))
			return
		}
	}
	maps.Copy(c.w.Header(), r.header)
	c.w.WriteHeader(r.status)
	_, _ = c.w.Write(r.body) // the client has gone
}

// find returns the request of that key, and whether it is this one.
func (p *replays) find(key string) (r *replay, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for k, r := range p.byID {
		if r.kept && now.After(r.expires) {
			delete(p.byID, k)
		}
	}
	if r := p.byID[key]; r != nil {
		return r, false
	}
	if p.byID == nil {
		p.byID = map[string]*replay{}
	}
	r = &replay{done: make(chan struct{})}
	p.byID[key] = r
	return r, true
}

// first does the request and keeps its answer, if it is one to be kept.
func (p *replays) first(key string, r *replay, c *call, do func(*call) error) {
	w := &teeWriter{ResponseWriter: c.w}
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if r.kept = w.keep(); r.kept {
			r.status, r.header, r.body, r.request = w.status, w.Header().Clone(), w.body.Bytes(), c.body
			r.expires = time.Now().Add(replayFor)
		} else {
			delete(p.byID, key)
		}
		close(r.done)
	}()
	c.w = w
	c.e.carryOut(c, do)
}

// teeWriter keeps what is written through it.
type teeWriter struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *teeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *teeWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *teeWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.body.Len() <= maxReplay {
		w.body.Write(b)
	}
	return w.ResponseWriter.Write(b)
}

// keep reports whether the answer is complete, small and the last word.
func (w *teeWriter) keep() bool {
	switch w.status {
	case 0, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return false
	}
	return w.status < http.StatusInternalServerError && w.body.Len() <= maxReplay
}
