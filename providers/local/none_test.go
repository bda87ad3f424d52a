//go:build unix

package local_test

import (
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

const serveVariable = "LOCAL_TEST_SERVE"

// A sandbox without isolation has this machine's programs, such as this test.
func init() {
	if port := os.Getenv(serveVariable); port != "" {
		srv := &http.Server{Addr: "127.0.0.1:" + port, ReadHeaderTimeout: time.Minute,
			Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		_ = srv.ListenAndServe()
		os.Exit(1)
	}
}

func serve(port int) *compute.Command {
	cmd := compute.Exec(os.Args[0])
	cmd.Env = map[string]string{serveVariable: strconv.Itoa(port)}
	return cmd
}

// newNone returns a provider without isolation on a directory.
func newNone(t testing.TB, dir string) *local.Provider {
	t.Helper()
	p, err := local.New(local.Config{Dir: dir, Isolation: local.None})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func TestNoneConformance(t *testing.T) {
	computetest.Run(t, func(t testing.TB) compute.Compute { return newNone(t, t.TempDir()) },
		computetest.Config{Serve: serve,
			Client:    func(compute.Compute) *http.Client { return localhostClient() },
			Skip:      map[string]string{"Lifecycle/SandboxesAreApart": "absolute names are this machine's"},
			Abilities: []string{"Dialer", "ProcessGetter", "ProcessLister", "Starter", "Suspender"}})
}
