package local_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/pool"
	"github.com/computekit/compute/providers/local"
	"github.com/computekit/compute/router"
)

// The decorators keep the promises, and the abilities, of what they wrap.
func TestConformanceDecorated(t *testing.T) {
	dir := t.TempDir()
	computetest.Run(t, func(t testing.TB) compute.Compute {
		warm := pool.New(newLocal(t, dir, local.Namespaces), pool.Config{Size: 1})
		t.Cleanup(func() {
			if err := warm.Close(); err != nil {
				t.Error(err)
			}
		})
		nop := func(ctx context.Context, _ compute.Op, next func(context.Context) error) error { return next(ctx) }
		return router.Fallback(compute.Intercept(warm, compute.Log(slog.New(slog.DiscardHandler)), nop, compute.Retry(2, time.Millisecond)))
	}, computetest.Config{
		Snapshots:       true,
		KeepsGoroutines: true, // the pool's live longer than a check
		Abilities:       []string{"Starter", "ProcessGetter", "Suspender", "Rollbacker", "Dialer", "URLLister", "FileOpener", "Archiver"},
		Client:          func(compute.Compute) *http.Client { return localhostClient() },
		Serve: func(port int) *compute.Command {
			return compute.Exec("perl", "-MIO::Socket::INET", "-e", fmt.Sprintf(perlServer, port))
		},
		Skip: map[string]string{
			"SmallCoreOptionalAbilities/AbsentTemplatesAndSnapshots": "an ID that names no provider is that mistake first",
			"NothingIsLeftBehind/DestroyUnknown":                     "a router does not destroy what may be somebody else's",
			"ErrorsAreTyped/UnknownIDsOfTemplates":                   "nor delete it",
			"ErrorsAreTyped/UnknownIDsOfSnapshots":                   "nor delete it",
			"ErrorsAreTyped/UnknownIDsOfAbilities":                   "nor delete it",
		},
	})
}
