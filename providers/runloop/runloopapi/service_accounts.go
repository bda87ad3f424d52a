package runloopapi

import "context"

// Me returns the account that the client's key is of.
func (s *AccountService) Me(ctx context.Context, opts ...RequestOption) (*AccountView, error) {
	return get[AccountView](ctx, s.client, "/v1/accounts/me", nil, opts)
}

// Create makes an API key. The answer is the only one that has its secret.
func (s *APIKeyService) Create(
	ctx context.Context, params *APIKeyCreateParams, opts ...RequestOption,
) (*APIKeyView, error) {
	return post[APIKeyView](ctx, s.client, "/v1/apikeys", params, opts)
}

// Create makes a key that may do no more than its scopes say. The answer is the only one that has its secret.
func (s *RestrictedKeyService) Create(
	ctx context.Context, params *RestrictedKeyCreateParams, opts ...RequestOption,
) (*RestrictedKeyView, error) {
	return post[RestrictedKeyView](ctx, s.client, "/v1/restricted_keys", params, opts)
}
