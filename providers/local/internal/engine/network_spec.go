package engine

// Network says what a sandbox may reach; the zero Network is nothing.
type Network struct {
	// Allow are the entries of a policy, as package egress reads them.
	Allow []string
	// Resolver is the address ("host:port") of the DNS server that says what
	// names mean; empty is the host's own.
	Resolver string
}
