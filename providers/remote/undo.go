package remote

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// createOne is do for what must not be there if the answer gets lost.
func (c *client) createOne(ctx context.Context, do call) (*compute.Response, error) {
	return c.create(ctx, do, func(do call) (*compute.Response, error) { return c.do(ctx, do) })
}

// create gives the request a key. When no answer comes, or ctx ends, it asks the
// far end to undo what has that key, or to refuse it if it comes later.
func (c *client) create(ctx context.Context, do call, send func(call) (*compute.Response, error)) (*compute.Response, error) {
	do.req.UndoKey = rand.Text()
	resp, err := send(do)
	if err == nil || resp != nil || compute.NothingDone(err) {
		return resp, err
	}
	cleanup, cancel := providers.Cleanup(ctx)
	defer cancel()
	_, uerr := c.do(cleanup, call{op: "undo", idempotent: true,
		req: &compute.Request{Action: "compute.undo", UndoKey: do.req.UndoKey}})
	return nil, errors.Join(err, uerr)
}
