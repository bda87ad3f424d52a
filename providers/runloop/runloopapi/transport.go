package runloopapi

import (
	"bytes"
	"cmp"
	"context"
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
		resp, failure := c.try(ctx, r)
		if failure == nil {
			return resp, nil
		}
		if !failure.again || !c.another(r) {
			return nil, failure
		}
		if err := pause(ctx, r.tries-1, failure); err != nil {
			return nil, err
		}
	}
}

// try makes a request once.
func (c *Client) try(ctx context.Context, r *request) (resp *http.Response, failure *Error) {
	r.tries++
	start := time.Now()
	resp, err := c.send(ctx, r)
	if r.response != nil {
		*r.response = resp
	}
	if err != nil {
		failure = &Error{Method: r.method, Path: r.path, Err: err}
		failure.again = ctx.Err() == nil && r.repeatable() && (errors.Is(err, ErrConnection) || errors.Is(err, ErrTimeout))
	} else if resp.StatusCode >= 300 {
		failure = c.answerError(r, resp)
		failure.again = r.repeatable() && retryable(resp.StatusCode, resp.Header)
		if r.response != nil {
			resp.Body = io.NopCloser(bytes.NewReader(failure.Body))
		}
	}
	c.log(ctx, r, resp, failure, start)
	return resp, failure
}

// repeatable reports whether the body of r is still there.
func (r *request) repeatable() bool { return r.spent == nil || !r.spent() }

var errHeaders = fmt.Errorf("%w: the server took too long to answer", ErrTimeout)

// send sends r and waits for the headers of the answer.
func (c *Client) send(ctx context.Context, r *request) (*http.Response, error) {
	ctx2, cancel := context.WithCancelCause(ctx)
	limit := c.timeout(r)
	watch := &watch{timer: time.AfterFunc(limit, func() { cancel(errHeaders) }), limit: limit}
	req, err := c.httpRequest(ctx2, r, watch)
	if err != nil {
		watch.stop()
		cancel(nil)
		return nil, err
	}
	resp, err := c.conf.client.Do(req)
	stopped := watch.stop()
	if err == nil && stopped {
		resp.Body = &body{ReadCloser: resp.Body, c: c, r: r, ctx: ctx2, cancel: cancel, timer: watch.timer}
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
	own, failedItself := errors.AsType[*contentError](err)
	switch {
	case ctx.Err() != nil:
		return nil, ended(ctx)
	case failedItself:
		return nil, own
	case errors.Is(late, ErrTimeout):
		return nil, errHeaders
	default:
		return nil, fmt.Errorf("%w: %w", ErrConnection, c.hide(r, err))
	}
}

// httpRequest makes the request of one try.
func (c *Client) httpRequest(ctx context.Context, r *request, watch *watch) (*http.Request, error) {
	address := cmp.Or(r.base, c.conf.baseURL) + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	var content io.Reader
	if r.open == nil && len(r.body) > 0 {
		content = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, content)
	if err != nil {
		return nil, errors.New("the request's address is not valid")
	}
	if r.open != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			content, err := r.open()
			return watched{content, watch}, err
		}
		if req.Body, err = req.GetBody(); err != nil {
			return nil, fmt.Errorf("open the content: %w", err)
		}
		req.ContentLength = r.size
	}
	c.setHeaders(req.Header, r)
	return req, nil
}

// watch ends a try when nothing happens for too long before the headers of its answer.
type watch struct {
	mu      sync.Mutex
	stopped bool
	timer   *time.Timer
	limit   time.Duration
}

// touch says that something happened.
func (w *watch) touch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.timer.Reset(w.limit)
	}
}

// stop ends the watch, and reports false if it has ended the try.
func (w *watch) stop() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	return w.timer.Stop()
}

// watched is content being sent: a long upload is not a slow answer.
type watched struct {
	io.ReadCloser
	watch *watch
}

func (w watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.watch.touch()
	return n, err
}

func (c *Client) setHeaders(h http.Header, r *request) {
	if r.base == "" {
		maps.Copy(h, c.conf.header)
		h["Authorization"] = []string{c.conf.auth}
	} else { // another host: neither the key nor the caller's headers are meant for it
		h["Authorization"] = []string{r.auth}
	}
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
		attrs = append(attrs, slog.Int("status", resp.StatusCode), slog.String("request_id", c.requestID(r, resp)))
	} else if failure != nil {
		attrs = append(attrs, slog.Any("error", failure.Err))
	}
	l.LogAttrs(ctx, slog.LevelDebug, "runloop request", attrs...)
}

var errStalled = fmt.Errorf("%w: the answer stopped in the middle", ErrTimeout)

// body is the body of an answer. Closing it frees the context of its try.
type body struct {
	io.ReadCloser
	c      *Client
	r      *request
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
	if err == nil || err == io.EOF {
		return n, err
	}
	if errors.Is(context.Cause(b.ctx), ErrTimeout) {
		return n, errStalled
	}
	return n, b.c.hide(b.r, err)
}

// Close also ends a Read that runs.
func (b *body) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}
