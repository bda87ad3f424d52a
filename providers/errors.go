package providers

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/computekit/compute"
)

// Unsupported returns the error of an operation that a provider does not have.
// It matches [errors.ErrUnsupported].
func Unsupported(op string) error {
	return &compute.Error{Op: op, Kind: errors.ErrUnsupported}
}

// UnsupportedOption returns the error of an option, given by the name of its
// field, that a provider cannot honour. It matches [errors.ErrUnsupported].
func UnsupportedOption(op, provider, field string) error {
	return &compute.Error{Op: op, Provider: provider, Kind: errors.ErrUnsupported, Err: errors.New("option " + field)}
}

// NotFound returns the error of an operation on something that does not exist.
// It matches [compute.ErrNotFound].
func NotFound(op, provider, id string) error {
	return &compute.Error{Op: op, Provider: provider, ID: id, Kind: compute.ErrNotFound}
}

// kinds has the statuses that do not mean what their hundred means.
var kinds = map[int]error{
	http.StatusUnauthorized:       compute.ErrUnauthorized,
	http.StatusForbidden:          compute.ErrForbidden,
	http.StatusNotFound:           compute.ErrNotFound,
	http.StatusGone:               compute.ErrNotFound,
	http.StatusConflict:           compute.ErrConflict,
	http.StatusPreconditionFailed: compute.ErrConflict,
	http.StatusLocked:             compute.ErrConflict,
	http.StatusPaymentRequired:    compute.ErrQuota,
	http.StatusTooManyRequests:    compute.ErrQuota,
	http.StatusMethodNotAllowed:   errors.ErrUnsupported,
	http.StatusNotImplemented:     errors.ErrUnsupported,
	http.StatusRequestTimeout:     compute.ErrUnavailable,
	http.StatusTooEarly:           compute.ErrUnavailable,
	499:                           compute.ErrUnavailable, // given up by a proxy
}

// Kind returns the sentinel for [compute.Error.Kind] that an HTTP status stands
// for, or nil below 400. A gateway's timeout is [compute.ErrUnavailable], as the
// deadline was not the caller's.
func Kind(status int) error {
	if kind, ok := kinds[status]; ok {
		return kind
	}
	switch {
	case status >= 500:
		return compute.ErrUnavailable
	case status >= 400:
		return compute.ErrInvalid
	}
	return nil
}

// Cleanup returns a context for undoing what was half done: it has the values
// of ctx, goes on when ctx has ended, and ends by itself after a minute.
func Cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
}
