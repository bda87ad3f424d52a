package runloopapi

import (
	"context"
	"iter"
	"net/http"
	"net/url"
)

// AxonListParams narrow a list of axons.
type AxonListParams struct {
	ListOptions
	ID         string
	Name       string
	Search     string              // a part of the name or the ID
	Metadata   map[string]string   // the axons that have all of these
	MetadataIn map[string][]string // the axons that have one of the values, for every key
}

func (o *AxonListParams) query() url.Values {
	if o == nil {
		return nil
	}
	q := o.values()
	setQuery(q, "id", o.ID)
	setQuery(q, "name", o.Name)
	setQuery(q, "search", o.Search)
	setMetadata(q, o.Metadata, o.MetadataIn)
	return q
}

// Create makes an axon, a stream of events that is kept, with a small SQL store at its side.
func (s *AxonService) Create(ctx context.Context, params *AxonCreateParams, opts ...RequestOption) (*AxonView, error) {
	return made[AxonView](ctx, s.client, "/v1/axons", params, opts)
}

// List returns the account's axons. A nil params means all.
func (s *AxonService) List(
	ctx context.Context, params *AxonListParams, opts ...RequestOption,
) iter.Seq2[*AxonView, error] {
	id := func(v *AxonView) string { return v.ID }
	return list(ctx, s.client, "/v1/axons", params.query(), "axons", id, opts...)
}

// Get returns an axon.
func (s *AxonService) Get(ctx context.Context, id string, opts ...RequestOption) (*AxonView, error) {
	return get[AxonView](ctx, s.client, p("/v1/axons/%s", id), nil, opts)
}

// Update changes an axon.
func (s *AxonService) Update(
	ctx context.Context, id string, params *AxonUpdateParams, opts ...RequestOption,
) (*AxonView, error) {
	return post[AxonView](ctx, s.client, p("/v1/axons/%s", id), params, opts)
}

// Delete deletes an axon and its events.
func (s *AxonService) Delete(ctx context.Context, id string, opts ...RequestOption) error {
	return s.client.call(ctx, http.MethodDelete, p("/v1/axons/%s", id), nil, nil, nil, opts...)
}

// Publish adds an event to an axon. Its retries have the same idempotency key.
func (s *AxonService) Publish(
	ctx context.Context, id string, params *AxonPublishParams, opts ...RequestOption,
) (*AxonPublishView, error) {
	return post[AxonPublishView](ctx, s.client, p("/v1/axons/%s/publish", id), params, opts)
}

// Events returns one page of the events of an axon. The service does not say what its cursor is, so that there is no
// sequence of all pages here: Subscribe gives all events. A nil params means the first page.
func (s *AxonService) Events(
	ctx context.Context, id string, params *ListOptions, opts ...RequestOption,
) (*AxonEventListView, error) {
	var q url.Values
	if params != nil {
		q = params.values()
	}
	return get[AxonEventListView](ctx, s.client, p("/v1/axons/%s/events", id), q, opts)
}

// Query runs one statement on the SQL store of an axon.
func (s *AxonService) Query(
	ctx context.Context, id string, statement *SQLStatement, opts ...RequestOption,
) (*SQLResult, error) {
	return post[SQLResult](ctx, s.client, p("/v1/axons/%s/sql/query", id), statement, opts)
}

// Batch runs statements on the SQL store of an axon in one transaction. The answer has a result for each of them.
func (s *AxonService) Batch(
	ctx context.Context, id string, params *SQLBatchParams, opts ...RequestOption,
) (*SQLBatchResult, error) {
	return post[SQLBatchResult](ctx, s.client, p("/v1/axons/%s/sql/batch", id), params, opts)
}
