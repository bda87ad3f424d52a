package remote_test

import (
	"testing"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
)

// backends are what stands behind the handler.
var backends = []struct {
	name string
	new  func(testing.TB) compute.Compute
	cfg  computetest.Config
}{
	{"Stub", newStub, computetest.Config{Templates: true, Snapshots: true}},
}

func TestConformance(t *testing.T) {
	for _, b := range backends {
		for _, p := range protocols {
			t.Run(b.name+"/"+p.name, func(t *testing.T) {
				cfg := b.cfg
				cfg.Abilities = abilities(t, b.new(t))
				computetest.Run(t, func(t testing.TB) compute.Compute { return dial(t, b.new(t), p) }, cfg)
			})
		}
	}
}

// abilities returns all that c can do: nothing of it may get lost on the way.
func abilities(t *testing.T, c compute.Compute) []string {
	sb := computetest.NewSandbox(t, c, nil)
	names := append(compute.Abilities(c), append(compute.Abilities(sb), compute.Abilities(sb.Filesystem())...)...)
	if p, err := compute.Start(t.Context(), sb, compute.Exec("true")); err == nil {
		names = append(names, compute.Abilities(p)...)
	}
	return names
}
