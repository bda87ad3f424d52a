package remote

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// kinds are the words of the wire for compute.Error.Kind, most important first.
var kinds = []struct {
	word string
	err  error
}{
	{"invalid", compute.ErrInvalid},
	{"unauthorized", compute.ErrUnauthorized},
	{"forbidden", compute.ErrForbidden},
	{"not_found", compute.ErrNotFound},
	{"conflict", compute.ErrConflict},
	{"quota", compute.ErrQuota},
	{"unsupported", errors.ErrUnsupported},
	{"unavailable", compute.ErrUnavailable},
	{"truncated", compute.ErrTruncated},
}

// causes are the words for what else an error may match.
var causes = map[string]error{
	"timeout":             context.DeadlineExceeded,
	"file_not_exist":      fs.ErrNotExist,
	"file_exist":          fs.ErrExist,
	"file_permission":     fs.ErrPermission,
	"file_invalid":        fs.ErrInvalid,
	"closed":              fs.ErrClosed,
	"command_not_found":   exec.ErrNotFound,
	"limit":               compute.ErrLimit,
	"is_directory":        syscall.EISDIR,
	"not_directory":       syscall.ENOTDIR,
	"connection_refused":  syscall.ECONNREFUSED,
	"network_unreachable": syscall.ENETUNREACH,
}

// commandFailed is the word for a compute.ExitError.
const commandFailed = "command_failed"

// farError is a cause at the far end: its text, and what it matched there.
type farError struct {
	text    string
	matches []error
	exit    *compute.ExitError // nil if it was none
}

func (e *farError) Error() string { return e.text }

func (e *farError) Unwrap() error {
	if e.exit == nil {
		return nil
	}
	return e.exit
}

func (e *farError) Is(target error) bool { return slices.Contains(e.matches, target) }

// failure is the error that a Response tells of; nil if it is a success.
func (c *client) failure(ctx context.Context, do call, resp *compute.Response, answer *http.Response) error {
	if resp.Success {
		return nil
	}
	if ctx.Err() != nil { // the far end may have noticed first
		return c.lost(ctx, do, ctx.Err())
	}
	var detail compute.ResponseError
	if resp.ErrorDetail != nil {
		detail = *resp.ErrorDetail
	}
	words := append([]string{resp.Code}, detail.Codes...)
	e := &compute.Error{Op: do.op, Provider: c.name, ID: cmp.Or(detail.ID, do.id), Kind: kind(words, answer.StatusCode),
		RequestID: cmp.Or(detail.RequestID, requestID(answer.Header)), NothingDone: detail.NothingDone,
		RetryAfter: cmp.Or(time.Duration(detail.RetryAfterMS)*time.Millisecond, retryAfter(answer.Header))}
	if answer.StatusCode >= http.StatusBadRequest {
		e.StatusCode = answer.StatusCode
	}
	if resp.Code == "not_found" && do.creates { // what was left behind, and not what was not found
		e.ID = cmp.Or(resp.SandboxID, detail.ID)
	}
	if resp.Code == "not_found" && do.req.ID != "" && resp.Error == "Snapshot "+do.req.ID+" not found" {
		e.ID = do.req.ID
	}
	cause := &farError{text: news(resp.Error, e.Kind), matches: matches(words)}
	if res := result(resp.Result); res != nil && resp.Code == commandFailed {
		cause.exit = &compute.ExitError{Result: res}
	}
	if cause.text != "" || len(cause.matches) > 0 {
		e.Err = cause
	}
	if detail.Path == "" && !isFileWord(resp.Code) {
		return e
	}
	return c.fileError(do, detail, e, cause)
}

// news returns what the far end's text says beyond what an error of the kind
// prints anyway.
func news(text string, kind error) string {
	own, typed := strings.CutPrefix(text, "compute: ")
	if kind == nil {
		return own
	}
	if own == kind.Error() || typed && strings.HasSuffix(own, ": "+kind.Error()) {
		return ""
	}
	if _, why, ok := strings.Cut(own, kind.Error()+": "); typed && ok {
		return why
	}
	return own
}

// fileError is an error as a file system has it, around e if e says more.
func (c *client) fileError(do call, detail compute.ResponseError, e *compute.Error, cause *farError) error {
	own := &fs.PathError{Op: cmp.Or(detail.FileOp, do.op), Path: cmp.Or(detail.Path, do.path), Err: e}
	for _, err := range cause.matches {
		if e.Kind == nil && len(cause.matches) == 1 {
			own.Err = err
		}
	}
	return own
}

func isFileWord(word string) bool { return strings.HasPrefix(word, "file_") }

// kind returns the Kind that the words stand for. An answer without any that is
// known has its status.
func kind(words []string, status int) error {
	for _, k := range kinds {
		if slices.Contains(words, k.word) {
			return k.err
		}
	}
	word := words[0]
	if word == "canceled" { // by somebody else: this context goes on
		return compute.ErrUnavailable
	}
	if _, known := causes[word]; known || word == "internal" || word == commandFailed {
		return nil
	}
	return providers.Kind(status)
}

// matches returns all that the words stand for, without the first kind.
func matches(words []string) []error {
	var errs []error
	for _, word := range words {
		if err := causes[word]; err != nil && !slices.Contains(errs, err) {
			errs = append(errs, err)
		}
	}
	for _, k := range kinds {
		if slices.Contains(words, k.word) && len(words) > 1 {
			errs = append(errs, k.err)
		}
	}
	return errs
}
