package compute

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// undoKeys remembers what was created or started under the keys of clients, so
// that a client which has lost the answer leaves nothing behind. It is the
// memory of one handler: behind a load balancer, the requests of one client have
// to come to the same one.
type undoKeys struct {
	mu    sync.Mutex
	of    map[string]map[string]*creation // of each owner, by key
	sweep int                             // look for old ones of everybody once there are as many owners
}

// creation is what has one key.
type creation struct {
	begun time.Time
	done  chan struct{}               // closed when it is known what there is to undo
	undo  func(context.Context) error // nil if there is nothing
}

// over reports whether c has come to its end.
func (c *creation) over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// How many creations of one owner a handler remembers, for how long at least if
// there is room, and how many bytes a key has at most.
const (
	maxUndo    = 1 << 12
	rememberIt = 10 * time.Minute
	maxKey     = 128
)

// get returns the creation under an owner's key, which is new if there was none.
func (u *undoKeys) get(owner, key string) (c *creation, fresh bool, err error) {
	if len(key) > maxKey {
		return nil, false, badRequest("undoKey has more than %d bytes", maxKey)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if c := u.of[owner][key]; c != nil {
		return c, false, nil
	}
	u.makeRoom(owner)
	if len(u.of[owner]) >= maxUndo { // all of them under way
		return nil, false, overLimit(time.Minute, "too many keys")
	}
	if u.of[owner] == nil {
		u.of[owner] = map[string]*creation{}
	}
	c = &creation{begun: time.Now(), done: make(chan struct{})}
	u.of[owner][key] = c
	return c, true, nil
}

// makeRoom forgets what is old, and of an owner with very many creations the
// first of them. u.mu is held.
func (u *undoKeys) makeRoom(owner string) {
	if u.of == nil {
		u.of, u.sweep = map[string]map[string]*creation{}, 1024
	}
	if len(u.of) >= u.sweep {
		for one := range u.of {
			u.drop(one, time.Now().Add(-rememberIt))
		}
		u.sweep = max(1024, 2*len(u.of))
	}
	mine := u.of[owner]
	if len(mine) < maxUndo {
		return
	}
	begun := make([]time.Time, 0, len(mine))
	for _, c := range mine {
		begun = append(begun, c.begun)
	}
	slices.SortFunc(begun, time.Time.Compare)
	u.drop(owner, begun[len(begun)/4])
}

// drop forgets the creations of an owner that are over and began before then.
func (u *undoKeys) drop(owner string, then time.Time) {
	maps.DeleteFunc(u.of[owner], func(_ string, c *creation) bool { return c.over() && !c.begun.After(then) })
	if len(u.of[owner]) == 0 {
		delete(u.of, owner)
	}
}

func (u *undoKeys) forget(owner, key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if delete(u.of[owner], key); len(u.of[owner]) == 0 {
		delete(u.of, owner)
	}
}

var errKeyUsed = errors.New("the key was used before")

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
		return &Error{Op: "request", Kind: ErrConflict, NothingDone: true, Err: errKeyUsed}
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
		actionTemplate, "compute.snapshot.create", "compute.volume.create":
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
