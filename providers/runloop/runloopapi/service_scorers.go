package runloopapi

import (
	"context"
	"iter"
	"net/url"
)

// ScorerListParams narrow a list of scorers.
type ScorerListParams struct {
	ListOptions
	Search string // a part of the type or the ID
}

func (o *ScorerListParams) query() url.Values {
	if o == nil {
		return nil
	}
	q := o.values()
	setQuery(q, "search", o.Search)
	return q
}

// Create makes a scorer. It is an ErrBadRequest when there is one of that type.
func (s *ScorerService) Create(ctx context.Context, params *ScorerParams, opts ...RequestOption) (*ScorerView, error) {
	return made[ScorerView](ctx, s.client, "/v1/scenarios/scorers", params, opts)
}

// List returns the account's scorers. A nil params means all.
func (s *ScorerService) List(
	ctx context.Context, params *ScorerListParams, opts ...RequestOption,
) iter.Seq2[*ScorerView, error] {
	id := func(v *ScorerView) string { return v.ID }
	return list(ctx, s.client, "/v1/scenarios/scorers", params.query(), "scorers", id, opts...)
}

// Get returns a scorer.
func (s *ScorerService) Get(ctx context.Context, id string, opts ...RequestOption) (*ScorerView, error) {
	return get[ScorerView](ctx, s.client, p("/v1/scenarios/scorers/%s", id), nil, opts)
}

// Update replaces the type and the script of a scorer.
func (s *ScorerService) Update(
	ctx context.Context, id string, params *ScorerParams, opts ...RequestOption,
) (*ScorerView, error) {
	return post[ScorerView](ctx, s.client, p("/v1/scenarios/scorers/%s", id), params, opts)
}
