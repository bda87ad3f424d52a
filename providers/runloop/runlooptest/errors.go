package runlooptest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/computekit/compute"
)

// apiError is an answer that is not a success.
type apiError struct {
	status  int
	message string
	header  http.Header // added to the answer's
}

func (e *apiError) Error() string { return e.message }

// fail returns the error that is answered with a status and a message.
func fail(status int, format string, args ...any) error {
	return &apiError{status: status, message: fmt.Sprintf(format, args...)}
}

// final is fail for statuses that clients would try again, such as 409, where
// trying again cannot help.
func final(status int, format string, args ...any) error {
	h := http.Header{}
	h.Set("X-Should-Retry", "false")
	return &apiError{status: status, message: fmt.Sprintf(format, args...), header: h}
}

// unsupported is the answer to what the emulator or its backend cannot do.
func unsupported(format string, args ...any) error {
	return final(http.StatusNotImplemented, "the emulator cannot do this: "+format, args...)
}

// asAPIError returns the answer that err stands for. Errors of the backend keep
// their meaning; what the client did not cause is 500.
func asAPIError(err error) *apiError {
	if api, ok := errors.AsType[*apiError](err); ok {
		return api
	}
	var too *http.MaxBytesError
	status := http.StatusInternalServerError
	switch {
	case errors.As(err, &too):
		return &apiError{status: http.StatusRequestEntityTooLarge,
			message: fmt.Sprintf("the body is longer than %d bytes", too.Limit)}
	case errors.Is(err, errors.ErrUnsupported):
		return unsupported("%v", err).(*apiError) //nolint:errorlint // it is one
	case errors.Is(err, fs.ErrNotExist):
		status = http.StatusNotFound
	case errors.Is(err, fs.ErrPermission):
		status = http.StatusForbidden
	case errors.Is(err, fs.ErrInvalid), errors.Is(err, fs.ErrExist):
		status = http.StatusBadRequest
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		status = http.StatusServiceUnavailable
	default:
		if s := compute.StatusCode(err); s >= 400 {
			status = s
		}
	}
	api := &apiError{status: status, message: err.Error()}
	if status == http.StatusConflict { // trying again does not change what is in the way
		api.header = http.Header{"X-Should-Retry": {"false"}}
	}
	return api
}
