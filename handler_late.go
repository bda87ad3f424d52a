package compute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync/atomic"
	"time"
)

// grace is how long a request waits, once its context has ended, for what it
// asked for to end too: providers clean up, and have something to say.
const grace = 10 * time.Second

// errGone is of an operation that has ended its goroutine.
var errGone = errors.New("compute: the operation has ended its goroutine")

// inTime carries out the request if the application lets it, and waits for ever
// neither for that nor for a provider that does not look at its context: some time
// after the end of that the client is answered, and what goes on can answer no
// more. inTime returns the exchange that was answered, and what is to panic with.
func (h *handler) inTime(w http.ResponseWriter, r *http.Request, x *exchange, serve serveFunc) (answered *exchange, abort any) {
	if !h.hooks.free() {
		h.answer(w, r, x, errTooMany)
		return x, nil
	}
	if x.behind != nil {
		defer x.behind.end()
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.timeout(r))
	defer cancel()
	decision := time.NewTimer(h.opts.AuthorizeTimeout)
	defer decision.Stop()
	j := &job{h: h, x: x, serve: serve, done: func() {}, ended: make(chan any, 1), action: x.req.Action, sandbox: x.req.SandboxID}
	if serve != nil {
		j.out = newDetachable(w, r.Method != http.MethodPost)
	}
	go j.run(r.WithContext(ctx)) // it may outlive the request
	var v any
	var ended bool
	select {
	case v = <-j.ended:
		ended = true
	case <-decision.C:
	case <-ctx.Done():
	}
	if !ended {
		if h.hooks.leave(&j.asked) {
			return j.instead(w, r, cmp.Or(r.Context().Err(), errTooLate)), nil
		}
		if v, ended = await(ctx, j.ended); !ended && j.left.CompareAndSwap(false, true) {
			return j.answerLate(w, r, ctx.Err())
		} else if !ended {
			v = <-j.ended // just now
		}
	}
	defer func() { j.done() }()
	switch {
	case v == errTooLate: //nolint:errorlint // as it was sent
		return j.instead(w, r, cmp.Or(r.Context().Err(), errTooLate)), nil
	case v == errGone && (j.out == nil || j.out.phase == waiting): //nolint:errorlint // as it was sent
		err := errGone
		if !j.decided {
			err = x.refusal(errNoAnswer)
		}
		return j.instead(w, r, err), nil
	case v == errGone: //nolint:errorlint // as it was sent
		return x, http.ErrAbortHandler
	case v == nil && !j.served:
		h.reply(w, r, x)
	case j.out != nil && j.out.phase == waiting: // the answer has no body
		maps.Copy(w.Header(), j.out.header)
	}
	return x, v // the server's to know
}

// job is a request that is being carried out.
type job struct {
	h      *handler
	x      *exchange
	serve  serveFunc   // nil if x's response is the answer
	out    *detachable // for serve
	served bool        // serve has answered
	asked  asked
	done   func()   // gives back the tenant's place
	ended  chan any // what it has panicked with
	left   atomic.Bool

	// What is known of the request whoever has x; it changes as asked is over.
	decided                bool
	owner, action, sandbox string
}

// instead answers for x, which is somebody else's now.
func (j *job) instead(w http.ResponseWriter, r *http.Request, err error) *exchange {
	x := &exchange{c: j.h.c, opts: &j.h.opts, owner: j.owner, req: &Request{Action: j.action, SandboxID: j.sandbox}}
	x.begin()
	x.fail(err)
	if w != nil {
		j.h.reply(w, r, x)
	}
	return x
}

// run asks the application, and carries out what it lets through. If that takes
// it too long, nobody waits, and x is not touched.
func (j *job) run(r *http.Request) {
	var v any = errGone
	defer func() {
		if p := recover(); p != nil {
			v = p
		}
		if !j.left.CompareAndSwap(false, true) {
			j.done() // nobody waits
		}
		j.ended <- v
	}()
	err := j.decide(r)
	if err == errTooLate { //nolint:errorlint // decide's own
		v = err
		return
	}
	if err == nil {
		err = j.h.opts.Allow.permits(j.x.req, j.x.behind != nil || r.Method == http.MethodPut)
	}
	if err == nil {
		var done func()
		if done, err = j.h.tenants.enter(j.owner); err == nil {
			j.done = done
		}
	}
	switch {
	case err != nil:
		j.x.begin()
		j.x.fail(err)
	case j.serve == nil:
		j.x.run(r.Context())
	default:
		j.serve(j.out, r, j.x)
		j.served = true
	}
	v = nil
}

// decide makes x what the application makes of it, or is errTooLate.
func (j *job) decide(r *http.Request) error {
	over := false
	defer func() {
		if !over { // it ends its goroutine
			j.h.hooks.end(r.Context(), &j.asked, nil)
		}
	}()
	own, owner, err := j.h.authorize(r, *j.x.req)
	over = true
	if !j.h.hooks.end(r.Context(), &j.asked, func() {
		j.decided, j.owner, j.action, j.sandbox = true, owner, own.Action, own.SandboxID
	}) {
		return errTooLate
	}
	*j.x.req, j.x.owner = *own, owner
	return j.x.refusal(err)
}

// timeout is how long the request may take.
func (h *handler) timeout(r *http.Request) time.Duration {
	if r.Method == http.MethodPost && !acceptsEvents(r) {
		return h.opts.Timeout
	}
	return h.opts.StreamTimeout
}

// await waits for what is sent, and for some time after the end of ctx.
func await[T any](ctx context.Context, ended <-chan T) (v T, ok bool) {
	select {
	case v = <-ended:
		return v, true
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case v = <-ended:
		return v, true
	case <-timer.C:
		return v, false
	}
}

// bounded calls f and does not wait for it for much longer than ctx lasts. A
// panic of f's is an error.
func bounded[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		v   T
		err error
	}
	ended := make(chan outcome, 1)
	go func() { // it may outlive the call
		o := outcome{err: errGone}
		defer func() { ended <- o }()
		o.err = protect(func() (err error) { o.v, err = f(); return err })
	}()
	o, ok := await(ctx, ended)
	if !ok {
		o.err = ctx.Err()
	}
	return o.v, o.err
}

// answerLate answers instead of what goes on. Where its answer has begun, that
// is broken off, unless it is events, of which this is the last.
func (j *job) answerLate(w http.ResponseWriter, r *http.Request, cause error) (answered *exchange, abort any) {
	phase := waiting
	if j.out != nil {
		phase = j.out.detach()
	}
	err := &Error{Op: "request", Err: fmt.Errorf("%w, and the operation goes on", cause)}
	j.h.opts.Logger.ErrorContext(r.Context(), "compute: an operation goes on after its context", "action", j.action, "sandbox", j.sandbox)
	switch phase {
	case waiting:
		if r.ProtoMajor == 1 { // what of the request is unread has been given up
			w.Header().Set("Connection", "close")
		}
		return j.instead(w, r, err), nil
	case betweenEvents:
		answered, rc := j.instead(nil, r, err), http.NewResponseController(w)
		_ = writeAll(w, rc, fmt.Appendf(nil, "event: result\ndata: %s\n\n", j.h.encode(r.Context(), answered)))
		_ = rc.Flush() // the client may have gone; nobody to tell
		_ = rc.SetWriteDeadline(time.Time{})
		return answered, nil
	case answering:
		abort = http.ErrAbortHandler
	}
	return j.instead(nil, r, err), abort
}

// answer answers a request that failed with err.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, x *exchange, err error) {
	x.begin()
	x.fail(err)
	h.reply(w, r, x)
}
