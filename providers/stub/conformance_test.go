package stub_test

import (
	"testing"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/stub"
)

func TestConformance(t *testing.T) {
	computetest.Run(t, func(t testing.TB) compute.Compute { return stub.New(stub.Config{}) },
		computetest.Config{Templates: true, Snapshots: true})
}
