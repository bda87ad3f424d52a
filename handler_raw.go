package compute

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// rawAnswer is what an answer that is not JSON needs of HTTP.
type rawAnswer struct {
	h     *handler
	w     http.ResponseWriter
	r     *http.Request
	rc    *http.ResponseController
	begun bool // it is too late for JSON

	status int // what it began with, if that is not 200
}

// serveRaw does act, which may answer by itself. What fails before that is
// answered in JSON; later the connection is cut, so that nobody takes what came
// for the whole.
func (h *handler) serveRaw(w http.ResponseWriter, r *http.Request, x *exchange, act action) {
	ctx := r.Context()
	x.raw = &rawAnswer{h: h, w: w, r: r, rc: http.NewResponseController(w)}
	x.lastEvent = r.Header.Get("Last-Event-ID")
	if r.Method == http.MethodPut {
		x.body = &uploadReader{r: http.MaxBytesReader(beneath(w), r.Body, h.opts.MaxUpload), rc: x.raw.rc, timeout: h.opts.BodyTimeout}
	}
	x.begin()
	err := protect(func() error { return x.perform(ctx, act) })
	if r.Method == http.MethodPut && (err == nil || !isRequestError(err)) {
		_ = x.raw.rc.SetReadDeadline(time.Time{})
	}
	switch {
	case err == nil:
		x.resp.Success, x.resp.Status = true, cmp.Or(x.raw.status, http.StatusOK)
	default:
		x.fail(err)
	}
	if !x.raw.begun {
		h.reply(w, r, x)
		return
	}
	h.log(ctx, x.resp)
	_ = x.raw.rc.SetWriteDeadline(time.Time{})
	if err != nil && x.raw.w != nil {
		panic(http.ErrAbortHandler)
	}
}

func isRequestError(err error) bool { _, ok := errors.AsType[*requestError](err); return ok }

// Write writes a piece of the body, for which the client has a minute.
func (a *rawAnswer) Write(p []byte) (int, error) {
	a.begun = true
	_ = a.rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // if it can
	n, err := a.w.Write(p)
	if err != nil { // nobody reads any more
		err = errors.Join(context.Canceled, err)
	}
	return n, err
}

// header makes the answer one of bytes, which no browser may take for a page.
func (a *rawAnswer) header(contentType string) http.Header {
	header := a.w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Content-Disposition", "attachment")
	header.Set("Content-Security-Policy", "sandbox")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Accel-Buffering", "no")
	return header
}

// uploadReader reads a body, each piece of which has its time to arrive.
type uploadReader struct {
	r       io.Reader
	rc      *http.ResponseController
	timeout time.Duration
}

func (u *uploadReader) Read(p []byte) (int, error) {
	_ = u.rc.SetReadDeadline(time.Now().Add(u.timeout)) // if it can
	n, err := u.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a Reader's own
		err = bodyError(err)
	}
	return n, err
}

func upload(ctx context.Context, x *exchange, sb Sandbox) error {
	return writeStream(ctx, sb.Filesystem(), x.req.Path, x.body, x.req.Mode.or(0o644))
}

func writeArchive(ctx context.Context, x *exchange, sb Sandbox) error {
	err := WriteArchive(ctx, sb.Filesystem(), x.req.Path, x.body)
	if err == nil {
		_, err = io.Copy(io.Discard, x.body) // what is behind the archive's end
	}
	return err
}

func streamStdin(ctx context.Context, x *exchange, p Process) error {
	return typeInto(ctx, p, x.body, x.req.Close)
}

func readArchive(ctx context.Context, x *exchange, sb Sandbox) error {
	x.raw.header("application/x-tar")
	if x.raw.r.Method == http.MethodHead {
		x.raw.begun = true
		return nil
	}
	err := ReadArchive(ctx, sb.Filesystem(), x.req.Path, x.raw)
	if err != nil && !x.raw.begun {
		clear(x.raw.w.Header())
	}
	return err
}
