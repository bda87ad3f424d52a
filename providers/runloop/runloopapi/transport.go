package runloopapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// call makes a request with the JSON form of in, nil for none, and decodes the answer into out, nil for none. The path is escaped, see p.
func (c *Client) call(
	ctx context.Context, method, path string, query url.Values, in, out any, opts ...RequestOption,
) error {
	r := newRequest(method, path, query, opts)
	if err := r.encode(in); err != nil {
		return err
	}
	return c.callRequest(ctx, r, func(body []byte) error {
		if out == nil || len(bytes.TrimSpace(body)) == 0 {
			return nil
		}
		return json.Unmarshal(body, out)
	})
}

// callRequest makes a request and gives the whole answer to decode, which must not keep it. An answer to a GET that was
// cut off is asked for again.
func (c *Client) callRequest(ctx context.Context, r *request, decode func([]byte) error) error {
	for {
		resp, err := c.do(ctx, r)
		if err != nil {
			return err
		}
		err = c.readAnswer(r, resp, decode)
		if err == nil {
			return nil
		}
		failure := &Error{
			StatusCode: resp.StatusCode, Method: r.method, Path: r.path, RequestID: c.redact(requestID(resp)), Err: err,
		}
		if ctx.Err() != nil {
			failure.Err = ended(ctx)
			return failure
		}
		if r.method != http.MethodGet || !errors.Is(err, ErrConnection) || !c.another(r) {
			return failure
		}
		if err := pause(ctx, r.tries-1, failure); err != nil {
			return err
		}
	}
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readAnswer reads the answer and gives it to decode.
func (c *Client) readAnswer(r *request, resp *http.Response, decode func([]byte) error) error {
	buf := buffers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= 1<<20 { // one huge answer must not stay in memory
			buf.Reset()
			buffers.Put(buf)
		}
	}()
	body := resp.Body.(*body)
	body.stall = c.timeout(r)
	_, err := buf.ReadFrom(io.LimitReader(body, c.conf.maxBody+1))
	_ = body.Close()
	switch {
	case err != nil:
		return fmt.Errorf("%w: read the answer: %w", ErrConnection, err)
	case int64(buf.Len()) > c.conf.maxBody:
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, c.conf.maxBody)
	}
	if r.response != nil {
		resp.Body = io.NopCloser(bytes.NewReader(bytes.Clone(buf.Bytes())))
	}
	if err := decode(buf.Bytes()); err != nil {
		return fmt.Errorf("decode the answer: %w", err)
	}
	return nil
}

func (c *Client) timeout(r *request) time.Duration {
	if r.timeout > 0 {
		return r.timeout
	}
	return c.conf.timeout
}

// another reports whether r may be tried once more.
func (c *Client) another(r *request) bool {
	if r.retries >= 0 {
		return r.tries <= r.retries
	}
	return r.tries <= c.conf.retries
}

// do makes a request, again where that is due, and returns the first answer of success. The caller reads and closes its
// body, which is a *body.
func (c *Client) do(ctx context.Context, r *request) (*http.Response, error) {
	if r.path == "" {
		return nil, fmt.Errorf("runloop: %s: an ID is missing or is not one: %w", r.method, ErrBadRequest)
	}
	for {
		resp, failure, again := c.try(ctx, r)
		if failure == nil {
			return resp, nil
		}
		if !again || !c.another(r) {
			return nil, failure
		}
		if err := pause(ctx, r.tries-1, failure); err != nil {
			return nil, err
		}
	}
}

// try makes a request once. When it fails, again says whether another try is allowed.
func (c *Client) try(ctx context.Context, r *request) (resp *http.Response, failure *Error, again bool) {
	r.tries++
	start := time.Now()
	resp, err := c.send(ctx, r)
	if r.response != nil {
		*r.response = resp
	}
	if err != nil {
		failure = &Error{Method: r.method, Path: r.path, Err: err}
		again = ctx.Err() == nil && !r.spent() && (errors.Is(err, ErrConnection) || errors.Is(err, ErrTimeout))
	} else if resp.StatusCode >= 300 {
		failure = c.answerError(r, resp)
		again = !r.spent() && retryable(resp.StatusCode, resp.Header)
		if r.response != nil {
			resp.Body = io.NopCloser(bytes.NewReader(failure.Body))
		}
	}
	c.log(ctx, r, resp, failure, start)
	return resp, failure, again
}

