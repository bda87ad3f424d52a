package runloopapi

// TunnelAuthMode says who may use a tunnel.
type TunnelAuthMode string

// The modes: everyone who knows the URL, or only those who send the tunnel's token.
const (
	TunnelOpen          TunnelAuthMode = "open"
	TunnelAuthenticated TunnelAuthMode = "authenticated"
)

// TunnelConfig says how a devbox's tunnel works. What is not set is as the service has it by default.
type TunnelConfig struct {
	AuthMode      TunnelAuthMode `json:"auth_mode,omitempty"`
	HTTPKeepAlive *bool          `json:"http_keep_alive,omitempty"` // whether traffic counts as activity; by default it does
	WakeOnHTTP    *bool          `json:"wake_on_http,omitempty"`    // whether a request resumes the devbox; by default it does not
}

// TunnelView is the tunnel of a devbox. All ports share it.
type TunnelView struct {
	TunnelKey     string         `json:"tunnel_key"`
	AuthMode      TunnelAuthMode `json:"auth_mode"`
	AuthToken     string         `json:"auth_token,omitempty"` // of an authenticated tunnel only
	CreateTime    Millis         `json:"create_time_ms"`
	HTTPKeepAlive bool           `json:"http_keep_alive"`
	WakeOnHTTP    bool           `json:"wake_on_http"`
}

// GatewaySpec gives a devbox a gateway: a configuration and the secret it inserts, each by ID or name.
type GatewaySpec struct {
	Gateway string `json:"gateway"`
	Secret  string `json:"secret"`
}

// GatewaySpecView is a gateway of a devbox.
type GatewaySpecView struct {
	GatewayConfigID string `json:"gateway_config_id"`
	SecretID        string `json:"secret_id"`
}

// MCPSpec gives a devbox an MCP server: a configuration and the secret it inserts, each by ID or name.
type MCPSpec struct {
	MCPConfig string `json:"mcp_config"`
	Secret    string `json:"secret"`
}

// MCPSpecView is an MCP server of a devbox.
type MCPSpecView struct {
	MCPConfigID string `json:"mcp_config_id"`
	SecretID    string `json:"secret_id"`
}

// GatewayTokenView is a devbox's access to a gateway.
type GatewayTokenView struct {
	Token           string        `json:"token"`
	URL             string        `json:"url"`
	Endpoint        string        `json:"endpoint"`
	AuthMechanism   AuthMechanism `json:"auth_mechanism"`
	DevboxID        string        `json:"devbox_id"`
	GatewayConfigID string        `json:"gateway_config_id"`
}

// MCPTokenView is a devbox's access to an MCP server.
type MCPTokenView struct {
	Token        string   `json:"token"`
	URL          string   `json:"url"`
	Endpoint     string   `json:"endpoint"`
	AllowedTools []string `json:"allowed_tools"`
	DevboxID     string   `json:"devbox_id"`
	MCPConfigID  string   `json:"mcp_config_id"`
}

// PTYTunnelView is the access to the terminals of a devbox.
type PTYTunnelView struct {
	TunnelKey string `json:"tunnel_key"`
	AuthToken string `json:"auth_token"`
}

// PTYConnectView is a terminal session that a client can attach to.
type PTYConnectView struct {
	SessionName     string `json:"session_name,omitempty"`
	Status          string `json:"status,omitempty"`
	ProtocolVersion string `json:"protocol_version,omitempty"`
	ConnectURL      string `json:"connect_url,omitempty"` // a path on the server that sent this
	Created         bool   `json:"created"`               // false: the session was there before
	Attached        bool   `json:"attached"`
	Cols            int32  `json:"cols,omitempty"`
	Rows            int32  `json:"rows,omitempty"`
	IdleTTLSeconds  int64  `json:"idle_ttl_seconds,omitempty"`
}

// PTYAction is something that can be done to a terminal session.
type PTYAction string

// The actions.
const (
	PTYResize PTYAction = "resize"
	PTYSignal PTYAction = "signal"
	PTYClose  PTYAction = "close"
)

// PTYControlParams are one action on a terminal session.
type PTYControlParams struct {
	Action PTYAction `json:"action,omitempty"`
	Cols   int32     `json:"cols,omitempty"` // of PTYResize
	Rows   int32     `json:"rows,omitempty"`
	Signal string    `json:"signal,omitempty"` // of PTYSignal
}

// PTYControlView is the answer to an action on a terminal session.
type PTYControlView struct {
	SessionName string `json:"session_name,omitempty"`
	Status      string `json:"status,omitempty"`
}
