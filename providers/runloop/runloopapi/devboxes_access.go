package runloopapi

import (
	"context"
	"net/http"
)

// CreateSSHKey makes a key for a devbox's SSH server.
func (s *DevboxService) CreateSSHKey(ctx context.Context, id string, opts ...RequestOption) (*SSHKeyView, error) {
	return post[SSHKeyView](ctx, s.client, p("/v1/devboxes/%s/create_ssh_key", id), nil, opts)
}

// EnableTunnel makes the ports of a running devbox reachable. A devbox has one tunnel at most. params may be nil.
func (s *DevboxService) EnableTunnel(
	ctx context.Context, id string, params *TunnelConfig, opts ...RequestOption,
) (*TunnelView, error) {
	return post[TunnelView](ctx, s.client, p("/v1/devboxes/%s/enable_tunnel", id), params, opts)
}

// RemoveTunnel removes a devbox's tunnel.
func (s *DevboxService) RemoveTunnel(ctx context.Context, id string, opts ...RequestOption) error {
	return s.client.call(ctx, http.MethodPost, p("/v1/devboxes/%s/remove_tunnel", id), nil, nil, nil, opts...)
}

// CreatePTYTunnel returns what it takes to reach the terminals of a running devbox.
func (s *DevboxService) CreatePTYTunnel(
	ctx context.Context, id string, opts ...RequestOption,
) (*PTYTunnelView, error) {
	return post[PTYTunnelView](ctx, s.client, p("/v1/devboxes/%s/create_pty_tunnel", id), nil, opts)
}

// CreateGatewayToken gives a running devbox access to a gateway.
func (s *DevboxService) CreateGatewayToken(
	ctx context.Context, id string, params *GatewaySpec, opts ...RequestOption,
) (*GatewayTokenView, error) {
	return post[GatewayTokenView](ctx, s.client, p("/v1/devboxes/%s/create_gateway_token", id), params, opts)
}

// CreateMCPToken gives a running devbox access to an MCP server.
func (s *DevboxService) CreateMCPToken(
	ctx context.Context, id string, params *MCPSpec, opts ...RequestOption,
) (*MCPTokenView, error) {
	return post[MCPTokenView](ctx, s.client, p("/v1/devboxes/%s/create_mcp_token", id), params, opts)
}
