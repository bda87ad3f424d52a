//go:build linux

package local_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// passable returns a directory that users of sandboxes can get to: those of
// tests are closed.
func passable(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711))
	}
	return dir
}

func TestLandlockConformance(t *testing.T) {
	dir := passable(t)
	own := "absolute names are this machine's, and /tmp is not the sandbox's"
	computetest.Run(t, func(t testing.TB) compute.Compute { return newLocal(t, dir, local.Landlock) }, computetest.Config{
		Snapshots: true,
		Abilities: []string{"Starter", "ProcessGetter", "ProcessLister", "Suspender", "MetadataUpdater", "Rollbacker", "Dialer",
			"UsageReporter", "ShellOpener", "URLOpener", "URLLister", "URLCloser", "FileOpener", "FileCreator", "Renamer", "Archiver"},
		Client: func(compute.Compute) *http.Client { return localhostClient() },
		Skip: map[string]string{"Lifecycle/SandboxesAreApart": own, "NamesAreHostile/AbsoluteFiles": own,
			"Files/RemoveAllRefuses": own, "Links/StayInside": own},
		Serve: func(port int) *compute.Command {
			return compute.Exec("perl", "-MIO::Socket::INET", "-e", fmt.Sprintf(perlServer, port))
		},
	})
}
