package runloopapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// What an [Error] can be, for errors.Is.
var (
	ErrBadRequest    = errors.New("bad request")          // status 400
	ErrUnauthorized  = errors.New("key not accepted")     // 401
	ErrForbidden     = errors.New("not allowed")          // 403
	ErrNotFound      = errors.New("not found")            // 404: the server says so
	ErrTimeout       = errors.New("timed out")            // 408, a try that took too long, or a wait that ended
	ErrConflict      = errors.New("conflict")             // 409
	ErrUnprocessable = errors.New("not processable")      // 422
	ErrRateLimit     = errors.New("too many requests")    // 429
	ErrServer        = errors.New("server error")         // 500 and above
	ErrConnection    = errors.New("no answer")            // the request or its answer was lost on the way
	ErrTooLarge      = errors.New("answer is too large")  // see WithMaxBody
	ErrAnswer        = errors.New("answer is not valid")  // of success, and yet not what the API promises
	ErrState         = errors.New("ended in other state") // what was waited for can no longer come
)

// Error is a call that failed: the server's answer when StatusCode is not zero, otherwise what kept it from coming.
type Error struct {
	StatusCode int           // of the answer, or the code of an error event within a stream; 0 without an answer
	Message    string        // the server's explanation, in its words; may be empty
	RequestID  string        // the server's x-request-id header, for its support; may be empty
	Method     string        // of the request
	Path       string        // of the request, without host and query
	RetryAfter time.Duration // how long the server asks to wait; 0 if it does not
	Body       []byte        // the answer, at most 64 KiB of it
	Err        error         // the cause when there was no answer or it could not be read

	again bool // the call may be made again
}

// Error describes e in one line, without host, query, headers and body.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "runloop: %s %s: ", e.Method, e.Path)
	switch {
	case e.Err != nil && e.StatusCode != 0:
		fmt.Fprintf(&b, "status %d: %v", e.StatusCode, e.Err)
	case e.Err != nil:
		fmt.Fprintf(&b, "%v", e.Err)
	default:
		fmt.Fprintf(&b, "%d %s", e.StatusCode, cmp.Or(e.Message, http.StatusText(e.StatusCode), "unknown status"))
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether e is what the sentinel target says.
func (e *Error) Is(target error) bool { return e.kind() == target && target != nil }

func (e *Error) kind() error {
	switch e.StatusCode {
	case 0:
		return nil // Err knows
	case http.StatusBadRequest:
		return ErrBadRequest
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusForbidden:
		return ErrForbidden
	case http.StatusNotFound:
		return ErrNotFound
	case http.StatusRequestTimeout:
		return ErrTimeout
	case http.StatusConflict:
		return ErrConflict
	case http.StatusUnprocessableEntity:
		return ErrUnprocessable
	case http.StatusTooManyRequests:
		return ErrRateLimit
	}
	if e.StatusCode >= 500 {
		return ErrServer
	}
	return nil
}

const (
	maxErrorBody    = 64 << 10
	maxErrorMessage = 2 << 10
)

// answerError makes the error of an answer with a status of failure, and closes its body.
func (c *Client) answerError(r *request, resp *http.Response) *Error {
	resp.Body.(*body).timer.Reset(min(c.timeout(r), c.conf.timeout)) // what it says is not worth waiting for
	text, _ := io.ReadAll(io.LimitReader(resp.Body, int64(maxErrorBody+len(c.conf.apiKey)+len(r.auth))))
	_ = resp.Body.Close()
	e := &Error{
		StatusCode: resp.StatusCode, Method: r.method, Path: r.path, RequestID: c.requestID(r, resp),
		RetryAfter: retryAfter(resp.Header, time.Now()), Body: []byte(shorten(c.redact(r, string(text)), maxErrorBody)),
	}
	e.Message = message(e.Body)
	return e
}

// message is what a body of an error says: its field "message", or all of it.
func message(body []byte) string {
	var fields struct {
		Message string `json:"message"`
	}
	text := string(body)
	if json.Unmarshal(body, &fields) == nil && fields.Message != "" {
		text = fields.Message
	}
	if len(text) > maxErrorMessage {
		text = text[:maxErrorMessage] + "…"
	}
	return strings.ToValidUTF8(strings.TrimSpace(text), "\uFFFD")
}

// redact removes the key, and what r has in its place, from what a server sent: some repeat the headers of a request that they
// refuse. It must see all of a text: in a part of it the key could be cut, and would not be found.
func (c *Client) redact(r *request, s string) string {
	s = strings.ReplaceAll(s, c.conf.apiKey, "[key]")
	if token := strings.TrimPrefix(r.auth, "Bearer "); token != "" {
		s = strings.ReplaceAll(s, token, "[token]")
	}
	return s
}

// hide is redact for errors: those of net/http quote answers that it does not understand.
func (c *Client) hide(r *request, err error) error {
	text := err.Error()
	if clean := c.redact(r, text); clean != text {
		return errors.New(clean)
	}
	return err
}

func (c *Client) requestID(r *request, resp *http.Response) string {
	return shorten(c.redact(r, resp.Header.Get("X-Request-Id")), 256)
}

func shorten(s string, n int) string { return s[:min(len(s), n)] }
