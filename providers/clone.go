package providers

import (
	"maps"
	"slices"

	"github.com/computekit/compute"
)

// CloneOptions returns a copy of o that shares nothing with it which can
// change, except for the elements of Extra. Nil gives the zero options.
func CloneOptions(o *compute.CreateSandboxOptions) *compute.CreateSandboxOptions {
	if o == nil {
		return &compute.CreateSandboxOptions{}
	}
	c := *o
	c.Env, c.Metadata = maps.Clone(o.Env), maps.Clone(o.Metadata)
	c.Ports, c.Mounts = slices.Clone(o.Ports), slices.Clone(o.Mounts)
	c.Code, c.Extra = slices.Clone(o.Code), slices.Clone(o.Extra)
	if o.Network != nil {
		c.Network = &compute.NetworkPolicy{Allow: slices.Clone(o.Network.Allow)}
	}
	return &c
}
