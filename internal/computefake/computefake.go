// Package computefake is a [compute.Compute] for the tests of what wraps one. It keeps
// names, runs nothing, and fails when told to.
package computefake

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// Compute is an account in memory. Fill in what the test needs before use.
type Compute struct {
	Label string                        // its Name
	Now   func() time.Time              // when things are created; nil is time.Now
	Fail  func(op, id string) error     // asked before every operation; nil never fails
	Run   func(*compute.Command) string // what a command prints; nil is nothing

	mu        sync.Mutex
	n, closed int
	sandboxes map[string]*compute.SandboxInfo
	templates []*compute.Template
	snapshots []*compute.Snapshot
	created   []*compute.CreateSandboxOptions
}

// Name implements [compute.Compute].
func (c *Compute) Name() string { return c.Label }

// Close implements [io.Closer].
func (c *Compute) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	return nil
}

// Closed returns how often Close was called.
func (c *Compute) Closed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Created returns the options of all sandboxes ever created.
func (c *Compute) Created() []*compute.CreateSandboxOptions {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.created)
}

// SetStatus changes the state of a sandbox.
func (c *Compute) SetStatus(id string, s compute.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sandboxes[id].Status = s
}

// IDs returns the IDs of the sandboxes there are, sorted.
func (c *Compute) IDs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for id := range c.sandboxes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// begin starts an operation; its end is the function it returns.
func (c *Compute) begin(ctx context.Context, op, id string) (func(), error) {
	if c.Fail != nil {
		if err := c.Fail(op, id); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, &compute.Error{Op: op, Provider: c.Label, ID: id, Err: err}
	}
	c.mu.Lock()
	return c.mu.Unlock, nil
}

func (c *Compute) next(prefix string) (id string, created time.Time) {
	c.n++
	if c.Now != nil {
		return fmt.Sprintf("%s%d", prefix, c.n), c.Now()
	}
	return fmt.Sprintf("%s%d", prefix, c.n), time.Now()
}

// CreateSandbox implements [compute.Sandboxes].
func (c *Compute) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	end, err := c.begin(ctx, "create sandbox", "")
	if err != nil {
		return nil, err
	}
	defer end()
	own := providers.CloneOptions(opts)
	c.created = append(c.created, own)
	id, now := c.next("s")
	if c.sandboxes == nil {
		c.sandboxes = map[string]*compute.SandboxInfo{}
	}
	c.sandboxes[id] = &compute.SandboxInfo{ID: id, Name: own.Name, Provider: c.Label, Status: compute.StatusRunning,
		Created: now, Metadata: own.Metadata}
	return &Sandbox{c, id}, nil
}

// GetSandbox implements [compute.Sandboxes].
func (c *Compute) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	if _, err := c.info(ctx, "get sandbox", id); err != nil {
		return nil, err
	}
	return &Sandbox{c, id}, nil
}

func (c *Compute) info(ctx context.Context, op, id string) (*compute.SandboxInfo, error) {
	end, err := c.begin(ctx, op, id)
	if err != nil {
		return nil, err
	}
	defer end()
	info := c.sandboxes[id]
	if info == nil {
		return nil, providers.NotFound(op, c.Label, id)
	}
	own := *info
	return &own, nil
}

// DestroySandbox implements [compute.Sandboxes].
func (c *Compute) DestroySandbox(ctx context.Context, id string) error {
	end, err := c.begin(ctx, "destroy sandbox", id)
	if err != nil {
		return err
	}
	defer end()
	delete(c.sandboxes, id)
	return nil
}

// ListSandboxes implements [compute.Sandboxes].
func (c *Compute) ListSandboxes(ctx context.Context, opts *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	var all []*compute.SandboxInfo
	end, err := c.begin(ctx, "list sandboxes", "")
	if err != nil {
		return providers.Fail[*compute.SandboxInfo](err)
	}
	for _, s := range c.sandboxes {
		own := *s
		all = append(all, &own)
	}
	end()
	slices.SortFunc(all, func(a, b *compute.SandboxInfo) int { return b.Created.Compare(a.Created) })
	limit := 0
	if opts != nil {
		limit = opts.Limit
	}
	return providers.Filter(list(all), opts.Match, limit)
}

func list[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
	}
}
