package runloopapi

import (
	"context"
	"iter"
	"net/http"
	"net/url"
)

// BlueprintListParams narrow a list of blueprints.
type BlueprintListParams struct {
	ListOptions
	Name   string
	Status BlueprintStatus
}

func (o *BlueprintListParams) query() url.Values {
	if o == nil {
		return nil
	}
	q := o.values()
	setQuery(q, "name", o.Name)
	setQuery(q, "status", string(o.Status))
	return q
}

func blueprintID(b *BlueprintView) string { return b.ID }

// Create begins the build of a blueprint and returns without waiting for its end. Client.NewBlueprint waits.
func (s *BlueprintService) Create(
	ctx context.Context, params *BlueprintCreateParams, opts ...RequestOption,
) (*BlueprintView, error) {
	return made[BlueprintView](ctx, s.client, "/v1/blueprints", params, opts)
}

// Preview returns the Dockerfile that a blueprint would be built from, without a build.
func (s *BlueprintService) Preview(
	ctx context.Context, params *BlueprintCreateParams, opts ...RequestOption,
) (*BlueprintPreviewView, error) {
	return post[BlueprintPreviewView](ctx, s.client, "/v1/blueprints/preview", params, opts)
}

// List returns the account's blueprints. A nil params means all.
func (s *BlueprintService) List(
	ctx context.Context, params *BlueprintListParams, opts ...RequestOption,
) iter.Seq2[*BlueprintView, error] {
	return list(ctx, s.client, "/v1/blueprints", params.query(), "blueprints", blueprintID, opts...)
}

// ListPublic returns the blueprints that are open to all accounts. A nil params means all.
func (s *BlueprintService) ListPublic(
	ctx context.Context, params *BlueprintListParams, opts ...RequestOption,
) iter.Seq2[*BlueprintView, error] {
	return list(ctx, s.client, "/v1/blueprints/list_public", params.query(), "blueprints", blueprintID, opts...)
}

// Get returns a blueprint. One that was deleted is still found, in the state BlueprintDeleted.
func (s *BlueprintService) Get(ctx context.Context, id string, opts ...RequestOption) (*BlueprintView, error) {
	return get[BlueprintView](ctx, s.client, p("/v1/blueprints/%s", id), nil, opts)
}

// Logs returns the log of a build, from its beginning to now.
func (s *BlueprintService) Logs(ctx context.Context, id string, opts ...RequestOption) (*BlueprintLogsView, error) {
	return get[BlueprintLogsView](ctx, s.client, p("/v1/blueprints/%s/logs", id), nil, opts)
}

// Delete deletes a blueprint. It is an ErrBadRequest while snapshots depend on it.
func (s *BlueprintService) Delete(ctx context.Context, id string, opts ...RequestOption) error {
	return s.client.call(ctx, http.MethodPost, p("/v1/blueprints/%s/delete", id), nil, nil, nil, opts...)
}