// spent reports whether the body of r is gone, so that r cannot be tried again.
func (r *request) spent() bool { return r.once && r.sent }

var errHeaders = fmt.Errorf("%w: the server took too long to answer", ErrTimeout)

// send sends r and waits for the headers of the answer.
func (c *Client) send(ctx context.Context, r *request) (*http.Response, error) {
	ctx2, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.timeout(r), func() { cancel(errHeaders) })
	req, err := c.httpRequest(ctx2, r)
	if err != nil {
		timer.Stop()
		cancel(nil)
		return nil, err
	}
	resp, err := c.conf.client.Do(req) //nolint:bodyclose // the caller closes it
	stopped := timer.Stop()
	if err == nil && stopped {
		resp.Body = &body{ReadCloser: resp.Body, ctx: ctx2, cancel: cancel, timer: timer}
		return resp, nil
	}
	if err == nil { // the timer was faster by a hair
		_ = resp.Body.Close()
		err = errHeaders
	}
	late := context.Cause(ctx2)
	cancel(nil)
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err // its text would repeat the address
	}
	switch {
	case ctx.Err() != nil:
		return nil, ended(ctx)
	case errors.Is(late, ErrTimeout):
		return nil, errHeaders
	default:
		return nil, fmt.Errorf("%w: %w", ErrConnection, err)
	}
}

// httpRequest makes the request of one try.
func (c *Client) httpRequest(ctx context.Context, r *request) (*http.Request, error) {
	address := c.conf.baseURL + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	var content io.Reader
	switch {
	case r.open != nil:
		opened, err := r.open()
		if err != nil {
			return nil, fmt.Errorf("open the content: %w", err)
		}
		content = opened
	case len(r.body) > 0:
		content = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, content)
	if err != nil {
		return nil, errors.New("the request's address is not valid")
	}
	c.setHeaders(req.Header, r)
	return req, nil
}

func (c *Client) setHeaders(h http.Header, r *request) {
	maps.Copy(h, c.conf.header)
	h["Authorization"] = []string{c.conf.auth}
	h["Accept"] = []string{r.accept}
	h["User-Agent"] = []string{c.conf.userAgent}
	if r.mediaType != "" && r.method != http.MethodGet {
		h["Content-Type"] = []string{r.mediaType}
	}
	if r.key != "" {
		h["X-Request-Id"] = []string{r.key}
	}
	maps.Copy(h, r.header)
}

func (c *Client) log(ctx context.Context, r *request, resp *http.Response, failure *Error, start time.Time) {
	l := c.conf.logger
	if l == nil || !l.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", r.method), slog.String("path", r.path), slog.Duration("duration", time.Since(start)),
	}
	if resp != nil {
		attrs = append(attrs, slog.Int("status", resp.StatusCode), slog.String("request_id", c.redact(requestID(resp))))
	} else if failure != nil {
		attrs = append(attrs, slog.Any("error", failure.Err))
	}
	l.LogAttrs(ctx, slog.LevelDebug, "runloop request", attrs...)
}

var errStalled = fmt.Errorf("%w: the answer stopped in the middle", ErrTimeout)

// body is the body of an answer. Closing it frees the context of its try.
type body struct {
	io.ReadCloser
	ctx    context.Context // the try's
	cancel context.CancelCauseFunc
	timer  *time.Timer   // cancels, fired or stopped
	stall  time.Duration // how long a Read may take; 0 is for ever
}

func (b *body) Read(p []byte) (int, error) {
	if b.stall > 0 {
		b.timer.Reset(b.stall)
		defer b.timer.Stop()
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && errors.Is(context.Cause(b.ctx), ErrTimeout) {
		err = errStalled
	}
	return n, err
}

// Close also ends a Read that runs.
func (b *body) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}
