package local

import (
	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// mountMeta is one volume in a sandbox.
type mountMeta struct{}

// settleMounts decides which volumes the sandbox has.
func (p *Provider) settleMounts(o *compute.CreateSandboxOptions, _ *meta) error {
	if len(o.Mounts) > 0 {
		return unsupported("Mounts")
	}
	return nil
}

// applyMounts tells the engine which volumes the sandbox has.
func (p *Provider) applyMounts(*meta, *engine.Spec) error { return nil }
