package compute_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/stub"
)

// Decorators keep what the provider promises, and all it is able to.
func TestInterceptConformance(t *testing.T) {
	c := stub.New(stub.Config{})
	sb := newSandbox(t, c)
	computetest.Run(t, func(t testing.TB) compute.Compute {
		c := compute.Intercept(stub.New(stub.Config{}), layers(3)...)
		t.Cleanup(func() { require.NoError(t, compute.Close(c)) })
		return c
	}, computetest.Config{Templates: true, Snapshots: true,
		Abilities: append(compute.Abilities(c), append(compute.Abilities(sb), compute.Abilities(sb.Filesystem())...)...)})
}
