package runloopapi

import "context"

// Secret is a secret of the account, which its name identifies. It never holds the value.
type Secret struct {
	Name   string
	client *Client
}

// Secret returns the secret of a name. It makes no request.
func (c *Client) Secret(name string) *Secret { return &Secret{Name: name, client: c} }

// NewSecret makes a secret. It is an [ErrBadRequest] when there is one of that name.
func (c *Client) NewSecret(ctx context.Context, name, value string, opts ...RequestOption) (*Secret, error) {
	view, err := c.Secrets.Create(ctx, &SecretCreateParams{Name: name, Value: value}, opts...)
	if err != nil {
		return nil, err
	}
	return c.Secret(view.Name), nil
}

// Info returns what the service knows of the secret, without its value.
func (s *Secret) Info(ctx context.Context, opts ...RequestOption) (*SecretView, error) {
	return s.client.Secrets.Get(ctx, s.Name, opts...)
}

// Update gives the secret another value.
func (s *Secret) Update(ctx context.Context, value string, opts ...RequestOption) (*SecretView, error) {
	return s.client.Secrets.Update(ctx, s.Name, &SecretUpdateParams{Value: value}, opts...)
}

// Delete deletes the secret.
func (s *Secret) Delete(ctx context.Context, opts ...RequestOption) (*SecretView, error) {
	return s.client.Secrets.Delete(ctx, s.Name, opts...)
}

// NetworkPolicy says what a devbox can reach. It holds nothing but its ID.
type NetworkPolicy struct {
	ID     string
	client *Client
}

// NetworkPolicy returns the network policy with an ID. It makes no request.
func (c *Client) NetworkPolicy(id string) *NetworkPolicy { return &NetworkPolicy{ID: id, client: c} }

// NewNetworkPolicy makes a network policy.
func (c *Client) NewNetworkPolicy(
	ctx context.Context, params *NetworkPolicyCreateParams, opts ...RequestOption,
) (*NetworkPolicy, error) {
	view, err := c.NetworkPolicies.Create(ctx, params, opts...)
	if err != nil {
		return nil, err
	}
	return c.NetworkPolicy(view.ID), nil
}

// Info returns what the service knows of the policy.
func (n *NetworkPolicy) Info(ctx context.Context, opts ...RequestOption) (*NetworkPolicyView, error) {
	return n.client.NetworkPolicies.Get(ctx, n.ID, opts...)
}

// Update changes the policy, field by field.
func (n *NetworkPolicy) Update(
	ctx context.Context, params *NetworkPolicyUpdateParams, opts ...RequestOption,
) (*NetworkPolicyView, error) {
	return n.client.NetworkPolicies.Update(ctx, n.ID, params, opts...)
}

// Delete deletes the policy. It is an [ErrBadRequest] while something uses it.
func (n *NetworkPolicy) Delete(ctx context.Context, opts ...RequestOption) (*NetworkPolicyView, error) {
	return n.client.NetworkPolicies.Delete(ctx, n.ID, opts...)
}

// GatewayConfig is a proxy that inserts a secret into the requests of devboxes. It holds nothing but its ID.
type GatewayConfig struct {
	ID     string
	client *Client
}

// GatewayConfig returns the gateway configuration with an ID. It makes no request.
func (c *Client) GatewayConfig(id string) *GatewayConfig { return &GatewayConfig{ID: id, client: c} }

// NewGatewayConfig makes a gateway configuration.
func (c *Client) NewGatewayConfig(
	ctx context.Context, params *GatewayConfigCreateParams, opts ...RequestOption,
) (*GatewayConfig, error) {
	view, err := c.GatewayConfigs.Create(ctx, params, opts...)
	if err != nil {
		return nil, err
	}
	return c.GatewayConfig(view.ID), nil
}

// Info returns what the service knows of the configuration.
func (g *GatewayConfig) Info(ctx context.Context, opts ...RequestOption) (*GatewayConfigView, error) {
	return g.client.GatewayConfigs.Get(ctx, g.ID, opts...)
}

// Update changes the configuration, field by field.
func (g *GatewayConfig) Update(
	ctx context.Context, params *GatewayConfigUpdateParams, opts ...RequestOption,
) (*GatewayConfigView, error) {
	return g.client.GatewayConfigs.Update(ctx, g.ID, params, opts...)
}

// Delete deletes the configuration.
func (g *GatewayConfig) Delete(ctx context.Context, opts ...RequestOption) (*GatewayConfigView, error) {
	return g.client.GatewayConfigs.Delete(ctx, g.ID, opts...)
}

// Spec returns what a devbox needs to have the gateway, with a secret by ID or name.
func (g *GatewayConfig) Spec(secret string) GatewaySpec {
	return GatewaySpec{Gateway: g.ID, Secret: secret}
}

// MCPConfig is an MCP server that devboxes reach through the service. It holds nothing but its ID.
type MCPConfig struct {
	ID     string
	client *Client
}

// MCPConfig returns the MCP configuration with an ID. It makes no request.
func (c *Client) MCPConfig(id string) *MCPConfig { return &MCPConfig{ID: id, client: c} }

// NewMCPConfig makes an MCP configuration.
func (c *Client) NewMCPConfig(
	ctx context.Context, params *MCPConfigCreateParams, opts ...RequestOption,
) (*MCPConfig, error) {
	view, err := c.MCPConfigs.Create(ctx, params, opts...)
	if err != nil {
		return nil, err
	}
	return c.MCPConfig(view.ID), nil
}

// Info returns what the service knows of the configuration.
func (m *MCPConfig) Info(ctx context.Context, opts ...RequestOption) (*MCPConfigView, error) {
	return m.client.MCPConfigs.Get(ctx, m.ID, opts...)
}

// Update changes the configuration, field by field.
func (m *MCPConfig) Update(
	ctx context.Context, params *MCPConfigUpdateParams, opts ...RequestOption,
) (*MCPConfigView, error) {
	return m.client.MCPConfigs.Update(ctx, m.ID, params, opts...)
}

// Delete deletes the configuration.
func (m *MCPConfig) Delete(ctx context.Context, opts ...RequestOption) (*MCPConfigView, error) {
	return m.client.MCPConfigs.Delete(ctx, m.ID, opts...)
}

// Spec returns what a devbox needs to have the MCP server, with a secret by ID or name.
func (m *MCPConfig) Spec(secret string) MCPSpec { return MCPSpec{MCPConfig: m.ID, Secret: secret} }

// Scorer is a scorer of the account, which scenarios call by its type. It holds nothing but its ID.
type Scorer struct {
	ID     string
	client *Client
}

// Scorer returns the scorer with an ID. It makes no request.
func (c *Client) Scorer(id string) *Scorer { return &Scorer{ID: id, client: c} }

// NewScorer makes a scorer. It is an [ErrBadRequest] when there is one of that type.
func (c *Client) NewScorer(ctx context.Context, params *ScorerParams, opts ...RequestOption) (*Scorer, error) {
	view, err := c.Scorers.Create(ctx, params, opts...)
	if err != nil {
		return nil, err
	}
	return c.Scorer(view.ID), nil
}

// Info returns what the service knows of the scorer.
func (s *Scorer) Info(ctx context.Context, opts ...RequestOption) (*ScorerView, error) {
	return s.client.Scorers.Get(ctx, s.ID, opts...)
}

// Update replaces the type and the script of the scorer.
func (s *Scorer) Update(ctx context.Context, params *ScorerParams, opts ...RequestOption) (*ScorerView, error) {
	return s.client.Scorers.Update(ctx, s.ID, params, opts...)
}
