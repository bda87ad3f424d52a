package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/computekit/compute"
)

// Problem is a kind of failure that somebody can do something about. It goes
// by the sentinels of package compute and tells apart what they leave open.
type Problem string

// Problems.
const (
	NotAuthorized Problem = "not authorized"        // compute.ErrUnauthorized, compute.ErrForbidden
	TimedOut      Problem = "timed out"             // context.DeadlineExceeded
	NoSource      Problem = "nothing to start from" // compute.ErrNotFound of a template, snapshot or volume
	Gone          Problem = "sandbox gone"          // compute.ErrNotFound of the sandbox
	WrongState    Problem = "wrong state"           // compute.ErrConflict
	RateLimit     Problem = "rate limit"            // compute.ErrQuota that goes away by waiting
	OutOfCredits  Problem = "out of credits"        // compute.ErrQuota that wants an account to be looked after
	Unavailable   Problem = "unavailable"           // compute.ErrUnavailable
	Unsupported   Problem = "unsupported"           // errors.ErrUnsupported
	Invalid       Problem = "invalid"               // compute.ErrInvalid
)

// ErrSignature is matched by the error of a saved state whose signature is
// missing or not that of its content.
var ErrSignature = errors.New("signature does not match")

// Error is an error of this package: what failed, most often a
// [*compute.Error], with what can be done about it.
type Error struct {
	Problem Problem // empty if it is none of them
	Remedy  string
	Err     error
}

func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + " (" + e.Remedy + ")"
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Explain says what kind of problem an error of this package, or of an
// operation on its sandbox, is, and what can be done about it. Both are empty
// if it is none that Explain knows.
func Explain(err error) (p Problem, remedy string) {
	if own, ok := errors.AsType[*Error](err); ok {
		return own.Problem, own.Remedy
	}
	p = problem(err)
	return p, remedyFor(p, err)
}

// explained wraps err with its remedy, once.
func explained(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	p, remedy := Explain(err)
	if p == "" {
		return err
	}
	return &Error{Problem: p, Remedy: remedy, Err: err}
}

// problem looks at what an error says of the request before what it says of
// the connection.
func problem(err error) Problem {
	e, _ := errors.AsType[*compute.Error](err)
	switch {
	case err == nil:
		return ""
	case errors.Is(err, compute.ErrUnauthorized), errors.Is(err, compute.ErrForbidden):
		return NotAuthorized
	case errors.Is(err, compute.ErrQuota):
		return quota(e)
	case errors.Is(err, context.DeadlineExceeded):
		return TimedOut
	case errors.Is(err, compute.ErrUnavailable):
		return Unavailable
	case errors.Is(err, compute.ErrInvalid):
		return Invalid
	case errors.Is(err, compute.ErrNotFound) && e != nil && e.Op == "create sandbox":
		return NoSource
	case errors.Is(err, compute.ErrNotFound):
		return Gone
	case errors.Is(err, compute.ErrConflict):
		return WrongState
	case errors.Is(err, errors.ErrUnsupported):
		return Unsupported
	}
	return ""
}

// quota tells a limit on the rate, which says so by its status or by how long
// to wait, from one that time does not help against.
func quota(e *compute.Error) Problem {
	if e == nil || e.RetryAfter > 0 || e.StatusCode == 0 || e.StatusCode == http.StatusTooManyRequests {
		return RateLimit
	}
	return OutOfCredits
}

func remedyFor(p Problem, err error) string {
	switch p {
	case NotAuthorized:
		return "check the provider's key: that it is set, without quotes and spaces around it, has not expired, and may do this"
	case TimedOut:
		return timeoutRemedy(err)
	case NoSource:
		return "check the name of the template, or the ID of the snapshot or volume, against the provider's list, or leave it out for the default"
	case Gone:
		return "it was destroyed, or its lifetime is over, or the key is of another account: " +
			"Resume makes another one with AllowRestore or AllowRemake"
	case WrongState:
		return "ask for the sandbox's Info, whose Reason says why; wait for what another program does with it, or resume it"
	case RateLimit:
		return fmt.Sprintf("wait %sand try again, create less at once, use sandboxes again, or ask the provider for more", waitFor(err))
	case OutOfCredits:
		return "look at the account's balance and limits, and destroy suspended sandboxes and snapshots that nobody needs"
	case Unavailable:
		return "try again once the provider answers; no other sandbox was made in its place"
	case Unsupported:
		return "leave the option out, or choose a provider that has it"
	case Invalid:
		return "the request can never work as it is: mend what the error names"
	}
	return ""
}

func timeoutRemedy(err error) string {
	if t, ok := errors.AsType[*TimeoutError](err); ok {
		return fmt.Sprintf("raise Timeouts.%s above %v, look whether the provider is slow, or do less at once", t.Kind, t.Limit)
	}
	return "give the context, or the provider's own timeouts, more time, or do less at once"
}

func waitFor(err error) string {
	if e, ok := errors.AsType[*compute.Error](err); ok && e.RetryAfter > 0 {
		return e.RetryAfter.Round(time.Millisecond).String() + " "
	}
	return "a little "
}

// fail returns an error of this package's own finding.
func fail(op, provider, id string, kind error, format string, args ...any) error {
	return &compute.Error{Op: op, Provider: provider, ID: id, Kind: kind, Err: fmt.Errorf(format, args...)}
}
