package runlooptest

import (
	"context"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"
)

// subtrees are paths below which a word stands where the API has an identifier
// elsewhere, as in /v1/devboxes/disk_snapshots/{id} beside
// /v1/devboxes/{id}/logs. http.ServeMux refuses such patterns in one mux, so
// each has its own.
var subtrees = []string{
	"/v1/devboxes/disk_snapshots/",
	"/v1/scenarios/runs/",
	"/v1/scenarios/scorers/",
	"/v1/benchmarks/runs/",
}

// subtree returns the subtree that a path is in, or "".
func subtree(path string) string {
	for _, prefix := range subtrees {
		if strings.HasPrefix(path, prefix) {
			return prefix
		}
	}
	return ""
}

// closeGrace is how long an answer can go on when the emulator is closed.
const closeGrace = time.Second

// route is one operation of the API.
type route struct {
	op     string // such as "devboxes.create": for counters, faults and recorded requests
	open   bool   // needs no API key
	stream bool   // answers as it goes, and is not replayed
	do     func(c *call) error
}

// handle adds an operation whose body and answer are JSON. Its method either
// returns the answer, sent with status 200, or an error, most often made by
// fail. The request's context ends when the client goes away: work that shall go
// on goes to spawnLocked.
func handle[In, Out any](e *Emulator, pattern, op string, f func(c *call, in *In) (Out, error)) {
	handleLimit(e, pattern, op, maxBody, f)
}

// handleLimit is handle for bodies of another maximum size.
func handleLimit[In, Out any](e *Emulator, pattern, op string, limit int64, f func(c *call, in *In) (Out, error)) {
	e.add(pattern, route{op: op, do: func(c *call) error {
		var in In
		if err := c.decode(&in, limit); err != nil {
			return err
		}
		out, err := f(c, &in)
		if err != nil {
			return err
		}
		return writeJSON(c.w, http.StatusOK, out)
	}})
}

// add adds an operation under a pattern of http.ServeMux with a method.
func (e *Emulator) add(pattern string, rt route) {
	_, path, _ := strings.Cut(pattern, " ")
	prefix := subtree(path)
	if e.muxes[prefix] == nil {
		e.muxes[prefix] = http.NewServeMux()
	}
	e.muxes[prefix].HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { e.serveRoute(&rt, w, r) })
}

// ServeHTTP implements http.Handler.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, done := e.begin(w, r)
	if done == nil {
		_ = writeJSON(w, http.StatusServiceUnavailable, map[string]string{"message": "the emulator is closed"})
		return
	}
	defer done()
	r = r.WithContext(ctx)
	e.learnBaseURL(r)
	if !e.serveTunnel(w, r) {
		e.serveAPI(w, r)
	}
}

// begin makes Close wait for a request, whose context ends with the emulator's.
// A client that does not read what it is sent cannot hold Close up. A nil done
// says that the emulator is closed.
func (e *Emulator) begin(w http.ResponseWriter, r *http.Request) (ctx context.Context, done func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, nil
	}
	e.work.Add(1)
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(e.ctx, func() {
		cancel()
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(closeGrace)) // if it can
	})
	return ctx, func() { stop(); cancel(); e.work.Done() }
}

// serveAPI answers what is no request through a tunnel.
func (e *Emulator) serveAPI(w http.ResponseWriter, r *http.Request) {
	mux := e.muxes[subtree(r.URL.Path)]
	if mux == nil {
		mux = e.muxes[""]
	}
	if h, pattern := mux.Handler(r); pattern == "" {
		e.serveUnknown(h, w, r)
		return
	}
	mux.ServeHTTP(w, r)
}

// learnBaseURL takes the base URL from the first request that tells it.
func (e *Emulator) learnBaseURL(r *http.Request) {
	if r.Host == "" || e.BaseURL() != "" {
		return
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	e.setBaseURL(scheme + "://" + r.Host)
}

// serveUnknown answers with the status that h, a mux's own handler, has for what
// it does not know: 404, or 405 for another method.
func (e *Emulator) serveUnknown(h http.Handler, w http.ResponseWriter, r *http.Request) {
	rt := route{op: "unknown", do: func(c *call) error {
		probe := &discard{header: http.Header{}}
		h.ServeHTTP(probe, r)
		if allow := probe.header.Get("Allow"); allow != "" {
			c.w.Header().Set("Allow", allow)
		}
		if probe.status == http.StatusMethodNotAllowed {
			return fail(probe.status, "%s is not a method of %s", r.Method, r.URL.Path)
		}
		return fail(http.StatusNotFound, "there is no operation %s %s", r.Method, r.URL.Path)
	}}
	e.serveRoute(&rt, w, r)
}

// serveRoute carries out one request: it is recorded, delayed and made to fail as
// asked for, authorized, answered from memory if it is a repetition, and
// otherwise done.
func (e *Emulator) serveRoute(rt *route, w http.ResponseWriter, r *http.Request) {
	rec := e.requests.begin(rt.op, r)
	rw := &statusWriter{ResponseWriter: w}
	defer func() { e.requests.end(rec, rw.status) }()
	if e.opts.latency > 0 && !pause(r.Context(), e.opts.latency) {
		return
	}
	fault := e.faults.take(rt.op)
	e.withFault(fault, rw, r, func(w http.ResponseWriter) {
		c := &call{e: e, w: w, r: r, query: r.URL.Query()}
		start := time.Now()
		if err := e.authorize(rt, r); err != nil {
			c.writeError(err)
		} else if rt.stream || !e.replays.serve(c, rt.do) {
			e.carryOut(c, rt.do)
		}
		e.log.DebugContext(r.Context(), "request", "op", rt.op, "method", r.Method, "path", r.URL.Path,
			"status", rw.status, "duration", time.Since(start))
	})
}

// carryOut does what was asked and answers an error.
func (e *Emulator) carryOut(c *call, do func(*call) error) {
	if err := do(c); err != nil {
		c.writeError(err)
	}
}

// authorize checks the API key.
func (e *Emulator) authorize(rt *route, r *http.Request) error {
	if rt.open {
		return nil
	}
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return fail(http.StatusUnauthorized, "no API key: the header Authorization must be \"Bearer <key>\"")
	}
	if subtle.ConstantTimeCompare([]byte(key), []byte(e.opts.apiKey)) == 1 {
		return nil
	}
	return e.hooks.authorize(key, rt.op, r.Method)
}
