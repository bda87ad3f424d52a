package runloop_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/pool"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/router"
)

// The decorators keep the promises, and the abilities, of what they wrap. It
// runs with COMPUTE_TEST_LONG only, as do those over HTTP/2.
func TestConformanceDecorated(t *testing.T) {
	if !long() {
		t.Skip("COMPUTE_TEST_LONG is not set")
	}
	dir := t.TempDir()
	computetest.Run(t, func(t testing.TB) compute.Compute {
		warm := pool.New(newEmulated(t, newLocal(t, dir), false, runloop.Config{}).Provider, pool.Config{Size: 1})
		t.Cleanup(func() {
			if err := warm.Close(); err != nil {
				t.Error(err)
			}
		})
		nop := func(ctx context.Context, _ compute.Op, next func(context.Context) error) error { return next(ctx) }
		return router.Fallback(compute.Intercept(warm, compute.Log(slog.New(slog.DiscardHandler)), nop, compute.Retry(2, time.Millisecond)))
	}, computetest.Config{
		Snapshots: true, KeepsGoroutines: true, Slow: 3,
		Abilities: []string{"Starter", "ProcessGetter", "Suspender", "Dialer", "FileOpener", "Archiver"},
		Skip: map[string]string{
			"SmallCoreOptionalAbilities/AbsentTemplatesAndSnapshots": "an ID that names no provider is that mistake first",
			"NothingIsLeftBehind/DestroyUnknown":                     "a router does not destroy what may be somebody else's",
			"ErrorsAreTyped/UnknownIDsOfTemplates":                   "nor delete it",
			"ErrorsAreTyped/UnknownIDsOfSnapshots":                   "nor delete it",
			"ErrorsAreTyped/UnknownIDsOfAbilities":                   "nor delete it",
		},
	})
}
