package runlooptest

import (
	"context"
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"
)

// Fault is something to go wrong on purpose. Of its effects Latency comes first.
// Then either the request is refused, with Reset or Status, and nothing is done;
// or it is done, and AfterWork or Cut spoils the answer.
type Fault struct {
	// Match says which operations it concerns, as a pattern of path.Match for
	// names such as "devboxes.create" and "executions.*". Empty is all.
	Match string

	// Nth is the first matching request, counted from one, that it concerns;
	// zero is the next. Times is how many from there on; zero is one, and less
	// is all.
	Nth, Times int

	Latency time.Duration // before anything else; the client can go away meanwhile

	// Status answers with this status, and the fields after it, instead of
	// doing anything.
	Status      int
	Message     string        // for people; empty is the text of the status
	RetryAfter  time.Duration // in Retry-After, in seconds with a fraction if need be
	ShouldRetry *bool         // in X-Should-Retry, if set
	Header      http.Header   // more headers

	// Reset resets the connection without an answer; with HTTP/2 the stream.
	Reset bool

	// AfterWork does the work first and then, in place of its answer, what
	// Status or Reset say. If neither does, it is Reset.
	AfterWork bool

	// Cut resets the connection after CutAt bytes of the answer's body.
	Cut   bool
	CutAt int64
}

// faults is the list of those still to come.
type faults struct {
	mu   sync.Mutex
	list []*plannedFault
}

type plannedFault struct {
	Fault
	seen, used int
}

// Inject plans a fault. Of several that concern a request, the one that was
// injected first happens. The function that it returns takes it back.
func (e *Emulator) Inject(f Fault) (remove func()) {
	planned := &plannedFault{Fault: f}
	planned.Nth, planned.Times = max(f.Nth, 1), f.Times
	if f.Times == 0 {
		planned.Times = 1
	}
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	e.faults.list = append(e.faults.list, planned)
	return func() {
		e.faults.mu.Lock()
		defer e.faults.mu.Unlock()
		for i, p := range e.faults.list {
			if p == planned {
				e.faults.list = append(e.faults.list[:i:i], e.faults.list[i+1:]...)
				return
			}
		}
	}
}

// take returns the fault for a request, or nil. All faults that match count it.
func (f *faults) take(op string) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var taken *Fault
	for _, p := range f.list {
		if ok, err := path.Match(p.Match, op); p.Match != "" && (!ok || err != nil) {
			continue
		}
		p.seen++
		if taken == nil && p.seen >= p.Nth && (p.Times < 0 || p.used < p.Times) {
			p.used++
			taken = &p.Fault
		}
	}
	return taken
}

// withFault runs work, which answers on the writer it is given, under a fault;
// nil is none.
func (e *Emulator) withFault(f *Fault, w http.ResponseWriter, r *http.Request, work func(http.ResponseWriter)) {
	if f == nil {
		work(w)
		return
	}
	if f.Latency > 0 && !pause(r.Context(), f.Latency) {
		return
	}
	switch {
	case f.AfterWork:
		work(&discard{header: http.Header{}})
		if f.Status == 0 {
			reset(w)
		}
		f.answer(w)
	case f.Reset:
		reset(w)
	case f.Status != 0:
		f.answer(w)
	case f.Cut:
		work(&cutWriter{ResponseWriter: w, left: f.CutAt})
		reset(w) // the answer was no longer than that
	default:
		work(w)
	}
}

func (f *Fault) answer(w http.ResponseWriter) {
	maps.Copy(w.Header(), f.Header)
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatFloat(f.RetryAfter.Seconds(), 'f', -1, 64))
	}
	if f.ShouldRetry != nil {
		w.Header().Set("X-Should-Retry", strconv.FormatBool(*f.ShouldRetry))
	}
	message := f.Message
	if message == "" {
		message = http.StatusText(f.Status)
	}
	_ = writeJSON(w, f.Status, map[string]string{"message": message}) // strings can be encoded
}

// reset resets the connection, or with HTTP/2 the stream. It does not return.
func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		raw := conn
		if t, ok := conn.(*tls.Conn); ok {
			raw = t.NetConn()
		}
		if t, ok := raw.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // makes Close a reset; without it, it is a mere end
		}
		_ = raw.Close()
	}
	panic(http.ErrAbortHandler)
}

// cutWriter resets the connection when more than left bytes are written.
type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (w *cutWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *cutWriter) Write(b []byte) (int, error) {
	if int64(len(b)) < w.left {
		n, err := w.ResponseWriter.Write(b)
		w.left -= int64(n)
		return n, err
	}
	_, _ = w.ResponseWriter.Write(b[:w.left])                // it is to be cut anyhow
	_ = http.NewResponseController(w.ResponseWriter).Flush() // so that they arrive
	reset(w.ResponseWriter)
	return 0, nil
}

// discard is a ResponseWriter for an answer that nobody gets.
type discard struct {
	header http.Header
	status int
}

func (w *discard) Header() http.Header         { return w.header }
func (w *discard) Write(b []byte) (int, error) { return len(b), nil }
func (w *discard) Flush()                      {}

func (w *discard) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// pause waits for d and reports whether ctx did not end first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
