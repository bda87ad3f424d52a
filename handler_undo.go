package compute

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"
)

// undoKeys remembers what was created or started under the keys of clients, so
// that a client which has lost the answer leaves nothing behind. It is the
// memory of one handler: behind a load balancer, the requests of one client have
// to come to the same one.
type undoKeys struct {
	mu sync.Mutex
	of map[string]map[string]*creation // of each owner, by key
}

// creation is what has one key.
type creation struct {
	begun time.Time
	done  chan struct{}               // closed when it is known what there is to undo
	undo  func(context.Context) error // nil if there is nothing
}

// How many creations of one owner a handler remembers, for how long, and how
// many bytes a key has at most.
const (
	maxUndo    = 1 << 12
	rememberIt = 10 * time.Minute
	maxUndoKey = 128
)

// get returns the creation under an owner's key, which is new if there was none.
func (u *undoKeys) get(owner, key string) (c *creation, fresh bool, err error) {
	if len(key) > maxUndoKey {
		return nil, false, badRequest("undoKey has more than %d bytes", maxUndoKey)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if c := u.of[owner][key]; c != nil {
		return c, false, nil
	}
	if len(u.of[owner]) >= maxUndo {
		maps.DeleteFunc(u.of[owner], func(_ string, c *creation) bool { return time.Since(c.begun) > rememberIt })
	}
	if len(u.of[owner]) >= maxUndo {
		return nil, false, overLimit(time.Minute, "too many keys")
	}
	if u.of == nil {
		u.of = map[string]map[string]*creation{}
	}
	if u.of[owner] == nil {
		u.of[owner] = map[string]*creation{}
	}
	c = &creation{begun: time.Now(), done: make(chan struct{})}
	u.of[owner][key] = c
	return c, true, nil
}

func (u *undoKeys) forget(owner, key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.of[owner], key)
}

// undoable does what may have to be undone by the request's key.
func (x *exchange) undoable(ctx context.Context, do func() error) error {
	if x.undo == nil || x.req.UndoKey == "" || x.req.Action == "compute.undo" {
		return do()
	}
	c, fresh, err := x.undo.get(x.owner, x.req.UndoKey)
	if err != nil {
		return err
	}
	if !fresh { // it came twice, or after its end
		return &Error{Op: "request", Kind: ErrConflict, NothingDone: true, Err: fmt.Errorf("the key was used before")}
	}
	defer close(c.done) // after a panic too
	if err := do(); err != nil {
		x.undo.forget(x.owner, x.req.UndoKey) // the same request may be tried again
		return err
	}
	c.undo = x.undoing()
	return nil
}

// undoing returns how to undo what was done; nil if it leaves nothing.
func (x *exchange) undoing() func(context.Context) error {
	c, resp := x.c, x.resp
	switch x.req.Action { // what shows a thing does not get leave to delete it
	case actionCreate, actionRun, "compute.sandbox.process.start", "compute.sandbox.terminal.create",
		"compute.template.create", "compute.snapshot.create", "compute.volume.create":
	default:
		return nil
	}
	switch {
	case x.req.Action == actionCreate:
		id := resp.SandboxID
		return func(ctx context.Context) error { return c.DestroySandbox(ctx, id) }
	case resp.Terminal != nil:
		sandbox, id := resp.SandboxID, resp.Terminal.TerminalID
		return func(ctx context.Context) error { return killIn(ctx, c, sandbox, id) }
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
	c, fresh, err := x.undo.get(x.owner, x.req.UndoKey)
	if err != nil {
		return err
	}
	if fresh {
		close(c.done)
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
