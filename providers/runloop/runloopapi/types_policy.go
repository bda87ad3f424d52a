package runloopapi

// PortProtocol is a transport protocol.
type PortProtocol string

// The protocols.
const (
	ProtocolTCP PortProtocol = "TCP"
	ProtocolUDP PortProtocol = "UDP"
)

// PortRange is a port, or the ports from Port to EndPort.
type PortRange struct {
	Port     int32        `json:"port"`
	EndPort  int32        `json:"end_port,omitempty"` // 0: Port alone
	Protocol PortProtocol `json:"protocol,omitempty"` // empty: both
}

// AllowedCIDR is a network that may be reached.
type AllowedCIDR struct {
	CIDR  string      `json:"cidr"`
	Ports []PortRange `json:"ports,omitempty"` // none: all ports
}

// NetworkPolicyCreateParams describe a new network policy. The zero value, but for the name, lets nothing out.
type NetworkPolicyCreateParams struct {
	Name                string        `json:"name"`
	Description         string        `json:"description,omitempty"`
	AllowAll            bool          `json:"allow_all,omitempty"` // implies AllowDevboxToDevbox
	AllowDevboxToDevbox bool          `json:"allow_devbox_to_devbox,omitempty"`
	AllowAgentGateway   bool          `json:"allow_agent_gateway,omitempty"`
	AllowMCPGateway     bool          `json:"allow_mcp_gateway,omitempty"`
	AllowRunloopMirrors bool          `json:"allow_runloop_mirrors,omitempty"`
	AllowedHostnames    []string      `json:"allowed_hostnames,omitempty"` // the first label may be *
	AllowedCIDRs        []AllowedCIDR `json:"allowed_cidrs,omitempty"`
}

// NetworkPolicyUpdateParams change a network policy. What is nil stays as it is.
type NetworkPolicyUpdateParams struct {
	Name                *string       `json:"name,omitempty"`
	Description         *string       `json:"description,omitempty"`
	AllowAll            *bool         `json:"allow_all,omitempty"`
	AllowDevboxToDevbox *bool         `json:"allow_devbox_to_devbox,omitempty"`
	AllowAgentGateway   *bool         `json:"allow_agent_gateway,omitempty"`
	AllowMCPGateway     *bool         `json:"allow_mcp_gateway,omitempty"`
	AllowRunloopMirrors *bool         `json:"allow_runloop_mirrors,omitempty"`
	AllowedHostnames    []string      `json:"allowed_hostnames,omitzero"` // replaces all that there were
	AllowedCIDRs        []AllowedCIDR `json:"allowed_cidrs,omitzero"`     // replaces all that there were
}

// EgressView says what a network policy lets out.
type EgressView struct {
	AllowAll            bool          `json:"allow_all"`
	AllowDevboxToDevbox bool          `json:"allow_devbox_to_devbox"`
	AllowAgentGateway   bool          `json:"allow_agent_gateway"`
	AllowMCPGateway     bool          `json:"allow_mcp_gateway"`
	AllowRunloopMirrors bool          `json:"allow_runloop_mirrors"`
	AllowedHostnames    []string      `json:"allowed_hostnames"`
	AllowedCIDRs        []AllowedCIDR `json:"allowed_cidrs"`
}

// NetworkPolicyView is a network policy as the service describes it.
type NetworkPolicyView struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Description string     `json:"description,omitempty"`
	CreateTime  Millis     `json:"create_time_ms"`
	UpdateTime  Millis     `json:"update_time_ms"`
	Egress      EgressView `json:"egress"`
}

// NetworkPolicyListView is one page of network policies.
type NetworkPolicyListView struct {
	NetworkPolicies []NetworkPolicyView `json:"network_policies"`
	PageInfo
}
