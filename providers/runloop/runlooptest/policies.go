package runlooptest

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	prefixPolicy = "npol_"
	maxPolicies  = 100
)

// policy is the record of one network policy.
type policy struct{ view runloopapi.NetworkPolicyView }

func (p *policy) copyView() *runloopapi.NetworkPolicyView {
	v := p.view
	v.Egress.AllowedHostnames = slices.Clone(v.Egress.AllowedHostnames)
	v.Egress.AllowedCIDRs = slices.Clone(v.Egress.AllowedCIDRs)
	return &v
}

func (e *Emulator) routePolicies() {
	handle(e, "POST /v1/network-policies", "network_policies.create", e.createPolicy)
	handle(e, "GET /v1/network-policies", "network_policies.list", e.listPolicies)
	handle(e, "GET /v1/network-policies/{id}", "network_policies.get", e.getPolicy)
	handle(e, "POST /v1/network-policies/{id}", "network_policies.update", e.updatePolicy)
	handle(e, "POST /v1/network-policies/{id}/delete", "network_policies.delete", e.deletePolicy)
	e.hooks.networkPolicy = e.policyOf
}

func (e *Emulator) createPolicy(_ *call, in *runloopapi.NetworkPolicyCreateParams) (*runloopapi.NetworkPolicyView, error) {
	now := runloopapi.MillisOf(time.Now())
	p := &policy{runloopapi.NetworkPolicyView{
		ID: newID(prefixPolicy), Name: in.Name, Description: in.Description, CreateTime: now, UpdateTime: now,
		Egress: runloopapi.EgressView{
			AllowAll: in.AllowAll, AllowDevboxToDevbox: in.AllowDevboxToDevbox, AllowAgentGateway: in.AllowAgentGateway,
			AllowMCPGateway: in.AllowMCPGateway, AllowRunloopMirrors: in.AllowRunloopMirrors,
			AllowedHostnames: in.AllowedHostnames, AllowedCIDRs: in.AllowedCIDRs,
		},
	}}
	e.mu.Lock()
	defer e.mu.Unlock()
	count := 0
	for range e.policies.newest() {
		count++
	}
	if count >= maxPolicies {
		return nil, fail(http.StatusBadRequest, "there are %d network policies already, the most that there can be", maxPolicies)
	}
	if err := e.completePolicy(&p.view); err != nil {
		return nil, err
	}
	e.policies.add(p.view.ID, p)
	return p.copyView(), nil
}

// completePolicy checks a policy and fills in what follows from what it says. e.mu is
// held.
func (e *Emulator) completePolicy(v *runloopapi.NetworkPolicyView) error {
	if err := checkName(v.Name); err != nil {
		return err
	}
	for id, other := range e.policies.newest() {
		if id != v.ID && other.view.Name == v.Name {
			return fail(http.StatusBadRequest, "there is a network policy %q already", v.Name)
		}
	}
	eg := &v.Egress
	for _, name := range eg.AllowedHostnames {
		if !hostPattern(name) {
			return fail(http.StatusBadRequest, "allowed_hostnames: %q is no host name, whose first label alone may be *", name)
		}
	}
	for _, c := range eg.AllowedCIDRs {
		if err := checkCIDR(&c); err != nil {
			return err
		}
	}
	eg.AllowDevboxToDevbox = eg.AllowDevboxToDevbox || eg.AllowAll
	if eg.AllowedHostnames == nil {
		eg.AllowedHostnames = []string{}
	}
	if eg.AllowedCIDRs == nil {
		eg.AllowedCIDRs = []runloopapi.AllowedCIDR{}
	}
	return nil
}

// hostPattern reports whether a name is that of a host, or of all hosts below one.
func hostPattern(name string) bool {
	name = strings.TrimPrefix(name, "*.")
	for label := range strings.SplitSeq(name, ".") {
		if !plainName(label) || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return len(name) <= 253
}

func checkCIDR(c *runloopapi.AllowedCIDR) error {
	if _, err := netip.ParsePrefix(c.CIDR); err != nil {
		return fail(http.StatusBadRequest, "allowed_cidrs: %q is no network", c.CIDR)
	}
	for _, p := range c.Ports {
		last := max(p.Port, p.EndPort)
		if p.Port < 1 || last > 65535 || p.EndPort != 0 && p.EndPort < p.Port {
			return fail(http.StatusBadRequest, "allowed_cidrs: %q: the ports %d to %d are none", c.CIDR, p.Port, last)
		}
		switch p.Protocol {
		case "", runloopapi.ProtocolTCP, runloopapi.ProtocolUDP:
		default:
			return fail(http.StatusBadRequest, "allowed_cidrs: %q: there is no protocol %q", c.CIDR, p.Protocol)
		}
	}
	return nil
}

func (e *Emulator) listPolicies(c *call, _ *none) (*page[*runloopapi.NetworkPolicyView], error) {
	name, id, search := c.query.Get("name"), c.query.Get("id"), c.query.Get("search")
	return list(c, "network_policies", &e.policies, func(p *policy) bool {
		return strings.Contains(p.view.Name, name) && equal(id, p.view.ID) && searched(search, p.view.ID, p.view.Name)
	}, (*policy).copyView)
}

// pathPolicy returns the policy that the path of a request names. e.mu is held.
func (e *Emulator) pathPolicy(c *call) (*policy, error) {
	id, err := c.id("id", prefixPolicy)
	if err != nil {
		return nil, err
	}
	return e.policies.get("network policy", id)
}

func (e *Emulator) getPolicy(c *call, _ *none) (*runloopapi.NetworkPolicyView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, err := e.pathPolicy(c)
	if err != nil {
		return nil, err
	}
	return p.copyView(), nil
}

// updatePolicy replaces the fields that are given. Devboxes that were made before
// keep what they have.
func (e *Emulator) updatePolicy(c *call, in *runloopapi.NetworkPolicyUpdateParams) (*runloopapi.NetworkPolicyView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, err := e.pathPolicy(c)
	if err != nil {
		return nil, err
	}
	v := p.view
	set(&v.Name, in.Name)
	set(&v.Description, in.Description)
	set(&v.Egress.AllowAll, in.AllowAll)
	set(&v.Egress.AllowDevboxToDevbox, in.AllowDevboxToDevbox)
	set(&v.Egress.AllowAgentGateway, in.AllowAgentGateway)
	set(&v.Egress.AllowMCPGateway, in.AllowMCPGateway)
	set(&v.Egress.AllowRunloopMirrors, in.AllowRunloopMirrors)
	if in.AllowedHostnames != nil {
		v.Egress.AllowedHostnames = in.AllowedHostnames
	}
	if in.AllowedCIDRs != nil {
		v.Egress.AllowedCIDRs = in.AllowedCIDRs
	}
	if err := e.completePolicy(&v); err != nil {
		return nil, err
	}
	v.UpdateTime = runloopapi.MillisOf(time.Now())
	p.view = v
	return p.copyView(), nil
}

func (e *Emulator) deletePolicy(c *call, _ *none) (*runloopapi.NetworkPolicyView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, err := e.pathPolicy(c)
	if err != nil {
		return nil, err
	}
	for id, d := range e.devboxes.newest() {
		if !d.status.Final() && d.launch.NetworkPolicyID == p.view.ID {
			return nil, fail(http.StatusBadRequest, "network policy %q is used by devbox %q", p.view.ID, id)
		}
	}
	e.policies.remove(p.view.ID)
	return p.copyView(), nil
}
