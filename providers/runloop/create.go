package runloop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// createLabel is the metadata by which a devbox is found again whose making was
// not confirmed. Each create has a value of its own.
const createLabel = "compute.create"

// CreateSandbox implements [compute.Compute] in one request. An answer that was
// lost is looked for among the account's devboxes before anything is made
// again. When ctx ends, CreateSandbox waits for the devbox that may come into
// being, in order to shut it down.
func (p *Provider) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	const op = "create sandbox"
	if err := opts.Validate(); err != nil {
		return nil, named(err)
	}
	if opts == nil {
		opts = &compute.CreateSandboxOptions{}
	}
	if err := ctx.Err(); err != nil {
		return nil, wrap(ctx, op, "", err)
	}
	in, err := p.params(op, opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := bounded(ctx, p.timeouts.Create)
	defer cancel()
	for try := 1; ; try++ {
		if opts.Network != nil {
			if in.LaunchParameters.NetworkPolicyID, err = p.policy(ctx, op, opts.Network); err != nil {
				return nil, err
			}
		}
		c := creation{p: p, in: in, key: newID()}
		in.Metadata[createLabel] = c.key
		view, err := c.run(ctx)
		if err == nil {
			return p.sandbox(view), nil
		}
		if opts.Network != nil && p.policyLost(ctx, in.LaunchParameters.NetworkPolicyID, err) && try < maxPolicies {
			continue
		}
		return nil, p.createError(ctx, op, in, err)
	}
}

// named adds the provider to an error of the options.
func named(err error) error {
	if e, ok := errors.AsType[*compute.Error](err); ok && e.Provider == "" {
		own := *e
		own.Provider = name
		return &own
	}
	return err
}

// createError finds out whether a create failed because there is nothing to
// start from: the service says of that only that the request was wrong.
func (p *Provider) createError(ctx context.Context, op string, in *runloopapi.DevboxCreateParams, err error) error {
	wrapped := wrap(ctx, op, "", err)
	if !notThere(err) || ctx.Err() != nil {
		return wrapped
	}
	var source string
	var found error
	switch {
	case in.SnapshotID != "":
		source = in.SnapshotID
		_, found = p.GetSnapshot(ctx, source)
	case in.BlueprintID != "" || in.BlueprintName != "":
		source = in.BlueprintID + in.BlueprintName
		_, found = p.GetTemplate(ctx, source)
	}
	if errors.Is(found, compute.ErrNotFound) {
		return gone(op, source)
	}
	return wrapped
}

// creation is one devbox being made.
type creation struct {
	p   *Provider
	in  *runloopapi.DevboxCreateParams
	key string
}

type created struct {
	view *runloopapi.DevboxView
	err  error
}

// maxCreates is how often a create is tried.
const maxCreates = 6

