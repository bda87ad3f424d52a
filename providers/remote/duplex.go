package remote

import (
	"context"
	"io"
	"net/http"

	"github.com/computekit/compute"
)

// duplex is stream for a command with input: the body is the Request, a newline
// and the input as it is read. It is never tried again, as input that was read
// cannot be read again. A failure of stdin's is the caller's error.
func (c *client) duplex(ctx context.Context, do call, stdin io.Reader, each func(*event) error) (*compute.Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	head, err := encode(do.req)
	if err != nil {
		return nil, c.fail(do, &compute.Error{Kind: compute.ErrInvalid, Err: err})
	}
	in := &source{Reader: stdin}
	body := in.pipe(append(head, '\n'))
	defer body.Close()
	r, err := c.raw(ctx, call{op: do.op, req: &compute.Request{}}, http.MethodPost, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/vnd.compute.request-with-body")
	r.Header.Set("Accept", "text/event-stream")
	resp, err := c.exchange(ctx, do, r, each)
	if failed := in.failure(); failed != nil {
		return resp, failed
	}
	return resp, err
}

// pipe returns a stream of head and what s reads. Closing it does not wait for
// a Read of s, which may block for ever.
func (s *source) pipe(head []byte) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		_, err := w.Write(head)
		if err == nil {
			_, err = io.Copy(w, s)
		}
		_ = w.CloseWithError(err)
	}()
	return r
}

func (c *client) exchange(ctx context.Context, do call, r *http.Request, each func(*event) error) (*compute.Response, error) {
	answer, err := c.send(do, r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return c.events(ctx, do, answer, each)
}
