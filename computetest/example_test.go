package computetest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/stub"
)

// A provider's test is one call. What the provider can do beyond the core is
// named, so that it cannot get lost by accident.
func ExampleRun() {
	testConformance := func(t *testing.T) {
		computetest.Run(t, func(t testing.TB) compute.Compute {
			c := stub.New(stub.Config{})
			t.Cleanup(func() { require.NoError(t, compute.Close(c)) })
			return c
		}, computetest.Config{Templates: true, Snapshots: true, Abilities: []string{"Starter", "Suspender"}})
	}
	_ = testConformance
	// Output:
}

// Any test can have a sandbox that is gone when the test is over.
func ExampleNewSandbox() {
	testHello := func(t *testing.T) {
		sb := computetest.NewSandbox(t, stub.New(stub.Config{}), nil)
		out, err := compute.Output(t.Context(), sb, compute.Exec("echo", "hello"))
		require.NoError(t, err)
		require.Equal(t, "hello\n", out)
	}
	_ = testHello
	// Output:
}
