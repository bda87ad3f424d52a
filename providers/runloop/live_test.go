//go:build live

package runloop_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/runloop"
)

// TestLive runs the conformance suite against the service itself, with devboxes
// that cost money:
//
//	RUNLOOP_API_KEY=... go test -tags live -run TestLive -timeout 3h ./providers/runloop
func TestLive(t *testing.T) {
	if os.Getenv("RUNLOOP_API_KEY") == "" {
		t.Skip("RUNLOOP_API_KEY is not set")
	}
	computetest.Run(t, func(t testing.TB) compute.Compute {
		p, err := runloop.New(runloop.Config{})
		require.NoError(t, err)
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		return p
	}, computetest.Config{
		Snapshots: true, Templates: true, Abilities: abilities, Sandboxes: 3, Slow: 60,
		Serve: func(port int) *compute.Command {
			return compute.Exec("python3", "-m", "http.server", "--bind", "0.0.0.0", "--directory", "/tmp", strconv.Itoa(port))
		},
	})
}
