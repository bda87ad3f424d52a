package remote

import (
	"context"
	"io"
	"iter"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// thing is an operation on a template, snapshot or volume by its ID. An empty
// one is nobody's.
func (c *client) thing(ctx context.Context, op, action, id string) (*compute.Response, error) {
	do := call{op: op, id: id, idempotent: true, req: &compute.Request{Action: action, ID: id}}
	if id == "" {
		return nil, c.fail(do, &compute.Error{Kind: compute.ErrNotFound})
	}
	return c.do(ctx, do)
}

// remove is thing for what need not be there.
func (c *client) remove(ctx context.Context, op, action, id string) error {
	if id == "" {
		return ctx.Err()
	}
	_, err := c.thing(ctx, op, action, id)
	return err
}

// one returns what the Response should bring.
func one[T any](c *client, op string, resp *compute.Response, err error, v func(*compute.Response) *T) (*T, error) {
	if err != nil {
		return nil, err
	}
	if v(resp) == nil {
		return nil, c.incomplete(call{op: op})
	}
	return v(resp), nil
}

func template(resp *compute.Response) *compute.Template { return resp.Template }
func snapshot(resp *compute.Response) *compute.Snapshot { return resp.Snapshot }
func volume(resp *compute.Response) *compute.Volume     { return resp.Volume }

// CreateTemplate implements [compute.Templates]. The build context is sent as
// it is packed.
func (p *Provider) CreateTemplate(ctx context.Context, opts *compute.CreateTemplateOptions) (*compute.Template, error) {
	do := call{op: "create template", creates: true, req: &compute.Request{Action: "compute.template.create"}}
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if err := p.refuseExtra(do.op, opts.Extra); err != nil {
		return nil, err
	}
	do.req.Options = templateOptions(opts)
	resp, err := p.create(ctx, do, func(do call) (*compute.Response, error) {
		each := func(e *event) error { return logTo(e, opts.Log) }
		if opts.Context == nil {
			return p.stream(ctx, do, each)
		}
		archive := contextTar(opts.Context)
		defer archive.Close()
		return p.duplex(ctx, do, archive, each)
	})
	return one(p.client, do.op, resp, err, template)
}

// logTo writes a piece of a log; a nil w discards.
func logTo(e *event, w io.Writer) error {
	if e.name != "log" || w == nil {
		return nil
	}
	own := *e
	own.name = "stdout"
	return pass(&own, w, nil)
}

// GetTemplate implements [compute.Templates].
func (p *Provider) GetTemplate(ctx context.Context, idOrName string) (*compute.Template, error) {
	const op = "get template"
	resp, err := p.thing(ctx, op, "compute.template.get", idOrName)
	return one(p.client, op, resp, err, template)
}

// ListTemplates implements [compute.Templates]. The listing is one answer.
func (p *Provider) ListTemplates(ctx context.Context, opts *compute.ListTemplatesOptions) iter.Seq2[*compute.Template, error] {
	if err := opts.Validate(); err != nil {
		return providers.Fail[*compute.Template](err)
	}
	do := call{op: "list templates", req: &compute.Request{Action: "compute.template.list"}}
	if opts != nil {
		do.req.Options = compute.RequestOptions{Name: opts.Name, Metadata: opts.Metadata, Limit: opts.Limit}
	}
	return list(ctx, p.client, do, func(resp *compute.Response) []*compute.Template { return resp.Templates })
}

// DeleteTemplate implements [compute.Templates].
func (p *Provider) DeleteTemplate(ctx context.Context, id string) error {
	return p.remove(ctx, "delete template", "compute.template.delete", id)
}

// TemplateLog implements [compute.TemplateLogger]. A log that is cut goes on
// where it was.
func (a computeAbilities) TemplateLog(ctx context.Context, id string, w io.Writer) error {
	do := call{op: "template log", id: id, idempotent: true, req: &compute.Request{Action: "compute.template.logs", ID: id}}
	if id == "" {
		return a.fail(do, &compute.Error{Kind: compute.ErrNotFound})
	}
	return a.resume(ctx, do, func(e *event) error { return logTo(e, w) })
}

// CreateSnapshot implements [compute.Snapshots].
func (p *Provider) CreateSnapshot(ctx context.Context, sandboxID string, opts *compute.CreateSnapshotOptions) (*compute.Snapshot, error) {
	do := call{op: "create snapshot", id: sandboxID, long: true, req: &compute.Request{Action: "compute.snapshot.create", SandboxID: sandboxID}}
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if sandboxID == "" {
		return nil, p.fail(do, &compute.Error{Kind: compute.ErrNotFound})
	}
	if opts != nil {
		do.req.Options = compute.RequestOptions{Name: opts.Name, Metadata: opts.Metadata}
	}
	resp, err := p.createOne(ctx, do)
	return one(p.client, do.op, resp, err, snapshot)
}

// GetSnapshot implements [compute.Snapshots].
func (p *Provider) GetSnapshot(ctx context.Context, id string) (*compute.Snapshot, error) {
	const op = "get snapshot"
	resp, err := p.thing(ctx, op, "compute.snapshot.get", id)
	return one(p.client, op, resp, err, snapshot)
}

// ListSnapshots implements [compute.Snapshots]. The listing is one answer.
func (p *Provider) ListSnapshots(ctx context.Context, opts *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error] {
	if err := opts.Validate(); err != nil {
		return providers.Fail[*compute.Snapshot](err)
	}
	do := call{op: "list snapshots", req: &compute.Request{Action: "compute.snapshot.list"}}
	if opts != nil {
		do.req.SandboxID = opts.SandboxID
		do.req.Options = compute.RequestOptions{Name: opts.Name, Metadata: opts.Metadata, Limit: opts.Limit}
	}
	return list(ctx, p.client, do, func(resp *compute.Response) []*compute.Snapshot { return resp.Snapshots })
}

// DeleteSnapshot implements [compute.Snapshots].
func (p *Provider) DeleteSnapshot(ctx context.Context, id string) error {
	return p.remove(ctx, "delete snapshot", "compute.snapshot.delete", id)
}

// CreateVolume implements [compute.Volumes].
func (a computeAbilities) CreateVolume(ctx context.Context, opts *compute.CreateVolumeOptions) (*compute.Volume, error) {
	do := call{op: "create volume", req: &compute.Request{Action: "compute.volume.create"}}
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts != nil {
		do.req.Options = compute.RequestOptions{Name: opts.Name, SizeMiB: opts.SizeMiB}
	}
	resp, err := a.createOne(ctx, do)
	return one(a.client, do.op, resp, err, volume)
}

// GetVolume implements [compute.Volumes].
func (a computeAbilities) GetVolume(ctx context.Context, id string) (*compute.Volume, error) {
	const op = "get volume"
	resp, err := a.thing(ctx, op, "compute.volume.get", id)
	return one(a.client, op, resp, err, volume)
}

// ListVolumes implements [compute.Volumes]. The listing is one answer.
func (a computeAbilities) ListVolumes(ctx context.Context) iter.Seq2[*compute.Volume, error] {
	do := call{op: "list volumes", req: &compute.Request{Action: "compute.volume.list"}}
	return list(ctx, a.client, do, func(resp *compute.Response) []*compute.Volume { return resp.Volumes })
}

// DeleteVolume implements [compute.Volumes].
func (a computeAbilities) DeleteVolume(ctx context.Context, id string) error {
	return a.remove(ctx, "delete volume", "compute.volume.delete", id)
}
