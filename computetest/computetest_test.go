package computetest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/computekit/compute"
)

// mutant is a provider that is broken in one way.
type mutant struct {
	name   string
	faults *faults
	caught string // the checks that must fail, with spaces between
}

func TestBrokenProviders(t *testing.T) {
	for _, m := range slices.Concat(runMutants, sandboxMutants, fileMutants) {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			requireCaught(t, m)
		})
	}
}

// requireCaught runs the whole suite against a mutant: the checks that are
// named fail, and most others pass, so that a failure tells what is wrong.
func requireCaught(t *testing.T, m mutant) {
	t.Helper()
	broken := func(tb testing.TB) compute.Compute { return breakCompute(newGood(tb), m.faults) }
	cfg := goodConfig
	cfg.Goroutines, cfg.Slow, cfg.Sandboxes = true, 0.3, 12
	want := strings.Fields(m.caught)
	failed := record(t, broken, cfg, func(name string) bool { return !testing.Short() || slices.Contains(want, name) })
	for _, name := range want {
		assert.Contains(t, failed, name, "the suite does not catch a provider that %s", m.name)
	}
	for name, why := range failed {
		if !slices.Contains(want, name) {
			t.Logf("also fails: %s: %.0s", name, why)
		}
	}
	assert.Less(t, len(failed), countChecks()/3, "most of what is healthy passes")
}

func countChecks() int {
	n := 0
	for _, g := range groups {
		n += len(g.checks)
	}
	return n
}

// TestGoroutineLeak is apart because it counts goroutines: others' too, if
// they ran beside it.
func TestGoroutineLeak(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	leak := &faults{run: func(sb compute.Sandbox, ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
		go func() { <-stop }()
		return sb.RunCommand(ctx, cmd)
	}}
	broken := func(tb testing.TB) compute.Compute { return breakCompute(newGood(tb), leak) }
	failed := record(t, broken, goodConfig, func(name string) bool { return strings.HasPrefix(name, "Lifecycle/") })
	assert.Contains(t, failed, "Lifecycle/ReadyWhenCreated")
	assert.NotContains(t, failed, "Lifecycle/Name")
}

func TestChecksHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range groups {
		for _, c := range g.checks {
			name := g.name + "/" + c.name
			assert.False(t, seen[name], "%s is there twice", name)
			seen[name] = true
		}
	}
	t.Logf("%d checks in %d groups", len(seen), len(groups))
}

var goodConfig = Config{Skip: map[string]string{"Lifecycle/SandboxesAreApart": "they share /tmp"}}

var newGood = newHostFake