// run makes the devbox, and waits until it runs.
func (c *creation) run(ctx context.Context) (*runloopapi.DevboxView, error) {
	began := time.Now()
	for n := 0; ; n++ {
		view, err := c.attempt(ctx, began)
		if err == nil {
			return view, nil
		}
		var api *runloopapi.Error
		_, left := errors.AsType[*compute.Error](err) // a devbox may be: another would be the second
		again := !left && errors.As(err, &api) && (api.StatusCode == http.StatusTooManyRequests || lost(err))
		if !again || ctx.Err() != nil || n+1 >= maxCreates {
			return nil, err
		}
		pause := c.p.timeouts.createStep << n
		if api.RetryAfter > 0 {
			pause = min(api.RetryAfter, time.Minute) // whatever the server says
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < pause {
			return nil, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; the last try: %w", ctx.Err(), err)
		}
	}
}

// attempt asks once. The request does not end with ctx: a devbox whose ID got
// lost could not be shut down.
func (c *creation) attempt(ctx context.Context, began time.Time) (*runloopapi.DevboxView, error) {
	asking, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	answer := make(chan created, 1)
	go func() {
		view, err := c.p.client.Devboxes.CreateAndAwaitRunning(asking, c.in,
			runloopapi.WithIdempotencyKey(c.key), runloopapi.WithRequestRetries(0))
		answer <- created{view, err}
	}()
	select {
	case a := <-answer:
		return c.settle(ctx, a, began)
	case <-ctx.Done():
	}
	return nil, c.giveUp(ctx, cancel, answer, began)
}

// settle turns an answer into a devbox that runs, or into an error with nothing
// left behind.
func (c *creation) settle(ctx context.Context, a created, began time.Time) (*runloopapi.DevboxView, error) {
	if a.view == nil && lost(a.err) {
		view, err := c.find(ctx, began)
		if err != nil {
			return nil, c.undo(ctx, "", errors.Join(a.err, err), began)
		}
		if a.view = view; view == nil {
			return nil, a.err
		}
	}
	if a.view == nil {
		return nil, a.err
	}
	if a.view.Status == runloopapi.DevboxRunning && ctx.Err() == nil {
		return a.view, nil
	}
	view, err := c.p.client.Devboxes.AwaitRunning(ctx, a.view.ID)
	if err != nil {
		return nil, c.undo(ctx, a.view.ID, err, began)
	}
	return view, nil
}

// find looks for the devbox that this create has made: among the newest, as far
// back as it can have been made.
func (c *creation) find(ctx context.Context, began time.Time) (*runloopapi.DevboxView, error) {
	since := began.Add(-10 * time.Minute) // clocks differ
	for view, err := range c.p.client.Devboxes.List(ctx, &runloopapi.DevboxListParams{ListOptions: runloopapi.ListOptions{Limit: 100}}) {
		if err != nil {
			return nil, err
		}
		if view.Metadata[createLabel] == c.key {
			return view, nil
		}
		if created := view.CreateTime.Time(); !created.IsZero() && created.Before(since) {
			break
		}
	}
	return nil, nil
}

// giveUp sees to it that nothing is left when ctx has ended before the answer:
// it shuts the devbox down as soon as it is listed, or answered with.
func (c *creation) giveUp(ctx context.Context, cancel context.CancelFunc, answer <-chan created, began time.Time) error {
	clean, stop := c.p.cleanUp(ctx)
	defer stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var failed error
	for {
		select {
		case a := <-answer:
			var id string
			if a.view != nil {
				id = a.view.ID
			} else if !lost(a.err) {
				return ctx.Err() // the service has refused
			}
			return c.undo(ctx, id, ctx.Err(), began)
		case <-clean.Done():
			cancel()
			<-answer
			return c.undo(ctx, "", errors.Join(ctx.Err(), failed), began)
		case <-tick.C:
		}
		view, err := c.find(clean, began)
		if failed = err; err == nil && view != nil {
			err = c.undo(ctx, view.ID, ctx.Err(), began)
			cancel()
			<-answer
			return err
		}
	}
}

// undo shuts a devbox down, after cause; one that is not known is looked for.
// If that fails the error has its ID, as far as it is known.
func (c *creation) undo(ctx context.Context, id string, cause error, began time.Time) error {
	clean, cancel := c.p.cleanUp(ctx)
	defer cancel()
	if id == "" {
		view, err := c.find(clean, began)
		switch {
		case err != nil:
			return &compute.Error{Op: "create sandbox", Provider: name, Err: fmt.Errorf(
				"%w; a devbox with the metadata %s=%s may be left: %w", cause, createLabel, c.key, err)}
		case view == nil:
			return cause
		}
		id = view.ID
	}
	if err := c.p.shutdown(clean, id); err != nil {
		return &compute.Error{Op: "create sandbox", Provider: name, ID: id,
			Err: fmt.Errorf("%w; the devbox may be left: %w", cause, err)}
	}
	return cause
}

// cleanUp returns a context for undoing what was half done.
func (p *Provider) cleanUp(ctx context.Context) (context.Context, context.CancelFunc) {
	return bounded(context.WithoutCancel(ctx), p.timeouts.CleanUp)
}
