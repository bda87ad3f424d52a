package compute

import (
	"context"
	"iter"
)

func createTemplate(ctx context.Context, x *exchange) (err error) {
	o := x.req.Options
	x.resp.Template, err = x.c.CreateTemplate(ctx, &CreateTemplateOptions{
		Name: o.Name, Dockerfile: o.Dockerfile, Image: o.Image, Env: o.Envs, Metadata: o.Metadata})
	return err
}

func getTemplate(ctx context.Context, x *exchange) (err error) {
	x.resp.Template, err = x.c.GetTemplate(ctx, x.req.ID)
	return err
}

func listTemplates(ctx context.Context, x *exchange) (err error) {
	o := x.req.Options
	x.resp.Templates, err = collectAll(x.c.ListTemplates(ctx,
		&ListTemplatesOptions{Name: o.Name, Metadata: o.Metadata, Limit: o.Limit}), o.Limit)
	return err
}

func deleteTemplate(ctx context.Context, x *exchange) error {
	return x.c.DeleteTemplate(ctx, x.req.ID)
}

func createSnapshot(ctx context.Context, x *exchange) (err error) {
	x.resp.SandboxID = x.req.SandboxID
	x.resp.Snapshot, err = x.c.CreateSnapshot(ctx, x.req.SandboxID,
		&CreateSnapshotOptions{Name: x.req.Options.Name, Metadata: x.req.Options.Metadata})
	return err
}

func getSnapshot(ctx context.Context, x *exchange) (err error) {
	x.resp.Snapshot, err = x.c.GetSnapshot(ctx, x.req.ID)
	return err
}

func listSnapshots(ctx context.Context, x *exchange) (err error) {
	o := x.req.Options
	x.resp.Snapshots, err = collectAll(x.c.ListSnapshots(ctx, &ListSnapshotsOptions{
		SandboxID: x.req.SandboxID, Name: o.Name, Metadata: o.Metadata, Limit: o.Limit}), o.Limit)
	return err
}

func deleteSnapshot(ctx context.Context, x *exchange) error {
	return x.c.DeleteSnapshot(ctx, x.req.ID)
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
