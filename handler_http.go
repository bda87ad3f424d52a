package compute

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// NewHandler serves c to web clients: POST a [Request], get a [Response].
//
// To clients that accept text/event-stream every action answers with events:
// what there is of "stdout", "stderr" and "log", each with {"text": ...} or,
// where that would not be UTF-8, {"base64": ...}; of "event", "file" and
// "ready"; then one "result" with the Response. Characters are not split between
// events, and a comment every 15 s keeps the connection. The ID of an event of
// output says how many bytes the client then has; process.output and
// template.logs go on behind the Last-Event-ID that they are given. What fails
// before any event is answered without, with its status.
//
// GET and PUT, with the request's fields in the query, are for what is not JSON:
// filesystem.download and .upload, archive.get and .put, process.stdin,
// template.create with a build context, terminal.stream, and over WebSocket
// terminal.connect and sandbox.dial. A POST of the type
// application/vnd.compute.request-with-body is a Request on one line and, behind
// it, the input of its command or the tar archive of its build context.
//
// When a client goes away, what it asked for is cancelled: its command is
// killed. Background processes live on. The server's own ReadHeaderTimeout guards
// against clients that are slow to ask. NewHandler panics without an Authorize
// function.
func NewHandler(c Compute, opts HandlerOptions) http.Handler {
	if opts.Authorize == nil {
		panic("compute: NewHandler without HandlerOptions.Authorize")
	}
	return &handler{c: c, opts: opts.withDefaults(), tenants: newTenants(opts.Limits),
		viewers: viewers{of: map[string]int{}}, openAPI: sync.OnceValue(OpenAPI)}
}

type handler struct {
	c       Compute
	opts    HandlerOptions
	tenants *tenants
	viewers viewers
	undo    undoKeys
	cancels cancels
	hooks   hooks
	openAPI func() []byte
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{c: h.c, req: &Request{}, opts: &h.opts, tenants: h.tenants, undo: &h.undo, cancels: &h.cancels}
	if h.opts.Audit != nil {
		begun := time.Now()
		defer func() { h.audit(r, x, begun) }()
	}
	serve, err := h.read(w, r, x)
	if err != nil {
		h.answer(w, r, x, err)
		return
	}
	var abort any
	if x, abort = h.inTime(w, r, x, serve); abort != nil {
		panic(abort)
	}
}

// serveFunc answers a request that may be carried out, otherwise than by a
// Response.
type serveFunc func(w http.ResponseWriter, r *http.Request, x *exchange)

// read decodes the request and says how it is to be answered.
func (h *handler) read(w http.ResponseWriter, r *http.Request, x *exchange) (serveFunc, error) {
	if err := h.checkOrigin(r); err != nil {
		return nil, err
	}
	var serve serveFunc
	var err error
	switch r.Method {
	case http.MethodPost:
		if acceptsEvents(r) {
			serve = h.stream
		}
		err = h.decode(w, r, x)
	case http.MethodGet, http.MethodHead, http.MethodPut:
		serve, err = h.decodeQuery(r, x)
	default:
		err = &requestError{status: http.StatusMethodNotAllowed, code: "method_not_allowed", msg: "Only POST requests are supported"}
	}
	return serve, err
}

// checkOrigin holds for GET as well, which may open connections.
func (h *handler) checkOrigin(r *http.Request) error {
	if r.Method != http.MethodPost {
		r = r.WithContext(r.Context())
		r.Method = http.MethodPost
	}
	if h.opts.CrossOrigin.Check(r) != nil {
		return &requestError{status: http.StatusForbidden, code: "forbidden", msg: "cross-origin request"}
	}
	return nil
}

// decode reads the body to its end, which is also what lets the server notice
// that a client has gone.
func (h *handler) decode(w http.ResponseWriter, r *http.Request, x *exchange) error {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(h.opts.BodyTimeout)) // if w can
	if withBody(r) {
		return h.decodeHead(rc, r, x)
	}
	body, err := readBody(http.MaxBytesReader(w, r.Body, h.opts.MaxBody), r.ContentLength)
	if err != nil {
		return bodyError(err) // the deadline stays: the rest of the body is not waited for
	}
	_ = rc.SetReadDeadline(time.Time{}) // else it would end the request's context
	req, err := parseRequest(body, x.req)
	if err != nil {
		req = &Request{}
	}
	x.req = req
	return err
}

// readBody reads a body to its end. A small one whose size is known takes one
// read: the server ends what it passes on there.
func readBody(body io.Reader, size int64) ([]byte, error) {
	const small = 64 << 10
	if size <= 0 || size > small {
		return io.ReadAll(body)
	}
	p := make([]byte, size)
	_, err := io.ReadFull(body, p)
	return p, err
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

// parseRequest takes one JSON object and nothing else, and decodes it into an empty
// Request. Text that is not UTF-8 would be altered by package json without a word.
func parseRequest(body []byte, req *Request) (*Request, error) {
	if !utf8.Valid(body) {
		return nil, badRequest("request body is not UTF-8")
	}
	err := json.Unmarshal(body, &req) // which makes it nil for null
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

// writeTimeout bounds how long a client may take to accept a piece of an answer
// or an event, and maxPiece how large a piece is.
const (
	writeTimeout = time.Minute
	maxPiece     = 256 << 10
)

// writeAll gives the client its time for each piece of p: a large answer takes a
// slow one longer than a small one.
func writeAll(w io.Writer, rc *http.ResponseController, p []byte) error {
	for {
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // if it can; the server's own may be over
		n := min(len(p), maxPiece)
		if _, err := w.Write(p[:n]); err != nil || n == len(p) {
			return err
		}
		p = p[n:]
	}
}

func (h *handler) reply(w http.ResponseWriter, r *http.Request, x *exchange) {
	resp := x.resp
	body := h.encode(r.Context(), x)
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	setRetryAfter(header, resp)
	if resp.Status == http.StatusMethodNotAllowed {
		header.Set("Allow", http.MethodPost) // whatever else the URL's action may do
	}
	rc := http.NewResponseController(w)
	w.WriteHeader(resp.Status)
	_ = writeAll(w, rc, body) // the client may have gone; nobody to tell
	_ = rc.Flush()
	_ = rc.SetWriteDeadline(time.Time{})
}

// encode logs what the client is not told and returns what it is.
func (h *handler) encode(ctx context.Context, x *exchange) []byte {
	resp := x.resp
	h.log(ctx, resp)
	h.opts.Compat.compatible(x)
	body, err := json.Marshal(resp)
	if err != nil { // a time beyond the year 9999 from a provider, say
		*resp = Response{Provider: resp.Provider, SandboxID: resp.SandboxID, Code: "internal",
			Error: failed, Status: http.StatusInternalServerError, Err: errors.Join(resp.Err, err)}
		h.log(ctx, resp)
		body, _ = json.Marshal(resp) //nolint:errchkjson // strings only
	}
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
	switch {
	case resp.Status == http.StatusBadGateway && resp.Code != "unavailable": // nobody listens inside
	case resp.Status == http.StatusInternalServerError, resp.Status == http.StatusBadGateway, resp.Status == http.StatusServiceUnavailable:
		h.opts.Logger.ErrorContext(ctx, "compute: request failed", "provider", resp.Provider, "sandbox", resp.SandboxID, "err", resp.Err)
	}
}
