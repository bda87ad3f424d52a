package runlooptest

import (
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// maxPorts bounds how many ports of a range become entries of a policy.
const maxPorts = 256

// policyOf returns a network policy as the backend has it. It never returns nil: a
// policy that allows nothing is one too.
func (e *Emulator) policyOf(id string) (*compute.NetworkPolicy, error) {
	e.mu.Lock()
	p, err := e.policies.get("network policy", id)
	if err != nil {
		e.mu.Unlock()
		return nil, fail(http.StatusBadRequest, "network_policy_id: %v", err)
	}
	eg := p.copyView().Egress
	e.mu.Unlock()
	n := &compute.NetworkPolicy{Allow: []string{}}
	if eg.AllowAll {
		n.Allow = append(n.Allow, "*")
	}
	n.Allow = append(n.Allow, eg.AllowedHostnames...)
	for _, c := range eg.AllowedCIDRs {
		entries, err := cidrEntries(&c)
		if err != nil {
			return nil, err
		}
		n.Allow = append(n.Allow, entries...)
	}
	// Gateways, MCP servers and the tunnels of other devboxes are all here.
	if eg.AllowAgentGateway || eg.AllowMCPGateway || eg.AllowDevboxToDevbox {
		if host := hostPort(e.insideURL()); host != "" {
			n.Allow = append(n.Allow, host)
		}
	}
	return n, nil
}

// cidrEntries returns a network as entries of a policy. The portable API knows
// single ports, and no protocols.
func cidrEntries(c *runloopapi.AllowedCIDR) ([]string, error) {
	if len(c.Ports) == 0 {
		return []string{c.CIDR}, nil
	}
	var all []string
	for _, p := range c.Ports {
		last := max(p.Port, p.EndPort)
		if p.Protocol == runloopapi.ProtocolUDP {
			return nil, unsupported("network policies for UDP alone (%s)", c.CIDR)
		}
		if last-p.Port >= maxPorts {
			return nil, unsupported("network policies with more than %d ports in a range (%s)", maxPorts, c.CIDR)
		}
		for port := p.Port; port <= last; port++ {
			all = append(all, fmt.Sprintf("%s:%d", c.CIDR, port))
		}
	}
	return all, nil
}

// insideURL returns where devboxes reach the emulator.
func (e *Emulator) insideURL() string {
	if e.opts.insideURL != "" {
		return e.opts.insideURL
	}
	return e.BaseURL()
}

// hostPort returns the host and port of a URL, as an entry of a policy.
func hostPort(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
