package compute

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os/exec"
	"reflect"
	"runtime/debug"
	"syscall"

	"github.com/computekit/compute/internal/errnokind"
)

// protect turns a panic into an error: a provider's bug is not the client's to
// read, nor a reason to drop the connection. An error that cannot be read, as a
// nil pointer cannot, is a panic too.
func protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, debug.Stack()}
		}
	}()
	if err = f(); err != nil {
		_ = err.Error()
	}
	return err
}

type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

// requestError is a mistake in the request itself, in words for the client.
type requestError struct {
	status int
	code   string
	msg    string
	cause  error
}

func (e *requestError) Error() string { return e.msg }
func (e *requestError) Unwrap() error { return e.cause }

func badRequest(format string, args ...any) error {
	return &requestError{status: http.StatusBadRequest, code: "invalid", msg: fmt.Sprintf(format, args...)}
}

// fail makes x.resp the answer to a request that failed with err.
func (x *exchange) fail(err error) {
	x.resp.Success, x.resp.Err = false, err
	x.resp.Status, x.resp.Code, x.resp.Error = x.describe(err)
	x.resp.ErrorDetail = errorDetail(err, x.resp.Code)
	if exit, ok := errors.AsType[*ExitError](err); ok && x.resp.Result == nil && x.resp.Code == "command_failed" {
		x.resp.Result = responseResult(exit.Result)
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return
	}
	x.resp.RetryAfter = e.RetryAfter
	if x.req.Action == actionCreate {
		x.resp.SandboxID = cmp.Or(x.resp.SandboxID, e.ID) // what could not be cleaned up, or was not found
	}
}

// failed is all that clients learn of a failure of the server's own.
const failed = "Request handling failed"

// describe says of err what a client may know. The text of a failure between
// this server and the provider is not for clients: it may name hosts.
func (x *exchange) describe(err error) (status int, code, msg string) {
	if e, ok := errors.AsType[*requestError](err); ok {
		return e.status, e.code, e.msg
	}
	if mistake, ok := fileMistake(err); ok {
		return StatusCode(mistake), statusWord(mistake), err.Error()
	}
	status, code = StatusCode(err), statusWord(err)
	switch status {
	case http.StatusUnauthorized: // it is this server that the provider turned away
		return http.StatusBadGateway, "unavailable", ErrUnavailable.Error()
	case http.StatusBadGateway:
		return status, code, unreached[code]
	case http.StatusGatewayTimeout:
		return status, code, "timed out"
	case http.StatusInternalServerError:
		return status, "internal", failed
	}
	switch {
	case errors.Is(err, ErrForbidden):
		return status, code, ErrForbidden.Error()
	case errors.Is(err, ErrNotFound) && x.subject() != "":
		return status, code, x.subject() + " not found"
	}
	return status, code, err.Error()
}

// unreached are the texts for what was not reached: the provider, or what should
// have been in a sandbox.
var unreached = map[string]string{
	"unavailable": ErrUnavailable.Error(), "connection_refused": "connection refused", "network_unreachable": "network is unreachable",
}

// subject names what was not found.
func (x *exchange) subject() string {
	switch {
	case x.missing != "":
		return x.missing
	case !x.found:
		return x.req.subject()
	case x.req.TerminalID != "":
		return "Terminal with ID " + x.req.TerminalID
	case x.req.ProcessID != "":
		return "Process " + x.req.ProcessID
	}
	return x.req.subject()
}

func statusWord(err error) string {
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.word
		}
	}
	return "internal"
}

// causes are what an error may match beside the kinds in statuses.
var causes = []struct {
	err  error
	word string
}{
	{fs.ErrClosed, "closed"},
	{exec.ErrNotFound, "command_not_found"},
	{syscall.EISDIR, "is_directory"},
	{syscall.ENOTDIR, "not_directory"},
}

// errorDetail is nil where code says it all, as it must of what is not found:
// nobody shall tell who did not find it.
func errorDetail(err error, code string) *ResponseError {
	if e, ok := errors.AsType[*requestError](err); ok && e.status == http.StatusServiceUnavailable {
		return &ResponseError{NothingDone: true}
	} else if ok || code == "internal" || code == "not_found" {
		return nil
	}
	var d ResponseError
	for _, s := range statuses {
		if s.err != ErrUnauthorized && errors.Is(err, s.err) { //nolint:errorlint // a sentinel of the table
			d.Codes = append(d.Codes, s.word)
		}
	}
	for _, c := range causes {
		if errors.Is(err, c.err) {
			d.Codes = append(d.Codes, c.word)
		}
	}
	if len(d.Codes) == 1 && d.Codes[0] == code {
		d.Codes = nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		d.Op, d.ID, d.RequestID, d.RetryAfterMS = e.Op, e.ID, e.RequestID, e.RetryAfter.Milliseconds()
	}
	d.NothingDone = NothingDone(err)
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		d.FileOp, d.Path = e.Op, e.Path
	}
	if reflect.ValueOf(d).IsZero() {
		return nil
	}
	return &d
}

// fileMistake returns what a client has done wrong with a file, if it has.
func fileMistake(err error) (kind error, ok bool) {
	if _, ok := errors.AsType[*fs.PathError](err); !ok {
		return nil, false
	}
	kind = errnokind.Of(err, ErrConflict)
	return kind, kind != nil
}
