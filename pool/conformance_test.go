package pool_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/pool"
	"github.com/computekit/compute/providers/stub"
)

func TestConformance(t *testing.T) {
	c := stub.New(stub.Config{})
	sb := computetest.NewSandbox(t, c, nil)
	able := append(compute.Abilities(c), append(compute.Abilities(sb), compute.Abilities(sb.Filesystem())...)...)
	computetest.Run(t, func(t testing.TB) compute.Compute {
		p := pool.New(stub.New(stub.Config{}), pool.Config{Size: 2})
		t.Cleanup(func() { require.NoError(t, compute.Close(p)) })
		return p
	}, computetest.Config{Templates: true, Snapshots: true, Abilities: able})
}
