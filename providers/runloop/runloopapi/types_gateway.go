package runloopapi

// AuthMechanismType says how a gateway inserts a secret into a request.
type AuthMechanismType string

// The mechanisms.
const (
	AuthHeader AuthMechanismType = "header" // a header of its own, which AuthMechanism.Key names
	AuthBearer AuthMechanismType = "bearer"
	AuthBasic  AuthMechanismType = "basic"
)

// AuthMechanism is the way in which a gateway shows the secret to the endpoint.
type AuthMechanism struct {
	Type AuthMechanismType `json:"type"`
	Key  string            `json:"key,omitempty"` // the header's name; of AuthHeader only
}

// CustomHeader is a header that a gateway adds to every request: either Value is set, or Secret, the name of a secret.
type CustomHeader struct {
	Name   string `json:"name"`
	Value  string `json:"value,omitempty"`
	Secret string `json:"secret,omitempty"`
}

// GatewayConfigCreateParams describe a new gateway: a proxy that inserts a secret into the requests of devboxes, which
// never see it.
type GatewayConfigCreateParams struct {
	Name          string         `json:"name"`
	Endpoint      string         `json:"endpoint"`
	AuthMechanism AuthMechanism  `json:"auth_mechanism"`
	CustomHeaders []CustomHeader `json:"custom_headers,omitempty"` // at most 8
	Description   string         `json:"description,omitempty"`
}

// GatewayConfigUpdateParams change a gateway. What is nil stays as it is.
type GatewayConfigUpdateParams struct {
	Name          *string        `json:"name,omitempty"`
	Endpoint      *string        `json:"endpoint,omitempty"`
	AuthMechanism *AuthMechanism `json:"auth_mechanism,omitempty"`
	CustomHeaders []CustomHeader `json:"custom_headers,omitzero"` // replaces all that there were
	Description   *string        `json:"description,omitempty"`
}

// GatewayConfigView is a gateway as the service describes it.
type GatewayConfigView struct {
	ID            string         `json:"id"`
	Name          string         `json:"name"`
	Endpoint      string         `json:"endpoint"`
	AuthMechanism AuthMechanism  `json:"auth_mechanism"`
	CreateTime    Millis         `json:"create_time_ms"`
	AccountID     string         `json:"account_id,omitempty"` // empty for the service's own gateways
	CustomHeaders []CustomHeader `json:"custom_headers,omitempty"`
	Description   string         `json:"description,omitempty"`
}

// GatewayConfigListView is one page of gateways.
type GatewayConfigListView struct {
	GatewayConfigs []GatewayConfigView `json:"gateway_configs"`
	PageInfo
}

// MCPConfigCreateParams describe a new MCP server that devboxes reach through the service. The part of the name before
// the first hyphen is the name by which its tools are called.
type MCPConfigCreateParams struct {
	Name          string         `json:"name"`
	Endpoint      string         `json:"endpoint"`
	AllowedTools  []string       `json:"allowed_tools"` // patterns, in which * is anything
	AuthMechanism *AuthMechanism `json:"auth_mechanism,omitempty"`
	CustomHeaders []CustomHeader `json:"custom_headers,omitempty"` // at most 8
	Description   string         `json:"description,omitempty"`
}

// MCPConfigUpdateParams change an MCP server. What is nil stays as it is.
type MCPConfigUpdateParams struct {
	Name          *string        `json:"name,omitempty"`
	Endpoint      *string        `json:"endpoint,omitempty"`
	AllowedTools  []string       `json:"allowed_tools,omitzero"` // replaces all that there were
	AuthMechanism *AuthMechanism `json:"auth_mechanism,omitempty"`
	CustomHeaders []CustomHeader `json:"custom_headers,omitzero"` // replaces all that there were
	Description   *string        `json:"description,omitempty"`
}

// MCPConfigView is an MCP server as the service describes it.
type MCPConfigView struct {
	ID            string         `json:"id"`
	Name          string         `json:"name"`
	Endpoint      string         `json:"endpoint"`
	AllowedTools  []string       `json:"allowed_tools"`
	AuthMechanism AuthMechanism  `json:"auth_mechanism"`
	CreateTime    Millis         `json:"create_time_ms"`
	CustomHeaders []CustomHeader `json:"custom_headers,omitempty"`
	Description   string         `json:"description,omitempty"`
}

// MCPConfigListView is one page of MCP servers.
type MCPConfigListView struct {
	MCPConfigs []MCPConfigView `json:"mcp_configs"`
	PageInfo
}
