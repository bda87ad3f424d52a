package runloop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// policy returns the ID of the account's network policy that says what n does,
// which is made when there is none yet. Its name is made of what it says, so
// that all sandboxes with the same one share it, and no two are made.
func (p *Provider) policy(ctx context.Context, op string, n *compute.NetworkPolicy) (string, error) {
	in, err := policyParams(op, n)
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	id := p.policies[in.Name]
	p.mu.Unlock()
	if id != "" {
		return id, nil
	}
	if id, err = p.findPolicy(ctx, in.Name); err == nil && id == "" {
		var view *runloopapi.NetworkPolicyView
		if view, err = p.client.NetworkPolicies.Create(ctx, in); err == nil {
			id = view.ID
		} else if other, err2 := p.findPolicy(ctx, in.Name); err2 == nil && other != "" {
			id, err = other, nil // somebody was quicker, or the answer was lost
		}
	}
	if err != nil {
		return "", wrap(ctx, op, "", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policies[in.Name] = id
	return id, nil
}

// maxPolicies is how often a create is tried whose policy was deleted, with the
// last sandbox that had it, before there was another.
const maxPolicies = 3

// policyLost sees to the policy of a create that has failed, and reports whether
// it failed for want of the policy.
func (p *Provider) policyLost(ctx context.Context, id string, cause error) bool {
	p.forgetPolicy(id)
	clean, cancel := p.cleanUp(ctx)
	defer cancel()
	if notThere(cause) && ctx.Err() == nil {
		if _, err := p.client.NetworkPolicies.Get(clean, id); err != nil && unknown(err, id) {
			return true
		}
	}
	_ = p.dropPolicy(clean, id) // the failure is what is reported
	return false
}

// dropPolicy deletes the policy of a sandbox that has ended, if this package has
// made it. The service refuses while another sandbox has it.
func (p *Provider) dropPolicy(ctx context.Context, id string) error {
	if id == "" {
		return nil
	}
	if !p.forgetPolicy(id) {
		view, err := p.client.NetworkPolicies.Get(ctx, id)
		if err != nil {
			return unlessRefused(err)
		}
		if !ownPolicy(view.Name) {
			return nil
		}
	}
	_, err := p.client.NetworkPolicies.Delete(ctx, id)
	return unlessRefused(err)
}

// unlessRefused returns err unless it is an answer that says no.
func unlessRefused(err error) error {
	var api *runloopapi.Error
	if errors.As(err, &api) && refused(api) && api.StatusCode != http.StatusTooManyRequests {
		return nil
	}
	return err
}

// forgetPolicy reports whether the policy was known as one of this package's.
func (p *Provider) forgetPolicy(id string) (known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, other := range p.policies {
		if other == id {
			delete(p.policies, name)
			known = true
		}
	}
	return known
}

func (p *Provider) findPolicy(ctx context.Context, name string) (string, error) {
	for view, err := range p.client.NetworkPolicies.List(ctx, &runloopapi.ConfigListParams{Name: name}) {
		if err != nil {
			return "", err
		}
		if view.Name == name {
			return view.ID, nil
		}
	}
	return "", nil
}

// The name of a policy that this package has made is a prefix and a sum in
// hexadecimal of what it allows.
const (
	policyPrefix = "compute-"
	policySum    = 12 // bytes
)

func ownPolicy(name string) bool {
	sum, ok := strings.CutPrefix(name, policyPrefix)
	b, err := hex.DecodeString(sum)
	return ok && err == nil && len(b) == policySum
}

// policyParams translates a policy. Host names are allowed on all their ports
// or not at all.
func policyParams(op string, n *compute.NetworkPolicy) (*runloopapi.NetworkPolicyCreateParams, error) {
	allow := slices.Clone(n.Allow)
	slices.Sort(allow)
	allow = slices.Compact(allow)
	sum := sha256.Sum256([]byte(strings.Join(allow, "\n")))
	in := &runloopapi.NetworkPolicyCreateParams{
		Name:        policyPrefix + hex.EncodeToString(sum[:policySum]),
		Description: "made for sandboxes that may reach: " + cut(strings.Join(allow, " "), 200),
	}
	for _, a := range allow {
		if a == "*" {
			in.AllowAll, in.AllowDevboxToDevbox = true, true
			continue
		}
		host, ports, err := splitAllowed(op, a)
		if err != nil {
			return nil, err
		}
		if cidr, ok := asCIDR(host); ok {
			in.AllowedCIDRs = append(in.AllowedCIDRs, runloopapi.AllowedCIDR{CIDR: cidr, Ports: ports})
			continue
		}
		if ports != nil {
			return nil, unsupported(op, "Network.Allow", "Runloop allows a host name on all ports or on none: "+a)
		}
		if strings.Contains(strings.TrimPrefix(host, "*."), "*") || strings.ContainsAny(host, "/ ") {
			return nil, failf(op, "", compute.ErrInvalid, "option Network.Allow: %q is neither host name nor address", a)
		}
		in.AllowedHostnames = append(in.AllowedHostnames, host)
	}
	return in, nil
}

// splitAllowed cuts the port off an entry of a policy.
func splitAllowed(op, entry string) (host string, ports []runloopapi.PortRange, err error) {
	if _, ok := asCIDR(entry); ok || !strings.Contains(entry, ":") {
		return entry, nil, nil
	}
	host, port, err := net.SplitHostPort(entry)
	if err != nil { // a block with a port: 10.0.0.0/8:443
		i := strings.LastIndexByte(entry, ':')
		host, port = entry[:i], entry[i+1:]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", nil, failf(op, "", compute.ErrInvalid, "option Network.Allow: %q has no valid port", entry)
	}
	return host, []runloopapi.PortRange{{Port: int32(n)}}, nil
}

func asCIDR(s string) (string, bool) {
	if block, err := netip.ParsePrefix(s); err == nil {
		return block.Masked().String(), true
	}
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()).String(), true
	}
	return "", false
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
