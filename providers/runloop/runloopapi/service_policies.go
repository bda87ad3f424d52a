package runloopapi

import (
	"context"
	"iter"
	"net/url"
)

// ConfigListParams narrow a list of network policies, gateway configurations or MCP configurations.
type ConfigListParams struct {
	ListOptions
	Name   string
	ID     string
	Search string // a part of the name or the ID
}

func (o *ConfigListParams) query() url.Values {
	if o == nil {
		return nil
	}
	q := o.values()
	setQuery(q, "name", o.Name)
	setQuery(q, "id", o.ID)
	setQuery(q, "search", o.Search)
	return q
}

// Create makes a network policy. It is an ErrBadRequest when there is one of that name.
func (s *NetworkPolicyService) Create(
	ctx context.Context, params *NetworkPolicyCreateParams, opts ...RequestOption,
) (*NetworkPolicyView, error) {
	return made[NetworkPolicyView](ctx, s.client, "/v1/network-policies", params, opts)
}

// List returns the account's network policies. A nil params means all.
func (s *NetworkPolicyService) List(
	ctx context.Context, params *ConfigListParams, opts ...RequestOption,
) iter.Seq2[*NetworkPolicyView, error] {
	id := func(v *NetworkPolicyView) string { return v.ID }
	return list(ctx, s.client, "/v1/network-policies", params.query(), "network_policies", id, opts...)
}

// Get returns a network policy.
func (s *NetworkPolicyService) Get(ctx context.Context, id string, opts ...RequestOption) (*NetworkPolicyView, error) {
	return get[NetworkPolicyView](ctx, s.client, p("/v1/network-policies/%s", id), nil, opts)
}

// Update changes a network policy, field by field.
func (s *NetworkPolicyService) Update(
	ctx context.Context, id string, params *NetworkPolicyUpdateParams, opts ...RequestOption,
) (*NetworkPolicyView, error) {
	return post[NetworkPolicyView](ctx, s.client, p("/v1/network-policies/%s", id), params, opts)
}

// Delete deletes a network policy. It is an ErrBadRequest while something uses it.
func (s *NetworkPolicyService) Delete(
	ctx context.Context, id string, opts ...RequestOption,
) (*NetworkPolicyView, error) {
	return post[NetworkPolicyView](ctx, s.client, p("/v1/network-policies/%s/delete", id), Empty{}, opts)
}
