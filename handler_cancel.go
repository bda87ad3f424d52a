package compute

import (
	"context"
	"sync"
)

// cancels are the requests under way that can be cancelled by a key, and whose
// answers then still come: that of a command has its output so far. A client
// that only goes away gets none. They are those of one handler: behind a load
// balancer, the requests of one client have to come to the same one.
type cancels struct {
	mu sync.Mutex
	of map[ownKey]*cancellable
}

type ownKey struct{ owner, key string }

type cancellable struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when what was asked for has ended
}

// cancellable makes what is done in ctx end by the request's key, until end is
// called.
func (x *exchange) cancellable(ctx context.Context) (_ context.Context, end func(), err error) {
	if x.cancels == nil || x.req.CancelKey == "" || x.req.Action == actionCancel {
		return ctx, func() {}, nil
	}
	if len(x.req.CancelKey) > maxKey {
		return nil, nil, badRequest("cancelKey has more than %d bytes", maxKey)
	}
	ctx, cancel := context.WithCancel(ctx)
	k, c := ownKey{x.owner, x.req.CancelKey}, &cancellable{cancel, make(chan struct{})}
	if !x.cancels.add(k, c) {
		cancel()
		return nil, nil, &Error{Op: "request", Kind: ErrConflict, NothingDone: true, Err: errKeyUsed}
	}
	return ctx, func() {
		x.cancels.remove(k)
		close(c.done)
		cancel()
	}, nil
}

func (cs *cancels) add(k ownKey, c *cancellable) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.of[k] != nil {
		return false
	}
	if cs.of == nil {
		cs.of = map[ownKey]*cancellable{}
	}
	cs.of[k] = c
	return true
}

func (cs *cancels) get(k ownKey) *cancellable {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.of[k]
}

func (cs *cancels) remove(k ownKey) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.of, k)
}

// cancelRequest ends the context of the request under way that has the key, and
// waits for its end.
func cancelRequest(ctx context.Context, x *exchange) error {
	if x.cancels == nil {
		return unsupported("cancel")
	}
	c := x.cancels.get(ownKey{x.owner, x.req.CancelKey})
	if c == nil {
		return &Error{Op: "cancel", Kind: ErrNotFound}
	}
	c.cancel()
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
