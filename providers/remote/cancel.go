package remote

import (
	"context"
	"crypto/rand"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/computekit/compute"
)

const (
	// cancelTime is how long the far end may take to end what it was asked for.
	cancelTime = 3 * time.Second
	// restTime is how long the rest of the answer may take after that.
	restTime = time.Second
)

// cancellable returns a context for the request of do whose answer is of use when
// ctx has ended, too: then the far end is asked to cancel it, and the context
// ends a little later. Where the request has not gone yet, or the far end knows no
// such request, it ends at once. The caller must call end when it has the answer.
func (c *client) cancellable(ctx context.Context, do call) (own context.Context, end func()) {
	do.req.CancelKey = rand.Text()
	own, cancel := c.background(ctx)
	var sent atomic.Bool
	own = httptrace.WithClientTrace(own, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		defer cancel()
		if sent.Load() {
			c.cancelThere(own, do.req.CancelKey)
		}
	})
	return own, func() {
		cancel()
		if !stop() {
			<-ended
		}
	}
}

// cancelThere has the far end cancel the request with the key, and waits for its
// answer, of which own tells the end.
func (c *client) cancelThere(own context.Context, key string) {
	if c.endThere(own, key) != nil {
		return // to go away is to cancel, too
	}
	rest := time.NewTimer(restTime)
	defer rest.Stop()
	select {
	case <-own.Done():
	case <-rest.C:
	}
}

// endThere has the far end end the request with the key, and returns when that
// has been done there.
func (c *client) endThere(ctx context.Context, key string) error {
	ctx, done := context.WithTimeout(ctx, cancelTime)
	defer done()
	_, err := c.do(ctx, call{op: "cancel", req: &compute.Request{Action: "compute.cancel", CancelKey: key}})
	return err
}

// givenUp waits for the far end to have ended a request that was broken off, and
// whose context may have ended: what it made so far is gone then.
func (c *client) givenUp(ctx context.Context, key string) {
	ctx, cancel := c.background(ctx)
	defer cancel()
	_ = c.endThere(ctx, key) // if it knows it no more, or cannot be reached, there is nothing to wait for
}
