package runloop

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// pageSize is the most that the service sends at once.
const pageSize = 5000

// GetSandbox implements [compute.Compute].
func (p *Provider) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	view, err := p.view(ctx, "get sandbox", id)
	if err != nil {
		return nil, err
	}
	return p.sandbox(view), nil
}

// view asks for a devbox. One that was shut down is not there.
func (p *Provider) view(ctx context.Context, op, id string) (*runloopapi.DevboxView, error) {
	ctx, cancel := bounded(ctx, p.timeouts.Short)
	defer cancel()
	view, err := p.client.Devboxes.Get(ctx, id)
	switch {
	case err != nil && unknown(err, id) && ctx.Err() == nil:
		return nil, gone(op, id)
	case err != nil:
		return nil, wrap(ctx, op, id, err)
	case destroyed(view):
		return nil, gone(op, id)
	}
	return view, nil
}

// goneLabel is the metadata of devboxes that had failed and were destroyed: the
// service leaves them in the state of failure for ever.
const goneLabel = "compute.gone"

// destroyed reports whether a devbox is what the portable API calls gone. One
// that failed is still there, and tells why, until it is destroyed.
func destroyed(view *runloopapi.DevboxView) bool {
	return view.Status == runloopapi.DevboxShutdown || view.Metadata[goneLabel] != ""
}

// ListSandboxes implements [compute.Compute], in pages of 5000.
func (p *Provider) ListSandboxes(ctx context.Context, opts *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	const op = "list sandboxes"
	if err := opts.Validate(); err != nil {
		return providers.Fail[*compute.SandboxInfo](named(err))
	}
	limit, params := 0, &runloopapi.DevboxListParams{ListOptions: runloopapi.ListOptions{Limit: pageSize}}
	if opts != nil {
		own := compute.ListSandboxesOptions{Status: slices.Clone(opts.Status), Metadata: joined(nil, opts.Metadata), Limit: opts.Limit}
		opts, limit = &own, own.Limit
		params.Status = onlyStatus(own.Status)
		if limit > 0 && len(own.Metadata) == 0 {
			params.Limit = min(pageSize, max(2*limit, 100)) // destroyed ones are among them
		}
	}
	all := func(yield func(*compute.SandboxInfo, error) bool) {
		for view, err := range p.client.Devboxes.List(ctx, params) {
			if err != nil {
				yield(nil, wrap(ctx, op, "", err))
				return
			}
			if !destroyed(view) && !yield(info(view), nil) {
				return
			}
		}
	}
	return providers.Filter(all, opts.Match, limit)
}

// onlyStatus is the one status of the service's to ask for, if there is just
// one.
func onlyStatus(want []compute.Status) runloopapi.DevboxStatus {
	if len(want) != 1 {
		return ""
	}
	switch want[0] {
	case compute.StatusRunning:
		return runloopapi.DevboxRunning
	case compute.StatusSuspended:
		return runloopapi.DevboxSuspended
	case compute.StatusSuspending:
		return runloopapi.DevboxSuspending
	case compute.StatusFailed:
		return runloopapi.DevboxFailure
	}
	return ""
}

// DestroySandbox implements [compute.Compute].
func (p *Provider) DestroySandbox(ctx context.Context, id string) error {
	ctx, cancel := bounded(ctx, p.timeouts.Short)
	defer cancel()
	return wrap(ctx, "destroy sandbox", id, p.shutdown(ctx, id))
}

// shutdown shuts a devbox down, and deletes its network policy if no other has
// it. One that is not known is no error.
func (p *Provider) shutdown(ctx context.Context, id string) error {
	p.closeRelay(id)
	view, err := p.client.Devboxes.Shutdown(ctx, id, &runloopapi.DevboxShutdownParams{Force: true})
	switch {
	case err == nil && view.Status == runloopapi.DevboxFailure && !destroyed(view):
		_, err = p.client.Devboxes.Update(ctx, id, &runloopapi.DevboxUpdateParams{
			Metadata: joined(view.Metadata, map[string]string{goneLabel: "true"})})
		return errors.Join(err, p.dropPolicy(ctx, view.LaunchParameters.NetworkPolicyID))
	case err == nil:
		if err := p.dropPolicy(ctx, view.LaunchParameters.NetworkPolicyID); err != nil {
			return fmt.Errorf("the network policy %s may be left: %w", view.LaunchParameters.NetworkPolicyID, err)
		}
		return nil
	case errors.Is(err, runloopapi.ErrNotFound) && ctx.Err() == nil:
		return nil
	}
	if errors.Is(err, runloopapi.ErrBadRequest) && ctx.Err() == nil {
		// What is no ID is none of a devbox; of a devbox it would be a refusal.
		if view, err2 := p.client.Devboxes.Get(ctx, id); err2 != nil && unknown(err2, id) || err2 == nil && view.Status.Final() {
			return nil
		}
	}
	return err
}
