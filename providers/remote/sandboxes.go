package remote

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// CreateSandbox implements [compute.Sandboxes]. An entry of opts.Extra that is
// for a provider at the far end is unsupported: there is no way to send it.
func (p *Provider) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	const op = "create sandbox"
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	req := &compute.Request{Action: "compute.sandbox.create"}
	if opts != nil {
		if err := p.refuseExtra(op, opts.Extra); err != nil {
			return nil, err
		}
		req.Options = createOptions(opts)
	}
	resp, err := p.createOne(ctx, call{op: op, long: true, creates: true, req: req})
	if err != nil {
		return nil, err
	}
	sb, err := p.sandbox(ctx, call{op: op, id: resp.SandboxID}, resp.SandboxID)
	if err != nil {
		cleanup, cancel := providers.Cleanup(ctx)
		defer cancel()
		return nil, errors.Join(err, p.DestroySandbox(cleanup, resp.SandboxID))
	}
	return sb, nil
}

// refuseExtra does not let options get lost on the way to the provider that
// they are for.
func (p *Provider) refuseExtra(op string, extra []compute.ProviderOptions) error {
	for _, o := range extra {
		if o != nil && slices.Contains(p.behind, o.ForProvider()) {
			return p.fail(call{op: op}, &compute.Error{Kind: errors.ErrUnsupported, Err: fmt.Errorf("option Extra for %s, which is at the far end", o.ForProvider())})
		}
	}
	return nil
}

// GetSandbox implements [compute.Sandboxes].
func (p *Provider) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	return p.sandbox(ctx, call{op: "get sandbox", id: id}, id)
}

// sandbox asks the far end for a sandbox and what it can do.
func (p *Provider) sandbox(ctx context.Context, do call, id string) (compute.Sandbox, error) {
	if id == "" {
		return nil, p.fail(do, &compute.Error{Kind: compute.ErrNotFound})
	}
	do.idempotent, do.req = true, &compute.Request{Action: "compute.capabilities", SandboxID: id}
	resp, err := p.do(ctx, do)
	if err != nil {
		return nil, err
	}
	if resp.Capabilities == nil {
		return nil, p.incomplete(do)
	}
	s := &Sandbox{client: p.client, id: id, can: *resp.Capabilities}
	return withAbilities[compute.Sandbox](s, sandboxAbilities{s}, ofSandbox, s.can.Sandbox), nil
}

// ListSandboxes implements [compute.Sandboxes]. The listing is one answer.
func (p *Provider) ListSandboxes(ctx context.Context, opts *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	if err := opts.Validate(); err != nil {
		return providers.Fail[*compute.SandboxInfo](err)
	}
	req := &compute.Request{Action: "compute.sandbox.list"}
	limit := 0
	if opts != nil {
		limit = opts.Limit
		req.Status, req.Options.Metadata, req.Options.Limit = opts.Status, opts.Metadata, opts.Limit
	}
	all := list(ctx, p.client, call{op: "list sandboxes", req: req}, func(resp *compute.Response) []*compute.SandboxInfo {
		infos := make([]*compute.SandboxInfo, len(resp.Sandboxes))
		for i, sb := range resp.Sandboxes {
			infos[i] = sb.SandboxInfo
		}
		return infos
	})
	return providers.Filter(all, opts.Match, limit)
}

// list makes a listing of a Response.
func list[T any](ctx context.Context, c *client, do call, values func(*compute.Response) []T) iter.Seq2[T, error] {
	do.idempotent = true
	return providers.Paginate(ctx, func(ctx context.Context, _ string) ([]T, string, error) {
		resp, err := c.do(ctx, do)
		if err != nil {
			return nil, "", err
		}
		return values(resp), "", nil
	})
}

// DestroySandbox implements [compute.Sandboxes].
func (p *Provider) DestroySandbox(ctx context.Context, id string) error {
	return p.client.destroy(ctx, id)
}

func (c *client) destroy(ctx context.Context, id string) error {
	if id == "" { // there is none of that name
		return ctx.Err()
	}
	_, err := c.do(ctx, call{op: "destroy sandbox", id: id, idempotent: true,
		req: &compute.Request{Action: "compute.sandbox.destroy", SandboxID: id}})
	return err
}
