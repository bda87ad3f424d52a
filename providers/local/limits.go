package local

import (
	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// limitsMeta is what a sandbox may use, and for how long.
type limitsMeta struct{}

// settleLimits decides what the sandbox may use.
func (p *Provider) settleLimits(o *compute.CreateSandboxOptions, _ *meta) error {
	switch {
	case o.Lifetime != 0:
		return unsupported("Lifetime")
	case o.IdleTimeout != 0:
		return unsupported("IdleTimeout")
	case o.Resources != compute.Resources{}:
		return unsupported("Resources")
	}
	return nil
}

// applyLimits tells the engine what the sandbox may use.
func (p *Provider) applyLimits(*meta, *engine.Spec) error { return nil }
