package compute

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"
)

// maxHooks is how many calls of the application's functions may go on without a
// request that waits for them.
const maxHooks = 256

// hooks counts the calls of Authorize and Owner that have outlived their time.
type hooks struct {
	mu   sync.Mutex
	late int
}

// asked is a call of Authorize and Owner.
type asked struct {
	done chan struct{} // closed when the rest is set
	err  error

	late, over bool // guarded by hooks.mu
}

var errNoAnswer = errors.New("compute: Authorize or Owner has ended its goroutine")

// unanswered is for requests about which nobody has decided.
func unanswered(why string) error {
	return &requestError{status: http.StatusServiceUnavailable, code: "unavailable", msg: why,
		cause: &Error{Op: "authorize", Kind: ErrUnavailable, RetryAfter: time.Second, NothingDone: true, Err: errors.New(why)}}
}

// ask calls f, which has until the timeout, when the context of its request ends.
// What goes on regardless is not waited for, and there is a bound to how many
// such there are. The error is f's own if f has decided.
func (hs *hooks) ask(r *http.Request, timeout time.Duration, f func(*http.Request) error) (decided bool, err error) {
	if !hs.free() {
		return false, unanswered("too many authorizations take too long")
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	a := &asked{done: make(chan struct{}), err: errNoAnswer}
	go func() { // one that is not over in time is counted
		defer cancel()
		defer hs.end(a)
		a.err = protect(func() error { return f(r.WithContext(ctx)) })
	}()
	select {
	case <-a.done:
	case <-ctx.Done():
	}
	if gone := r.Context().Err(); gone != nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		hs.leave(a)
		if gone != nil {
			return false, gone
		}
		return false, unanswered("authorization took too long")
	}
	return true, a.err
}

// authorize asks the application who may do what. What goes on after its time has
// a request of its own that nobody looks at.
func (h *handler) authorize(r *http.Request, x *exchange) error {
	own := &struct {
		req   Request
		owner string
	}{req: *x.req}
	decided, err := h.hooks.ask(r, h.opts.AuthorizeTimeout, func(r *http.Request) error {
		err := h.opts.Authorize(r, &own.req)
		if err != nil || h.opts.Owner == nil {
			return err
		}
		owner, err := h.opts.Owner(r, &own.req)
		if err == nil && (owner == "" || hasNUL(owner) || !utf8.ValidString(owner)) {
			return errors.New("no owner that can be kept")
		}
		own.owner = owner
		return err
	})
	if !decided {
		return err
	}
	*x.req, x.owner = own.req, own.owner
	return x.refusal(err)
}

func (hs *hooks) free() bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.late < maxHooks
}

// end lets the request go on that waits, if it still does.
func (hs *hooks) end(a *asked) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if a.late {
		hs.late--
	}
	a.over = true
	close(a.done)
}

// leave counts a call that nobody waits for, unless it has ended.
func (hs *hooks) leave(a *asked) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if !a.over {
		a.late = true
		hs.late++
	}
}

// refusal is what the client learns of the application's decision. What it does
// not find is answered in the words for a sandbox that does not exist, so that
// nobody can tell them apart.
func (x *exchange) refusal(err error) error {
	if _, ok := errors.AsType[*panicError](err); ok || err == nil {
		return err
	}
	refusal := &requestError{StatusCode(err), statusWord(err), "refused", err}
	switch {
	case refusal.status == http.StatusInternalServerError:
		refusal.status, refusal.code = http.StatusForbidden, "forbidden"
	case errors.Is(err, ErrNotFound) && x.req.subject() != "":
		refusal.msg = x.req.subject() + " not found"
	}
	return refusal
}
