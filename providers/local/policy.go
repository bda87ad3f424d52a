package local

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/egress"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// networkMeta is what a sandbox may reach. The provider's default is put in
// when the policy is set: another program may have another.
type networkMeta struct {
	Allow    []string `json:"allow,omitempty"`
	Resolver string   `json:"resolver,omitempty"`
}

// checkNetwork makes sure that the provider's default is one that it can keep.
func (p *Provider) checkNetwork() error {
	if _, _, err := net.SplitHostPort(p.resolver); err != nil && p.resolver != "" {
		return fail("open", "", compute.ErrInvalid, "Config.Resolver: %w", err)
	}
	if p.network == nil {
		return nil
	}
	if p.isolation == None && len(p.network.Allow) > 0 {
		return fail("open", "", errors.ErrUnsupported, "Config.Network: without isolation nothing can be kept from the network")
	}
	if _, err := p.networkFor(p.network); err != nil {
		return fail("open", "", compute.ErrInvalid, "Config.Network: %w", err)
	}
	return nil
}

// networkFor is a policy, or for nil the default, as it is kept.
func (p *Provider) networkFor(n *compute.NetworkPolicy) (networkMeta, error) {
	n = cmp.Or(n, p.network)
	if n == nil || len(n.Allow) == 0 {
		return networkMeta{}, nil
	}
	if _, err := egress.Parse(n.Allow); err != nil {
		return networkMeta{}, err
	}
	return networkMeta{Allow: slices.Clone(n.Allow), Resolver: p.resolver}, nil
}

func (n networkMeta) spec() engine.Network {
	return engine.Network{Allow: n.Allow, Resolver: n.Resolver}
}

// errNoPolicy says why a sandbox without isolation has no policy.
var errNoPolicy = errors.New("without isolation a sandbox has this machine's network")

// settleNetwork decides what the sandbox may reach.
func (p *Provider) settleNetwork(o *compute.CreateSandboxOptions, m *meta) (err error) {
	const op = "create sandbox"
	if m.Isolation == None {
		if o.Network == nil {
			return nil
		}
		return fail(op, "", errors.ErrUnsupported, "option Network: %w", errNoPolicy)
	}
	if m.Network, err = p.networkFor(o.Network); err != nil {
		return fail(op, "", compute.ErrInvalid, "%w", err)
	}
	return nil
}

// applyNetwork tells the engine what the sandbox may reach.
func (p *Provider) applyNetwork(m *meta, spec *engine.Spec) error {
	spec.Network = m.Network.spec()
	return nil
}

// SetNetworkPolicy implements [compute.NetworkPolicer]. Connections that n does
// not allow are cut, others go on.
func (s *Sandbox) SetNetworkPolicy(ctx context.Context, n *compute.NetworkPolicy) error {
	const op = "set network policy"
	if err := (&compute.CreateSandboxOptions{Network: n}).Validate(); err != nil {
		return err
	}
	next, err := s.p.networkFor(n)
	if err != nil {
		return fail(op, s.id, compute.ErrInvalid, "%w", err)
	}
	return s.change(ctx, op, func(m *meta) error {
		switch {
		case m.Isolation == None:
			return fail(op, s.id, errors.ErrUnsupported, "%w", errNoPolicy)
		case m.Suspended:
			return &compute.Error{Op: op, Provider: name, ID: s.id, Kind: compute.ErrConflict, NothingDone: true,
				Err: errors.New("it is suspended")}
		}
		err := engine.ErrGone
		if r, ok := s.run.Load().machine.(networked); ok {
			err = r.SetNetwork(ctx, next.spec())
		}
		switch {
		case err == nil:
		case errors.Is(err, engine.ErrGone) && ctx.Err() == nil:
			return &compute.Error{Op: op, Provider: name, ID: s.id, Kind: compute.ErrConflict, NothingDone: true,
				Err: errors.New(s.p.gone(m))}
		default:
			return s.fix(ctx, op, err)
		}
		m.Network = next
		return s.p.outside(op, s.id, s.p.state.saveBox(m))
	})
}

// networked is a machine with a network of its own.
type networked interface {
	SetNetwork(ctx context.Context, n engine.Network) error
}

// NetworkPolicy returns the policy of s.
func (s *Sandbox) NetworkPolicy(ctx context.Context) (*compute.NetworkPolicy, error) {
	const op = "network policy"
	if err := ended(ctx, op, s.id); err != nil {
		return nil, err
	}
	m, err := s.p.load(op, s.id)
	if err != nil {
		return nil, err
	}
	if m.Isolation == None {
		return nil, fail(op, s.id, errors.ErrUnsupported, "%w", errNoPolicy)
	}
	return &compute.NetworkPolicy{Allow: slices.Clone(m.Network.Allow)}, nil
}
