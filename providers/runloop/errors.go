package runloop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// fail returns an error of this provider's own making.
func fail(op, id string, kind, err error) error {
	return &compute.Error{Op: op, Provider: name, ID: id, Kind: kind, Err: err}
}

func failf(op, id string, kind error, format string, args ...any) error {
	return fail(op, id, kind, fmt.Errorf(format, args...))
}

// gone is the error of an operation on a sandbox, template or snapshot that
// does not exist.
func gone(op, id string) error { return providers.NotFound(op, name, id) }

// unsupported is the error of an option that Runloop cannot honour.
func unsupported(op, field, why string) error {
	return fail(op, "", errors.ErrUnsupported, fmt.Errorf("option %s: %s", field, why))
}

// wrap makes an error of the portable API of one of the client's. Errors that
// are such already are left as they are. An error that has to do with the end
// of ctx has no kind, as it says nothing of the provider.
func wrap(ctx context.Context, op, id string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*compute.Error](err); ok {
		return err
	}
	e := &compute.Error{Op: op, Provider: name, ID: id, Err: err}
	var api *runloopapi.Error
	if errors.As(err, &api) {
		e.StatusCode, e.RequestID, e.RetryAfter = api.StatusCode, api.RequestID, api.RetryAfter
	}
	switch {
	case ctx.Err() != nil:
		if !errors.Is(err, ctx.Err()) {
			e.Err = fmt.Errorf("%w; %w", ctx.Err(), err)
		}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
	case api != nil && api.StatusCode >= 400:
		e.Kind = kind(api)
		e.NothingDone = refused(api)
	case errors.Is(err, runloopapi.ErrState):
		e.Kind = compute.ErrConflict
	case lost(err):
		e.Kind = compute.ErrUnavailable
	case errors.Is(err, runloopapi.ErrBadRequest):
		e.Kind = compute.ErrInvalid
	}
	return e
}

// kind returns what the portable API calls an answer. Runloop says of an
// account that is at its limits sometimes 400 or 403.
func kind(e *runloopapi.Error) error {
	if (e.StatusCode == http.StatusBadRequest || e.StatusCode == http.StatusForbidden) && quotaMessage(e.Message) {
		return compute.ErrQuota
	}
	return providers.Kind(e.StatusCode)
}

// quotaMessage reports whether an answer's words are those of a limit.
func quotaMessage(text string) bool {
	text = strings.ToLower(text)
	for _, word := range []string{"quota", "limit exceeded", "limit reached", "out of credits", "insufficient credits"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// refused reports whether the answer came before anything was done. Of 5xx
// nobody knows.
func refused(e *runloopapi.Error) bool {
	return e.StatusCode >= 400 && e.StatusCode < 500 && e.StatusCode != http.StatusRequestTimeout && e.StatusCode != http.StatusConflict
}

// notThere reports whether the service may have refused because something does
// not exist: its 400 can have other reasons.
func notThere(err error) bool {
	return errors.Is(err, runloopapi.ErrNotFound) || errors.Is(err, runloopapi.ErrBadRequest)
}

// unknown reports whether the service, asked about an ID, says that it does not
// know it: 404, or 400 for what does not look like one.
func unknown(err error, id string) bool {
	return errors.Is(err, runloopapi.ErrNotFound) || errors.Is(err, runloopapi.ErrBadRequest) && !idForm.MatchString(id)
}

// idForm is that of the service's IDs, which are 128 bits or more.
var idForm = regexp.MustCompile(`^[a-z]{2,5}_[0-9A-Za-z]{20,40}$`)

// lost reports whether it is not known what came of a request.
func lost(err error) bool {
	return errors.Is(err, runloopapi.ErrConnection) || errors.Is(err, runloopapi.ErrTimeout) || errors.Is(err, runloopapi.ErrServer) ||
		errors.Is(err, runloopapi.ErrAnswer) || errors.Is(err, runloopapi.ErrTooLarge)
}
