package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// fail completes an error of do. One that is about a file is an
// [*fs.PathError], as those of any file system.
func (c *client) fail(do call, e *compute.Error) error {
	e.Op, e.Provider = cmp.Or(e.Op, do.op), c.name
	e.ID = cmp.Or(e.ID, do.id)
	if do.path != "" {
		return &fs.PathError{Op: do.op, Path: do.path, Err: e}
	}
	return e
}

// lost is the error of a request without an answer, or with half of one.
func (c *client) lost(ctx context.Context, do call, err error) error {
	if ctx.Err() != nil {
		return c.fail(do, &compute.Error{Err: context.Cause(ctx)})
	}
	if own, ok := errors.AsType[*url.Error](err); ok {
		err = own.Err // without the URL
	}
	network, ok := errors.AsType[*net.OpError](err)
	return c.fail(do, &compute.Error{Kind: compute.ErrUnavailable, Err: err, NothingDone: ok && network.Op == "dial"})
}

// strange is the error of an answer that no handler gave, but something on the
// way to it, of whose text nothing is known.
func (c *client) strange(do call, answer *http.Response) error {
	e := &compute.Error{Kind: cmp.Or(providers.Kind(answer.StatusCode), compute.ErrUnavailable), StatusCode: answer.StatusCode,
		RequestID: requestID(answer.Header), RetryAfter: retryAfter(answer.Header),
		Err: fmt.Errorf("status %d, and not from a compute handler", answer.StatusCode)}
	if errors.Is(e.Kind, compute.ErrNotFound) { // the handler, not what was asked for
		e.Kind = compute.ErrUnavailable
	}
	return c.fail(do, e)
}

func requestID(h http.Header) string {
	return cmp.Or(h.Get("X-Request-Id"), h.Get("Request-Id"))
}

// retryAfter takes seconds only; a date would need the other clock.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 24*60*60)) * time.Second
}
