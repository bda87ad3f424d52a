package compute

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// undoKeys remembers what was created or started under the keys of clients, so
// that a client which has lost the answer leaves nothing behind. It is the
// memory of one handler: behind a load balancer, the requests of one client have
// to come to the same one.
type undoKeys struct {
	mu sync.Mutex
	of map[string]*creation
}

// creation is what has one key.
type creation struct {
	begun time.Time
	done  chan struct{}               // closed when it is known what there is to undo
	undo  func(context.Context) error // nil if there is nothing
}

// How many creations a handler remembers, and for how long.
const (
	maxUndo    = 1 << 16
	rememberIt = 10 * time.Minute
)

// get returns the creation under a key, which is new if there was none.
func (u *undoKeys) get(key string) (c *creation, fresh bool, err error) {
	if c := u.of[key]; c != nil {
		return c, false, nil
	}
	if len(u.of) >= maxUndo {
		for key, c := range u.of {
			if time.Since(c.begun) > rememberIt {
				delete(u.of, key)
			}
		}
	}
	if len(u.of) >= maxUndo {
		return nil, false, overLimit(time.Minute, "too many keys")
	}
	if u.of == nil {
		u.of = map[string]*creation{}
	}
	c = &creation{begun: time.Now(), done: make(chan struct{})}
	u.of[key] = c
	return c, true, nil
}

func (u *undoKeys) forget(key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.of, key)
}

// undoKey is the key of x among those of all tenants.
func (x *exchange) undoKey() string { return x.owner + "\x00" + x.req.UndoKey }

// undoable does what may have to be undone by the request's key.
func (x *exchange) undoable(ctx context.Context, do func() error) error {
	if x.undo == nil || x.req.UndoKey == "" || x.req.Action == "compute.undo" {
		return do()
	}
	x.undo.mu.Lock()
	c, fresh, err := x.undo.get(x.undoKey())
	x.undo.mu.Unlock()
	if err != nil {
		return err
	}
	if !fresh { // it came twice, or after its end
		return &Error{Op: "request", Kind: ErrConflict, NothingDone: true, Err: fmt.Errorf("the key was used before")}
	}
	defer close(c.done) // after a panic too
	if err := do(); err != nil {
		x.undo.forget(x.undoKey()) // the same request may be tried again
		return err
	}
	c.undo = x.undoing()
	return nil
}

// undoing returns how to undo what was done; nil if it leaves nothing.
func (x *exchange) undoing() func(context.Context) error {
	c, resp := x.c, x.resp
	switch {
	case x.req.Action == actionCreate:
		id := resp.SandboxID
		return func(ctx context.Context) error { return c.DestroySandbox(ctx, id) }
	case resp.Process != nil:
		sandbox, id := resp.SandboxID, resp.Process.ProcessID
		return func(ctx context.Context) error { return killIn(ctx, c, sandbox, id) }
	case resp.Template != nil:
		id := resp.Template.ID
		return func(ctx context.Context) error { return c.DeleteTemplate(ctx, id) }
	case resp.Snapshot != nil:
		id := resp.Snapshot.ID
		return func(ctx context.Context) error { return c.DeleteSnapshot(ctx, id) }
	case resp.Volume != nil:
		id := resp.Volume.ID
		return func(ctx context.Context) error { return DeleteVolume(ctx, c, id) }
	}
	return nil
}

func killIn(ctx context.Context, c Compute, sandboxID, processID string) error {
	sb, err := c.GetSandbox(ctx, sandboxID)
	if err != nil {
		return err
	}
	p, err := GetProcess(ctx, sb, processID)
	if err != nil {
		return err
	}
	return p.Kill(ctx)
}

// undo waits for what has the request's key and undoes it. If there is no such
// thing, none will come later.
func undo(ctx context.Context, x *exchange) error {
	if x.undo == nil {
		return unsupported("undo")
	}
	x.undo.mu.Lock()
	c, fresh, err := x.undo.get(x.undoKey())
	if fresh {
		close(c.done)
	}
	x.undo.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.undo == nil {
		return nil
	}
	return c.undo(ctx)
}
