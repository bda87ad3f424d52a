package runloopapi

import (
	"context"
	"iter"
	"net/url"
	"strconv"
)

// maxListLimit is the largest page that the service gives.
const maxListLimit = 5000

// Create makes a secret. It is an ErrBadRequest when there is one of that name.
func (s *SecretService) Create(
	ctx context.Context, params *SecretCreateParams, opts ...RequestOption,
) (*SecretView, error) {
	return made[SecretView](ctx, s.client, "/v1/secrets", params, opts)
}

// List returns the account's secrets, without their values: at most limit of them, and as many as the service gives at
// once, 5000, when limit is 0. This list has no further pages.
func (s *SecretService) List(ctx context.Context, limit int, opts ...RequestOption) iter.Seq2[*SecretView, error] {
	if limit <= 0 {
		limit = maxListLimit
	}
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	return listOnce[SecretView](ctx, s.client, "/v1/secrets", q, "secrets", opts)
}

// Get returns the secret of a name, without its value.
func (s *SecretService) Get(ctx context.Context, name string, opts ...RequestOption) (*SecretView, error) {
	return get[SecretView](ctx, s.client, p("/v1/secrets/%s", name), nil, opts)
}

// Update gives the secret of a name another value.
func (s *SecretService) Update(
	ctx context.Context, name string, params *SecretUpdateParams, opts ...RequestOption,
) (*SecretView, error) {
	return post[SecretView](ctx, s.client, p("/v1/secrets/%s", name), params, opts)
}

// Delete deletes the secret of a name.
func (s *SecretService) Delete(ctx context.Context, name string, opts ...RequestOption) (*SecretView, error) {
	return post[SecretView](ctx, s.client, p("/v1/secrets/%s/delete", name), Empty{}, opts)
}
