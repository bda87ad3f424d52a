package compute

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"
)

// grace is how long a request waits, once its context has ended, for what it
// asked for to end too: providers clean up, and have something to say.
const grace = 10 * time.Second

// errGone is of an operation that has ended its goroutine.
var errGone = errors.New("compute: the operation has ended its goroutine")

// inTime carries out the request, and does not wait for ever for a provider that
// does not look at its context: some time after the end of that the client is
// answered, and what goes on can answer no more. done is called when it has
// ended, whenever that is. inTime returns the exchange that was answered, and
// what is to panic with.
func (h *handler) inTime(w http.ResponseWriter, r *http.Request, x *exchange, serve serveFunc, done func()) (answered *exchange, abort any) {
	ctx, cancel := context.WithTimeout(r.Context(), h.timeout(r))
	defer cancel()
	instead := &exchange{c: x.c, opts: x.opts, owner: x.owner, req: &Request{Action: x.req.Action, SandboxID: x.req.SandboxID}}
	if x.behind != nil {
		defer x.behind.end()
	}
	out := newDetachable(w)
	ended := make(chan any, 1) // what it has panicked with
	go func() {                // it may outlive the request
		var v any = errGone
		defer func() {
			if p := recover(); p != nil {
				v = p
			}
			done()
			ended <- v
		}()
		serve(out, r.WithContext(ctx), x)
		v = nil
	}()
	v, ok := await(ctx, ended)
	switch {
	case !ok:
		return instead, h.answerLate(out, r, instead, ctx.Err())
	case v == errGone && out.phase == waiting: //nolint:errorlint // as it was sent
		h.answer(w, r, instead, errGone)
		return instead, nil
	case out.phase == waiting: // the answer has no body
		maps.Copy(w.Header(), out.header)
	}
	return x, v // the server's to know
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
func (h *handler) answerLate(out *detachable, r *http.Request, x *exchange, cause error) (abort any) {
	phase := out.detach()
	x.begin()
	x.fail(&Error{Op: "request", Err: fmt.Errorf("%w, and the operation goes on", cause)})
	h.opts.Logger.ErrorContext(r.Context(), "compute: an operation goes on after its context", "provider", x.resp.Provider,
		"action", x.req.Action, "sandbox", x.req.SandboxID)
	switch phase {
	case waiting:
		if r.ProtoMajor == 1 { // what of the request is unread has been given up
			out.w.Header().Set("Connection", "close")
		}
		h.reply(out.w, r, x)
	case answering:
		return http.ErrAbortHandler
	case betweenEvents:
		_ = writeAll(out.w, out.rc, fmt.Appendf(nil, "event: result\ndata: %s\n\n", h.encode(r.Context(), x)))
		_ = out.rc.Flush() // the client may have gone; nobody to tell
		_ = out.rc.SetWriteDeadline(time.Time{})
	}
	return nil
}

// answer answers a request that failed with err.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, x *exchange, err error) {
	x.begin()
	x.fail(err)
	h.reply(w, r, x)
}
