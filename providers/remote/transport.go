package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/computekit/compute"
)

// client talks to one handler.
type client struct {
	url    *url.URL
	http   *http.Client
	header func(context.Context, http.Header) error
	name   string
	behind []string // the names of the providers there, at least name
	close  func()

	upgrader upgrader

	// Processes whose readers and writers this program serves.
	serving sync.WaitGroup
	closed  context.Context
}

// background returns a context for work that outlives ctx, but not c.
func (c *client) background(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(c.closed, cancel)
	return ctx, func() { stop(); cancel() }
}

// Limits of what is read from the far end.
const (
	maxAnswer = 64 << 20 // bytes of one Response or event; two captured outputs fit, escaped
	maxDrain  = 64 << 10 // bytes read to use a connection again
)

// attempts and pause say how idempotent operations are tried again.
const (
	attempts = 3
	pause    = 50 * time.Millisecond
	maxPause = 2 * time.Second
)

// call is one operation at the far end.
type call struct {
	op         string // as in compute.Error.Op
	id         string // of what it is about, for errors
	path       string // the file it is about, if any
	idempotent bool
	long       bool   // keep the connection from being given up as silent
	creates    bool   // the error's ID is of what was left behind
	lastEvent  string // where a stream goes on
	req        *compute.Request
}

// do sends a Request and returns the Response, or its error.
func (c *client) do(ctx context.Context, do call) (resp *compute.Response, err error) {
	err = c.retry(ctx, do, func(ctx context.Context) error {
		resp, err = c.once(ctx, do)
		return err
	})
	return resp, err
}

// retry tries again what may be tried again, unless the far end wants it to
// wait for long: that is the caller's to decide.
func (c *client) retry(ctx context.Context, do call, f func(context.Context) error) error {
	op := compute.Op{Name: do.op, Idempotent: do.idempotent}
	var last error
	_ = compute.Retry(attempts, pause)(ctx, op, func(ctx context.Context) error {
		last = f(ctx)
		if e, ok := errors.AsType[*compute.Error](last); ok && e.RetryAfter > maxPause {
			return nil
		}
		return last
	})
	return last
}

func (c *client) once(ctx context.Context, do call) (*compute.Response, error) {
	if do.long { // events, of which only the last matters
		return c.stream(ctx, do, func(*event) error { return nil })
	}
	answer, err := c.post(ctx, do, "application/json") //nolint:bodyclose // drain does
	if err != nil {
		return nil, err
	}
	defer drain(answer.Body)
	return c.response(ctx, do, answer)
}

// post sends the Request of do and returns the answer, whatever its status.
func (c *client) post(ctx context.Context, do call, accept string) (*http.Response, error) {
	body, err := encode(do.req)
	if err != nil {
		return nil, c.fail(do, &compute.Error{Kind: compute.ErrInvalid, Err: err})
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, c.fail(do, &compute.Error{Kind: compute.ErrInvalid, Err: errors.New("malformed URL")})
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", accept)
	if do.lastEvent != "" {
		r.Header.Set("Last-Event-ID", do.lastEvent)
	}
	return c.send(do, r)
}

// send adds the credentials and sends r.
func (c *client) send(do call, r *http.Request) (*http.Response, error) {
	if err := c.prepare(do, r); err != nil {
		return nil, err
	}
	answer, err := c.http.Do(r) //nolint:gosec // the URL is the caller's Config
	if err != nil {
		return nil, c.lost(r.Context(), do, err)
	}
	return answer, nil
}

// prepare adds the credentials, unless it is too late for that.
func (c *client) prepare(do call, r *http.Request) error {
	if err := r.Context().Err(); err != nil {
		return c.fail(do, &compute.Error{Err: err, NothingDone: true})
	}
	if c.header == nil {
		return nil
	}
	if err := c.header(r.Context(), r.Header); err != nil {
		return c.fail(do, &compute.Error{Err: fmt.Errorf("credentials: %w", err), NothingDone: true})
	}
	return nil
}

// response reads the Response in an answer.
func (c *client) response(ctx context.Context, do call, answer *http.Response) (*compute.Response, error) {
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if kind != "application/json" {
		return nil, c.strange(do, answer)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return nil, c.lost(ctx, do, err)
	}
	if len(body) > maxAnswer {
		return nil, c.fail(do, &compute.Error{Kind: compute.ErrTruncated, StatusCode: answer.StatusCode,
			Err: fmt.Errorf("the answer has more than %d bytes", maxAnswer)})
	}
	resp, err := c.parse(do, body)
	if err != nil && answer.StatusCode >= http.StatusBadRequest {
		return nil, c.strange(do, answer) // a proxy's own words
	}
	if err != nil {
		return nil, err
	}
	return resp, c.failure(ctx, do, resp, answer)
}

// parse decodes a Response.
func (c *client) parse(do call, body []byte) (*compute.Response, error) {
	var resp *compute.Response
	if err := json.Unmarshal(body, &resp); err != nil || resp == nil {
		return nil, c.fail(do, &compute.Error{Kind: compute.ErrUnavailable, Err: errors.New("the answer is not that of a compute handler")})
	}
	if !resp.Success && resp.Code == "" {
		return nil, c.fail(do, &compute.Error{Kind: compute.ErrUnavailable, Err: errors.New("the answer is neither success nor failure")})
	}
	return resp, nil
}

// drain lets the connection of a body that is of no further use be used again,
// if little is left of it.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxDrain)
	_ = body.Close()
}
