package compute

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Kinds of failure that callers act upon. Test with [errors.Is]. For the rest
// the standard library has names already: [errors.ErrUnsupported],
// [context.Canceled], [context.DeadlineExceeded], and [io/fs.ErrNotExist] and
// its kin for files inside a sandbox.
var (
	ErrInvalid      = errors.New("invalid argument")     // the request can never work
	ErrUnauthorized = errors.New("not authorized")       // missing or wrong credentials
	ErrForbidden    = errors.New("forbidden")            // good credentials, not enough rights
	ErrNotFound     = errors.New("not found")            // the provider says: no such sandbox, template, snapshot, volume or process
	ErrConflict     = errors.New("conflict")             // wrong state: suspended, init gone, in use
	ErrQuota        = errors.New("quota exceeded")       // rate or capacity limit; nothing was done
	ErrUnavailable  = errors.New("provider unavailable") // outage or lost connection; may have been done, see Error.NothingDone
	ErrTruncated    = errors.New("output truncated")     // there was more than was kept
)

// Error is what providers return. It never prints credentials, request bodies
// or URLs.
type Error struct {
	Op          string        // "create sandbox", "run command"
	Provider    string        // Compute.Name, if known
	ID          string        // of the sandbox, template, snapshot or process, if any
	Kind        error         // one of the sentinels above, or nil
	StatusCode  int           // of the HTTP answer, if there was one
	RequestID   string        // to quote to the provider's support
	RetryAfter  time.Duration // what the provider asked for, if it did
	NothingDone bool          // it is certain that the operation had no effect
	Err         error         // the cause, reachable by errors.Is and errors.As
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("compute")
	if e.Provider != "" {
		b.WriteString(": " + e.Provider)
	}
	if e.Op != "" {
		b.WriteString(": " + e.Op)
	}
	if e.ID != "" {
		b.WriteString(" " + strconv.Quote(e.ID))
	}
	if e.Kind != nil {
		b.WriteString(": " + e.Kind.Error())
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	return b.String()
}

// Unwrap makes both the kind and the cause visible to package errors.
func (e *Error) Unwrap() []error {
	errs := make([]error, 0, 2)
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// LogValue implements [slog.LogValuer].
func (e *Error) LogValue() slog.Value {
	return slog.GroupValue(slog.String("op", e.Op), slog.String("provider", e.Provider),
		slog.String("id", e.ID), slog.String("msg", e.Error()), slog.String("request_id", e.RequestID))
}

// NothingDone reports whether it is certain from err that the operation had no
// effect, so that it can be tried again or elsewhere even if it is not
// idempotent: a quota was full, the option is not supported, or the provider's
// [Error] says so. Of several errors joined, all must say so.
func NothingDone(err error) bool {
	switch e := err.(type) { //nolint:errorlint // it goes through the tree itself
	case nil:
		return false
	case *Error:
		return e.NothingDone || refused(e.Kind) || e.Kind == nil && NothingDone(e.Err)
	case interface{ Unwrap() []error }:
		errs := e.Unwrap()
		return len(errs) > 0 && !slices.ContainsFunc(errs, func(err error) bool { return !NothingDone(err) })
	case interface{ Unwrap() error }:
		return NothingDone(e.Unwrap()) || refused(err)
	}
	return refused(err)
}

// refused reports whether err is of a kind that comes before anything is done.
func refused(err error) bool {
	return errors.Is(err, ErrQuota) || errors.Is(err, errors.ErrUnsupported)
}

func unsupported(op string) error { return &Error{Op: op, Kind: errors.ErrUnsupported} }

// statuses is in order of precedence: what an error says of the request goes
// before what it says of the connection. The words are for [Response.Code].
var statuses = []struct {
	err  error
	code int
	word string
}{
	{ErrInvalid, http.StatusBadRequest, "invalid"},
	{ErrUnauthorized, http.StatusUnauthorized, "unauthorized"},
	{ErrForbidden, http.StatusForbidden, "forbidden"},
	{ErrNotFound, http.StatusNotFound, "not_found"},
	{ErrConflict, http.StatusConflict, "conflict"},
	{ErrQuota, http.StatusTooManyRequests, "quota"},
	{errors.ErrUnsupported, http.StatusNotImplemented, "unsupported"},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, "timeout"},
	{context.Canceled, statusClientGone, "canceled"},
	{ErrUnavailable, http.StatusBadGateway, "unavailable"},
	{errExited, http.StatusUnprocessableEntity, "command_failed"},
	{ErrLimit, http.StatusConflict, "limit"},
	{fs.ErrNotExist, http.StatusNotFound, "file_not_exist"},
	{fs.ErrExist, http.StatusConflict, "file_exist"},
	{fs.ErrPermission, http.StatusForbidden, "file_permission"},
	{fs.ErrInvalid, http.StatusBadRequest, "file_invalid"},
	{ErrTruncated, http.StatusInsufficientStorage, "truncated"},
	{syscall.ECONNREFUSED, http.StatusBadGateway, "connection_refused"},
	{syscall.ENETUNREACH, http.StatusBadGateway, "network_unreachable"},
}

const statusClientGone = 499 // no name in package http

// StatusCode returns the HTTP status that stands for err; 200 for nil.
func StatusCode(err error) int {
	if err == nil {
		return http.StatusOK
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.code
		}
	}
	return http.StatusInternalServerError
}

// Collect gathers at most limit values of a listing; zero is no limit. When
// the listing fails, it returns what came before with the error.
func Collect[T any](seq iter.Seq2[T, error], limit int) ([]T, error) {
	var all []T
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
		if len(all) == limit {
			break
		}
	}
	return all, nil
}
