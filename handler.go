package compute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"time"
)

// Request is one call to a [Compute] in JSON. Which fields matter depends on
// Action; the names are those of ComputeSDK's handleComputeRequest. Fields that
// are not known are ignored, because its clients send some.
type Request struct {
	Action    string            `json:"action"` // such as "compute.sandbox.runCommand"
	SandboxID string            `json:"sandboxId,omitempty"`
	ID        string            `json:"id,omitempty"`      // of a template or snapshot
	Command   string            `json:"command,omitempty"` // a script; with Args, a program
	Args      []string          `json:"args,omitempty"`
	Cwd       string            `json:"cwd,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
	Path      string            `json:"path,omitempty"`
	Port      int               `json:"port,omitempty"`

	// Content is what to write to a file; ContentBase64 is for what is not
	// UTF-8. One of them must be there, if only as "".
	Content       *string `json:"content,omitempty"`
	ContentBase64 []byte  `json:"contentBase64,omitempty"`

	Options        RequestOptions `json:"options,omitzero"`
	CommandOptions CommandOptions `json:"commandOptions,omitzero"`
}

// RequestOptions are options of a [Request].
type RequestOptions struct {
	Name       string            `json:"name,omitempty"`
	TemplateID string            `json:"templateId,omitempty"`
	SnapshotID string            `json:"snapshotId,omitempty"`
	Image      string            `json:"image,omitempty"`
	Dockerfile string            `json:"dockerfile,omitempty"`
	Envs       map[string]string `json:"envs,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"`
	Limit      int               `json:"limit,omitempty"`   // of a listing
	Timeout    int64             `json:"timeout,omitempty"` // milliseconds: the sandbox's lifetime, or the command's
}

// CommandOptions are options of a command in a [Request].
type CommandOptions struct {
	Background bool `json:"background,omitempty"` // not supported
}

// Response is the answer to a [Request].
//
// Code says of a failure what [errors.Is] would say of the error: "invalid",
// "unauthorized", "forbidden", "not_found", "conflict", "quota", "unsupported",
// "timeout", "canceled" and "unavailable" are the sentinels of this package and
// their kin; "file_not_exist", "file_exist", "file_permission" and
// "file_invalid" those of package io/fs; "internal" is anything else. HTTP adds
// "method_not_allowed" and "too_large".
type Response struct {
	Success   bool   `json:"success"`
	Error     string `json:"error,omitempty"` // for people
	Code      string `json:"code,omitempty"`  // for programs
	Provider  string `json:"provider"`
	SandboxID string `json:"sandboxId"`

	Result    *ResponseResult   `json:"result,omitempty"`
	Info      *ResponseSandbox  `json:"info,omitempty"`
	Sandboxes []ResponseSandbox `json:"sandboxes,omitzero"`
	URL       string            `json:"url,omitempty"`
	Exists    *bool             `json:"exists,omitempty"`
	Files     []ResponseFile    `json:"files,omitzero"`
	Template  *Template         `json:"template,omitempty"`
	Templates []*Template       `json:"templates,omitzero"`
	Snapshot  *Snapshot         `json:"snapshot,omitempty"`
	Snapshots []*Snapshot       `json:"snapshots,omitzero"`

	// FileContent is a file's content as text. If the file is not UTF-8,
	// FileContentBase64 is the content as it is.
	FileContent       *string `json:"fileContent,omitempty"`
	FileContentBase64 []byte  `json:"fileContentBase64,omitempty"`

	// Status is the HTTP status to send, and RetryAfter, if not zero, goes into
	// the header of that name. Err is what Error may not tell to strangers; it
	// belongs in the server's log.
	Status     int           `json:"-"`
	RetryAfter time.Duration `json:"-"`
	Err        error         `json:"-"`
}

// ResponseResult is a [Result] in JSON. Output that is not UTF-8 is in the
// fields for base64 as it was.
type ResponseResult struct {
	*Result
	StdoutBase64  []byte `json:"stdoutBase64,omitempty"`
	StderrBase64  []byte `json:"stderrBase64,omitempty"`
	DurationMS    int64  `json:"durationMs"`
	ExecutionTime int64  `json:"executionTime"` // the same under its older name
}

// ResponseSandbox is a [SandboxInfo] in JSON.
type ResponseSandbox struct {
	*SandboxInfo
	SandboxID string `json:"sandboxId"`         // the ID, under the name that listings have
	Timeout   int64  `json:"timeout,omitempty"` // milliseconds from creation to expiry, if it expires
}

// ResponseFile is an entry of a directory in JSON.
type ResponseFile struct {
	Name         string    `json:"name"`
	Path         string    `json:"path"`
	Size         int64     `json:"size"`
	IsDirectory  bool      `json:"isDirectory"`
	Type         string    `json:"type"` // "file" or "directory"
	LastModified time.Time `json:"lastModified"`
	Modified     time.Time `json:"modified"` // the same under its newer name
}

// HandleRequest carries out one request. It is the whole of the protocol but
// for HTTP and the question who may do what: callers answer that first.
// [NewHandler] does both. The Response is never nil.
func HandleRequest(ctx context.Context, c Compute, req *Request) *Response {
	return (&exchange{c: c, req: req}).run(ctx)
}

// exchange is a request on its way to being a response.
type exchange struct {
	c              Compute
	req            *Request
	resp           *Response
	stdout, stderr io.Writer // for output that is streamed
}

func (x *exchange) run(ctx context.Context) *Response {
	x.begin()
	err := protect(func() error { return x.do(ctx) })
	if err != nil {
		x.fail(err)
		return x.resp
	}
	x.resp.Success, x.resp.Status = true, http.StatusOK
	return x.resp
}

// begin makes a response that echoes whom the request is about.
func (x *exchange) begin() {
	x.resp = &Response{Provider: x.c.Name()}
	if x.req == nil {
		x.req = &Request{}
	}
	if x.req.Action != actionCreate {
		x.resp.SandboxID = x.req.SandboxID
	}
}

func (x *exchange) do(ctx context.Context) error {
	act, known := actions[x.req.Action]
	switch {
	case x.req.Action == "":
		return badRequest("action is required")
	case !known:
		return badRequest("Unknown action: %s", x.req.Action)
	}
	for _, field := range act.needs {
		if err := field(x.req); err != nil {
			return err
		}
	}
	return act.do(ctx, x)
}

// protect turns a panic into an error: a provider's bug is not the client's to
// read, nor a reason to drop the connection.
func protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, debug.Stack()}
		}
	}()
	return f()
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
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return
	}
	x.resp.RetryAfter = e.RetryAfter
	if x.req.Action == actionCreate {
		x.resp.SandboxID = cmp.Or(x.resp.SandboxID, e.ID) // what could not be cleaned up
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
	if isFileMistake(err) {
		return http.StatusBadRequest, "file_invalid", err.Error()
	}
	status, code = StatusCode(err), statusWord(err)
	switch status {
	case http.StatusUnauthorized: // it is this server that the provider turned away
		return http.StatusBadGateway, "unavailable", ErrUnavailable.Error()
	case http.StatusBadGateway:
		return status, code, ErrUnavailable.Error()
	case http.StatusGatewayTimeout:
		return status, code, "timed out"
	case http.StatusInternalServerError:
		return status, "internal", failed
	}
	switch {
	case errors.Is(err, ErrForbidden):
		return status, code, ErrForbidden.Error()
	case errors.Is(err, ErrNotFound) && x.req.subject() != "":
		return status, code, x.req.subject() + " not found"
	}
	return status, code, err.Error()
}

func statusWord(err error) string {
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.word
		}
	}
	return "internal"
}
