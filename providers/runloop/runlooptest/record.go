package runlooptest

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
)

const (
	maxRecords    = 4096
	maxRecordBody = 64 << 10
)

// Request is a request that the emulator has received.
type Request struct {
	Op     string // the operation, such as "devboxes.create"; "unknown" if there is none
	Proto  string // such as "HTTP/2.0"
	Method string
	Path   string
	Query  url.Values
	Header http.Header // without the credentials
	Body   []byte      // as far as it was read, 64 KiB at most
	Status int         // of the answer; zero before there is one
}

// recorder remembers the last requests, and counts all.
type recorder struct {
	mu     sync.Mutex
	counts map[string]int
	last   []*Request
}

// Requests returns the last requests, at most 4096, the oldest first. They are
// copies, made at this moment.
func (e *Emulator) Requests() []Request {
	r := &e.requests
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Request, len(r.last))
	for i, req := range r.last {
		all[i] = *req
		all[i].Header = req.Header.Clone()
		all[i].Body = slices.Clone(req.Body)
	}
	return all
}

// Counts returns how many requests there were, by operation.
func (e *Emulator) Counts() map[string]int {
	r := &e.requests
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}

// begin records a request, and its body as it is read.
func (r *recorder) begin(op string, req *http.Request) *Request {
	header := req.Header.Clone()
	for _, name := range []string{"Authorization", tunnelAuthHeader, "Sec-Websocket-Protocol"} {
		if header.Get(name) != "" {
			header.Set(name, "[removed]")
		}
	}
	rec := &Request{Op: op, Proto: req.Proto, Method: req.Method, Path: req.URL.Path, Query: req.URL.Query(), Header: header}
	req.Body = &recordedBody{ReadCloser: req.Body, r: r, rec: rec}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]int{}
	}
	r.counts[op]++
	if len(r.last) == maxRecords {
		r.last = slices.Delete(r.last, 0, maxRecords/2)
	}
	r.last = append(r.last, rec)
	return rec
}

// end records the answer.
func (r *recorder) end(rec *Request, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.Status = status
}

type recordedBody struct {
	io.ReadCloser
	r   *recorder
	rec *Request
}

func (b *recordedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	room := maxRecordBody - len(b.rec.Body)
	b.rec.Body = append(b.rec.Body, p[:min(n, room)]...)
	return n, err
}

// statusWriter notes the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}
