package runloopapi

import (
	"context"
	"iter"
)

// Create makes a gateway configuration.
func (s *GatewayConfigService) Create(
	ctx context.Context, params *GatewayConfigCreateParams, opts ...RequestOption,
) (*GatewayConfigView, error) {
	return made[GatewayConfigView](ctx, s.client, "/v1/gateway-configs", params, opts)
}

// List returns the account's gateway configurations, and the service's own. A nil params means all.
func (s *GatewayConfigService) List(
	ctx context.Context, params *ConfigListParams, opts ...RequestOption,
) iter.Seq2[*GatewayConfigView, error] {
	id := func(v *GatewayConfigView) string { return v.ID }
	return list(ctx, s.client, "/v1/gateway-configs", params.query(), "gateway_configs", id, opts...)
}

// Get returns a gateway configuration.
func (s *GatewayConfigService) Get(ctx context.Context, id string, opts ...RequestOption) (*GatewayConfigView, error) {
	return get[GatewayConfigView](ctx, s.client, p("/v1/gateway-configs/%s", id), nil, opts)
}

// Update changes a gateway configuration, field by field.
func (s *GatewayConfigService) Update(
	ctx context.Context, id string, params *GatewayConfigUpdateParams, opts ...RequestOption,
) (*GatewayConfigView, error) {
	return post[GatewayConfigView](ctx, s.client, p("/v1/gateway-configs/%s", id), params, opts)
}

// Delete deletes a gateway configuration.
func (s *GatewayConfigService) Delete(
	ctx context.Context, id string, opts ...RequestOption,
) (*GatewayConfigView, error) {
	return post[GatewayConfigView](ctx, s.client, p("/v1/gateway-configs/%s/delete", id), Empty{}, opts)
}

// Create makes an MCP configuration.
func (s *MCPConfigService) Create(
	ctx context.Context, params *MCPConfigCreateParams, opts ...RequestOption,
) (*MCPConfigView, error) {
	return made[MCPConfigView](ctx, s.client, "/v1/mcp-configs", params, opts)
}

// List returns the account's MCP configurations. A nil params means all.
func (s *MCPConfigService) List(
	ctx context.Context, params *ConfigListParams, opts ...RequestOption,
) iter.Seq2[*MCPConfigView, error] {
	id := func(v *MCPConfigView) string { return v.ID }
	return list(ctx, s.client, "/v1/mcp-configs", params.query(), "mcp_configs", id, opts...)
}

// Get returns an MCP configuration.
func (s *MCPConfigService) Get(ctx context.Context, id string, opts ...RequestOption) (*MCPConfigView, error) {
	return get[MCPConfigView](ctx, s.client, p("/v1/mcp-configs/%s", id), nil, opts)
}

// Update changes an MCP configuration, field by field.
func (s *MCPConfigService) Update(
	ctx context.Context, id string, params *MCPConfigUpdateParams, opts ...RequestOption,
) (*MCPConfigView, error) {
	return post[MCPConfigView](ctx, s.client, p("/v1/mcp-configs/%s", id), params, opts)
}

// Delete deletes an MCP configuration.
func (s *MCPConfigService) Delete(ctx context.Context, id string, opts ...RequestOption) (*MCPConfigView, error) {
	return post[MCPConfigView](ctx, s.client, p("/v1/mcp-configs/%s/delete", id), Empty{}, opts)
}
