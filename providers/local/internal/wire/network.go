package wire

// NetworkConfig says what the sandbox may reach.
type NetworkConfig struct{}

func (n *NetworkConfig) fields(*codec) {}
