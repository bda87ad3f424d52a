package compute

import (
	"cmp"
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
type asked struct{ late, over bool } // guarded by hooks.mu

var errNoAnswer = errors.New("compute: Authorize or Owner has ended its goroutine")

// unanswered is for requests about which nobody has decided.
func unanswered(why string) error {
	return &requestError{status: http.StatusServiceUnavailable, code: "unavailable", msg: why,
		cause: &Error{Op: "authorize", Kind: ErrUnavailable, RetryAfter: time.Second, NothingDone: true, Err: errors.New(why)}}
}

var (
	errTooLate = unanswered("authorization took too long")
	errTooMany = unanswered("too many authorizations take too long")
)

// authorize asks the application who may do what, and returns what it has made of
// the request. It never panics.
func (h *handler) authorize(r *http.Request, req Request) (own *Request, owner string, err error) {
	own = &req
	err = protect(func() error {
		err := h.opts.Authorize(r, own)
		if err != nil || h.opts.Owner == nil {
			return err
		}
		owner, err = h.opts.Owner(r, own)
		if err == nil && (owner == "" || hasNUL(owner) || !utf8.ValidString(owner)) {
			return errors.New("no owner that can be kept")
		}
		return err
	})
	if err != nil {
		owner = ""
	}
	return own, owner, err
}

// ask calls f, which has until the timeout, when the context of its request ends.
// What goes on regardless is not waited for, and there is a bound to how many
// such there are. The error is f's own if f has decided.
func (hs *hooks) ask(r *http.Request, timeout time.Duration, f func(*http.Request) error) (decided bool, err error) {
	if !hs.free() {
		return false, errTooMany
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	a, done := &asked{}, make(chan error, 1)
	go func() { // one that is not over in time is counted
		err := errNoAnswer
		defer func() {
			hs.end(ctx, a, nil)
			done <- err
			cancel() // not before it has ended, lest it should look late
		}()
		err = protect(func() error { return f(r.WithContext(ctx)) })
	}()
	received := false
	select {
	case err = <-done:
		received = true
	case <-ctx.Done():
	}
	if hs.leave(a) {
		return false, cmp.Or(r.Context().Err(), errTooLate)
	}
	if !received {
		err = <-done
	}
	return true, err
}

func (hs *hooks) free() bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.late < maxHooks
}

// end ends a call, and reports whether its request still waits and its context
// has not ended. If so, it keeps what the call has come to before the request can
// look.
func (hs *hooks) end(ctx context.Context, a *asked, keep func()) (inTime bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	switch {
	case a.late:
		hs.late--
	case ctx.Err() != nil:
		a.late = true
	case keep != nil:
		keep()
	}
	a.over = true
	return !a.late
}

// leave counts a call that nobody waits for any more, unless it has ended.
func (hs *hooks) leave(a *asked) (left bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if !a.over && !a.late {
		a.late = true
		hs.late++
	}
	return a.late
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
