//go:build linux

package local_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// newGVisor returns a provider whose sandboxes have gVisor's kernel.
func newGVisor(t testing.TB, dir string) *local.Provider {
	t.Helper()
	c, err := local.New(local.Config{Dir: dir, Isolation: local.GVisor})
	if err != nil {
		if strings.Contains(os.Getenv("COMPUTE_TEST_REQUIRE"), "gvisor") {
			t.Fatal(err)
		}
		t.Skip("no gVisor on this machine: ", err)
	}
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func TestGVisorConformance(t *testing.T) {
	dir := t.TempDir()
	computetest.Run(t, func(t testing.TB) compute.Compute { return newGVisor(t, dir) }, computetest.Config{
		Snapshots: true,
		Abilities: []string{"Starter", "ProcessGetter", "ProcessLister", "Suspender", "MetadataUpdater", "Rollbacker", "Dialer",
			"URLLister", "URLCloser", "FileOpener", "FileCreator", "Renamer", "Archiver"},
		Serve: func(port int) *compute.Command {
			return compute.Exec("perl", "-MIO::Socket::INET", "-e", fmt.Sprintf(perlServer, port))
		},
	})
}

func TestGVisorFirst(t *testing.T) {
	c := newGVisor(t, t.TempDir())
	sb := computetest.NewSandbox(t, c, nil)
	out, err := compute.Output(t.Context(), sb, compute.Shell("cat /proc/version; id; pwd; ls -la / /dev/.compute; mount"))
	require.NoError(t, err)
	t.Log(out)
	require.Contains(t, out, "gvisor")
}
