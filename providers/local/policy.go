package local

import (
	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// networkMeta is what a sandbox may reach.
type networkMeta struct{}

// settleNetwork decides what the sandbox may reach.
func (p *Provider) settleNetwork(o *compute.CreateSandboxOptions, _ *meta) error {
	if o.Network != nil {
		return unsupported("Network")
	}
	return nil
}

// applyNetwork tells the engine what the sandbox may reach.
func (p *Provider) applyNetwork(*meta, *engine.Spec) error { return nil }
