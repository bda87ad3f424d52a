package runloopapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
)

// call makes a request with the JSON form of in, nil for none, and decodes the answer into out, nil for none. The path is escaped, see p.
func (c *Client) call(
	ctx context.Context, method, path string, query url.Values, in, out any, opts ...RequestOption,
) error {
	r := newRequest(method, path, query, opts)
	if err := r.encode(in); err != nil {
		return err
	}
	return c.callRequest(ctx, r, decodeInto(out))
}

// decodeInto returns what decodes an answer into out, unless that is nil. An empty answer is an error: what was asked for is not
// in it.
func decodeInto(out any) func([]byte) error {
	if out == nil {
		return func([]byte) error { return nil }
	}
	return func(body []byte) error { return json.Unmarshal(body, out) }
}

// callRequest makes a request and gives the whole answer to decode, which must not keep it. An answer to a GET that was
// cut off is asked for again.
func (c *Client) callRequest(ctx context.Context, r *request, decode func([]byte) error) error {
	for {
		resp, err := c.do(ctx, r) //nolint:bodyclose // readAnswer closes it
		if err != nil {
			return err
		}
		err = c.readAnswer(r, resp, decode)
		if err == nil {
			return nil
		}
		failure := &Error{
			StatusCode: resp.StatusCode, Method: r.method, Path: r.path, RequestID: c.requestID(r, resp), Err: err,
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
		return fmt.Errorf("%w: decode the answer: %w", ErrAnswer, c.hide(r, err))
	}
	return nil
}

// get makes a GET and decodes its answer.
func get[T any](ctx context.Context, c *Client, path string, query url.Values, opts []RequestOption) (*T, error) {
	out := new(T)
	if err := c.call(ctx, http.MethodGet, path, query, nil, out, opts...); err != nil {
		return nil, err
	}
	return out, nil
}

// post makes a POST with the JSON form of in, nil for none, and decodes its answer.
func post[T any](ctx context.Context, c *Client, path string, in any, opts []RequestOption) (*T, error) {
	return postQuery[T](ctx, c, path, nil, in, opts)
}

// postQuery is post with a query.
func postQuery[T any](
	ctx context.Context, c *Client, path string, query url.Values, in any, opts []RequestOption,
) (*T, error) {
	out := new(T)
	if err := c.call(ctx, http.MethodPost, path, query, in, out, opts...); err != nil {
		return nil, err
	}
	return out, nil
}
