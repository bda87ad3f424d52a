package main

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runlooptest"
)

// handler is the API of an emulator, with the operations of the scripts before it.
func handler(e *runlooptest.Emulator, api http.Handler, backend compute.Compute) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", api)
	mux.HandleFunc("POST /interop/faults", func(w http.ResponseWriter, r *http.Request) { inject(e, w, r) })
	mux.HandleFunc("GET /interop/requests", func(w http.ResponseWriter, r *http.Request) { requests(e, w, r) })
	mux.HandleFunc("POST /interop/evict/{id}", func(w http.ResponseWriter, r *http.Request) {
		if err := e.Evict(r.PathValue("id"), time.Minute); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, struct{}{})
	})
	mux.HandleFunc("GET /interop/left", func(w http.ResponseWriter, r *http.Request) {
		l, err := whatIsLeft(r.Context(), backend)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, l)
	})
	return mux
}

// fault is runlooptest.Fault in JSON.
type fault struct {
	Match        string            `json:"match"`
	Nth          int               `json:"nth"`
	Times        int               `json:"times"`
	LatencyMS    int64             `json:"latency_ms"`
	Status       int               `json:"status"`
	Message      string            `json:"message"`
	RetryAfterMS int64             `json:"retry_after_ms"`
	ShouldRetry  *bool             `json:"should_retry"`
	Header       map[string]string `json:"header"`
	Reset        bool              `json:"reset"`
	AfterWork    bool              `json:"after_work"`
	CutAt        *int64            `json:"cut_at"`
}

func inject(e *runlooptest.Emulator, w http.ResponseWriter, r *http.Request) {
	var f fault
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	planned := runlooptest.Fault{
		Match: f.Match, Nth: f.Nth, Times: f.Times, Latency: time.Duration(f.LatencyMS) * time.Millisecond,
		Status: f.Status, Message: f.Message, RetryAfter: time.Duration(f.RetryAfterMS) * time.Millisecond,
		ShouldRetry: f.ShouldRetry, Header: http.Header{}, Reset: f.Reset, AfterWork: f.AfterWork,
	}
	for name, value := range f.Header {
		planned.Header.Set(name, value)
	}
	if f.CutAt != nil {
		planned.Cut, planned.CutAt = true, *f.CutAt
	}
	e.Inject(planned)
	answer(w, struct{}{})
}

// request is what scripts are told of a runlooptest.Request.
type request struct {
	Op      string            `json:"op"`
	Proto   string            `json:"proto"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Status  int               `json:"status"`
}

// requests answers the last requests, of one operation if the query names it.
func requests(e *runlooptest.Emulator, w http.ResponseWriter, r *http.Request) {
	op, out := r.URL.Query().Get("op"), []request{}
	for _, req := range e.Requests() {
		if op != "" && op != req.Op {
			continue
		}
		headers := map[string]string{}
		for name := range req.Header {
			headers[name] = req.Header.Get(name)
		}
		out = append(out, request{req.Op, req.Proto, req.Method, req.Path, headers, string(req.Body), req.Status})
	}
	answer(w, out)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) //nolint:errchkjson // all that is answered can be encoded; a script sees a cut answer
}
