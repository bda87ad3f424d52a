package compute

import (
	"context"
	"errors"
	"iter"
	"maps"
)

func createTemplate(ctx context.Context, x *exchange) error {
	o := x.req.Options
	opts := &CreateTemplateOptions{
		Name: o.Name, Dockerfile: o.Dockerfile, Image: o.Image, Args: o.BuildArgs,
		Setup: o.Setup, Launch: o.Launch, Code: o.Code, Ports: o.Ports, Resources: o.Resources,
		Env: o.Envs, Metadata: x.mark(o.Metadata)}
	files, cleanup, err := x.buildContext()
	if err != nil {
		return err
	}
	defer cleanup()
	opts.Context = files
	opts.Files = maps.Clone(o.Files)
	for name, data := range o.FilesBase64 {
		if opts.Files == nil {
			opts.Files = map[string]string{}
		}
		opts.Files[name] = string(data)
	}
	if x.events != nil {
		opts.Log = x.stdout
	}
	t, err := x.c.CreateTemplate(ctx, opts)
	if err != nil {
		return err
	}
	x.resp.Template = x.unmarkTemplate(t)
	return nil
}

func getTemplate(ctx context.Context, x *exchange) error {
	t, err := x.getTemplate(ctx, x.req.ID)
	if err != nil {
		return err
	}
	x.resp.Template = x.unmarkTemplate(t)
	return nil
}

func listTemplates(ctx context.Context, x *exchange) (err error) {
	o := x.req.Options
	x.resp.Templates, err = collectAll(owned(x, x.c.ListTemplates(ctx,
		&ListTemplatesOptions{Name: o.Name, Metadata: x.mark(o.Metadata), Limit: o.Limit}), templateMetadata), o.Limit)
	return err
}

// deleteTemplate does not tell what is gone from what is another's.
func deleteTemplate(ctx context.Context, x *exchange) error {
	return x.deleteOwn(func() error {
		t, err := x.getTemplate(ctx, x.req.ID)
		if err == nil && t.ID != x.req.ID { // it is a name
			err = &Error{Op: "get template", ID: x.req.ID, Kind: ErrNotFound}
		}
		return err
	}, func() error { return x.c.DeleteTemplate(ctx, x.req.ID) })
}

// deleteOwn deletes what look finds to be the tenant's.
func (x *exchange) deleteOwn(look, remove func() error) error {
	if x.owner != "" {
		switch err := look(); {
		case errors.Is(err, ErrNotFound):
			return nil
		case err != nil:
			return err
		}
	}
	return remove()
}

// templateLogs is resumable: the log is delivered from its beginning each time,
// and what the client has is left out.
func templateLogs(ctx context.Context, x *exchange) error {
	id := x.req.ID
	if x.owner != "" {
		t, err := x.getTemplate(ctx, id)
		if err != nil {
			return err
		}
		id = t.ID
	}
	from := x.req.Offsets
	if o, ok := parseOffsets(x.lastEvent); ok {
		from = o
	}
	if x.events != nil {
		x.events.resume(Offsets{Stdout: from.Stdout})
		return TemplateLog(ctx, x.c, id, skip(x.stdout, from.Stdout))
	}
	var log capture
	err := TemplateLog(ctx, x.c, id, skip(&log, from.Stdout))
	x.resp.Log = log.String()
	if err == nil && log.full {
		err = &Error{Op: "template log", ID: id, Kind: ErrTruncated}
	}
	return err
}

func createSnapshot(ctx context.Context, x *exchange) error {
	x.resp.SandboxID = x.req.SandboxID
	if x.owner != "" {
		if _, err := x.getSandbox(ctx, x.req.SandboxID); err != nil {
			return err
		}
	}
	s, err := x.c.CreateSnapshot(ctx, x.req.SandboxID,
		&CreateSnapshotOptions{Name: x.req.Options.Name, Metadata: x.mark(x.req.Options.Metadata)})
	if err != nil {
		return err
	}
	x.resp.Snapshot = x.unmarkSnapshot(s)
	return nil
}

func getSnapshot(ctx context.Context, x *exchange) error {
	s, err := x.getSnapshot(ctx, x.req.ID)
	if err != nil {
		return err
	}
	x.resp.Snapshot = x.unmarkSnapshot(s)
	return nil
}

func listSnapshots(ctx context.Context, x *exchange) (err error) {
	o := x.req.Options
	x.resp.Snapshots, err = collectAll(owned(x, x.c.ListSnapshots(ctx, &ListSnapshotsOptions{
		SandboxID: x.req.SandboxID, Name: o.Name, Metadata: x.mark(o.Metadata), Limit: o.Limit}), snapshotMetadata), o.Limit)
	return err
}

// deleteSnapshot does not tell what is gone from what is another's.
func deleteSnapshot(ctx context.Context, x *exchange) error {
	return x.deleteOwn(func() error { _, err := x.getSnapshot(ctx, x.req.ID); return err },
		func() error { return x.c.DeleteSnapshot(ctx, x.req.ID) })
}

// collectAll is [Collect] for JSON: a list that is empty is there, and one that
// failed is not.
func collectAll[T any](seq iter.Seq2[T, error], limit int) ([]T, error) {
	all, err := Collect(seq, limit)
	if err != nil {
		return nil, err
	}
	return append(make([]T, 0, len(all)), all...), nil
}
