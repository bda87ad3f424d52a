package compute

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// HandlerOptions configures [NewHandler].
type HandlerOptions struct {
	// Authorize decides about every request, after decoding and before
	// anything is done; it may change the request. An error refuses it: the
	// client gets the error's [StatusCode], or 403 if it has none, and not its
	// text. There is no default: running code for strangers has to be asked
	// for, with [AllowAll].
	Authorize func(r *http.Request, req *Request) error

	// CrossOrigin says which browsers may call; nil is those that are on a
	// page of the same origin.
	CrossOrigin *http.CrossOriginProtection

	// MaxBody bounds the request's body in bytes; zero is 1 MiB.
	MaxBody int64

	// BodyTimeout bounds how long the body may take to arrive; zero is 30 s.
	BodyTimeout time.Duration

	// Logger receives what clients are not told: [Response.Err] of outages
	// and internal errors, panics with their stack among them. Nil discards.
	Logger *slog.Logger
}

// AllowAll is for handlers that stand behind someone else's authorization.
func AllowAll(*http.Request, *Request) error { return nil }

// NewHandler serves c to web clients: POST a [Request], get a [Response].
//
// To clients that accept text/event-stream, runCommand answers with events: any
// number of "stdout" and "stderr", each with {"text": ...} or, where that would
// not be UTF-8, {"base64": ...}; then one "result" with the Response. Characters
// are not split between events, and a comment every 15 s keeps the connection.
// What fails before any of it is answered without events, with its status.
//
// When a client goes away, what it asked for is cancelled: its command is
// killed. NewHandler panics without an Authorize function.
func NewHandler(c Compute, opts HandlerOptions) http.Handler {
	if opts.Authorize == nil {
		panic("compute: NewHandler without HandlerOptions.Authorize")
	}
	if opts.MaxBody == 0 {
		opts.MaxBody = 1 << 20
	}
	if opts.BodyTimeout == 0 {
		opts.BodyTimeout = 30 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	h := &handler{c, opts}
	if h.opts.CrossOrigin == nil { // browsers bring cookies along
		h.opts.CrossOrigin = http.NewCrossOriginProtection()
		h.opts.CrossOrigin.SetDenyHandler(http.HandlerFunc(h.denyOrigin))
	}
	return h.opts.CrossOrigin.Handler(h)
}

type handler struct {
	c    Compute
	opts HandlerOptions
}

func (h *handler) denyOrigin(w http.ResponseWriter, r *http.Request) {
	h.refuse(w, r, nil, &requestError{status: http.StatusForbidden, code: "forbidden", msg: "cross-origin request"})
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		h.refuse(w, r, nil, &requestError{status: http.StatusMethodNotAllowed, code: "method_not_allowed",
			msg: "Only POST requests are supported"})
		return
	}
	req, err := h.decode(w, r)
	if err != nil {
		h.refuse(w, r, nil, err)
		return
	}
	if err := h.authorize(r, req); err != nil {
		h.refuse(w, r, req, err)
		return
	}
	if req.Action == actionRun && acceptsEvents(r) {
		h.stream(w, r, req)
		return
	}
	h.reply(w, r, HandleRequest(r.Context(), h.c, req))
}

// decode reads the body to its end, which is also what lets the server notice
// that a client has gone.
func (h *handler) decode(w http.ResponseWriter, r *http.Request) (*Request, error) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(h.opts.BodyTimeout)) // if w can
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.opts.MaxBody))
	if err != nil {
		return nil, bodyError(err) // the deadline stays: the rest of the body is not waited for
	}
	_ = rc.SetReadDeadline(time.Time{}) // else it would end the request's context
	return parseRequest(body)
}

func bodyError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &requestError{status: http.StatusRequestEntityTooLarge, code: "too_large", msg: "request body is too large"}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &requestError{status: http.StatusRequestTimeout, code: "timeout", msg: "request body took too long"}
	}
	return badRequest("request body is incomplete")
}

// parseRequest takes one JSON object and nothing else. Text that is not UTF-8
// would be altered by package json without a word.
func parseRequest(body []byte) (*Request, error) {
	if !utf8.Valid(body) {
		return nil, badRequest("request body is not UTF-8")
	}
	var req *Request // nil after null
	err := json.Unmarshal(body, &req)
	typeErr, mismatch := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case mismatch && typeErr.Field != "":
		return nil, badRequest("%s must not be a JSON %s", typeErr.Field, typeErr.Value)
	case mismatch, err == nil && req == nil:
		return nil, badRequest("request body must be a JSON object")
	case err != nil && json.Valid(body): // contentBase64
		return nil, badRequest("request body: %v", err)
	case err != nil:
		return nil, badRequest("Invalid JSON in request body")
	}
	return req, nil
}

// authorize asks the application. What it does not find is answered in the
// words for a sandbox that does not exist, so that nobody can tell them apart.
func (h *handler) authorize(r *http.Request, req *Request) error {
	err := protect(func() error { return h.opts.Authorize(r, req) })
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*panicError](err); ok {
		return err
	}
	refusal := &requestError{StatusCode(err), statusWord(err), "refused", err}
	switch {
	case refusal.status == http.StatusInternalServerError:
		refusal.status, refusal.code = http.StatusForbidden, "forbidden"
	case errors.Is(err, ErrNotFound) && req.subject() != "":
		refusal.msg = req.subject() + " not found"
	}
	return refusal
}

func acceptsEvents(r *http.Request) bool {
	for accept := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, params, err := mime.ParseMediaType(accept)
		if err != nil || kind != "text/event-stream" {
			continue
		}
		q, err := strconv.ParseFloat(params["q"], 64)
		return err != nil || q > 0
	}
	return false
}

// refuse answers a request that is not carried out.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, req *Request, err error) {
	x := &exchange{c: h.c, req: req}
	x.begin()
	x.fail(err)
	h.reply(w, r, x.resp)
}

// writeTimeout bounds how long a client may take to accept an answer or an
// event.
const writeTimeout = time.Minute

func (h *handler) reply(w http.ResponseWriter, r *http.Request, resp *Response) {
	body := h.encode(r.Context(), resp)
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	setRetryAfter(header, resp)
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // the server's own may be over
	w.WriteHeader(resp.Status)
	_, _ = w.Write(body) // the client may have gone; nobody to tell
	_ = rc.Flush()
	_ = rc.SetWriteDeadline(time.Time{})
}

// encode logs what the client is not told and returns what it is.
func (h *handler) encode(ctx context.Context, resp *Response) []byte {
	body, err := json.Marshal(resp)
	if err != nil { // a time beyond the year 9999 from a provider, say
		*resp = Response{Provider: resp.Provider, SandboxID: resp.SandboxID, Code: "internal",
			Error: failed, Status: http.StatusInternalServerError, Err: errors.Join(resp.Err, err)}
		body, _ = json.Marshal(resp) //nolint:errchkjson // strings only
	}
	h.log(ctx, resp)
	return body
}

// setRetryAfter tells when to come back: as the provider asked, or else a
// second after a quota was found full.
func setRetryAfter(header http.Header, resp *Response) {
	wait := resp.RetryAfter
	if wait <= 0 && resp.Status == http.StatusTooManyRequests {
		wait = time.Second
	}
	if wait > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
}

func (h *handler) log(ctx context.Context, resp *Response) {
	switch resp.Status {
	case http.StatusInternalServerError, http.StatusBadGateway:
		h.opts.Logger.ErrorContext(ctx, "compute: request failed", "provider", resp.Provider, "sandbox", resp.SandboxID, "err", resp.Err)
	}
}
