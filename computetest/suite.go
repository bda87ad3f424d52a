package computetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/computekit/compute"
)

// check is one subtest, and group those of one promise or ability.
type (
	check struct {
		name string
		run  func(*tester)
	}
	group struct {
		name   string
		checks []check
	}
)

// groups is the whole suite: the promises first, then the abilities.
var groups = []group{
	smallCore, droppedInSilence, leftBehind, bytesAreBytes, toldApart, hostileNames,
	contextTimeout, typedErrors, lazyLists, concurrentUse, goUnits,
	lifecycle, getOrCreate, waiting, files, links, fileStreams, ioFS, archives, watch,
	templates, snapshots, rollback, processes, processInput, shells, terminal, network, urls,
	suspend, events, metadata, usage, volumes,
}

// perform runs one check. Cleanups run last first: the check's sandboxes go,
// then none may be listed, then the compute is closed by whoever made it, then
// no goroutine may be left.
func perform(tb testing.TB, name string, run func(*tester), newCompute func(testing.TB) compute.Compute, cfg Config) {
	tb.Helper()
	if why, excused := cfg.Skip[name]; excused {
		tb.Skipf("excused: %s", why)
	}
	if !cfg.KeepsGoroutines && !cfg.Parallel {
		before := goleak.IgnoreCurrent()
		tb.Cleanup(func() { goleak.VerifyNone(tb, before) })
	}
	t := newTester(tb, newCompute(tb), cfg)
	tb.Cleanup(t.requireNoneLeft)
	run(t)
}

// report logs what the provider can do, and fails for what it should.
func report(t *tester) {
	have := t.abilities()
	for _, name := range t.cfg.Abilities {
		assert.Contains(t, have, name, "the ability is required and missing")
	}
	t.Logf("abilities of %s: %s", t.c.Name(), strings.Join(have, " "))
}

// abilities returns the names of all abilities: of the compute, a sandbox, its
// files and, where there are some, its processes.
func (t *tester) abilities() []string {
	t.Helper()
	sb := t.sandbox(nil)
	have := map[string]bool{}
	layers := []any{t.c, sb, sb.Filesystem()}
	if p, err := compute.Start(t.ctx(), sb, compute.Exec("true")); err == nil {
		layers = append(layers, p)
	}
	for _, layer := range layers {
		for _, name := range compute.Abilities(layer) {
			have[name] = true
		}
	}
	return slices.Sorted(maps.Keys(have))
}

// requireNoneLeft runs when the check is over and its context has ended. A
// service may take a moment to forget a sandbox that it has destroyed.
func (t *tester) requireNoneLeft() {
	var left []string
	t.within(second, func() bool {
		left = left[:0]
		found, err := compute.Collect(t.c.ListSandboxes(t.background(), t.labelFilter()), 0)
		if err != nil {
			left = append(left, err.Error())
		}
		for _, info := range found {
			left = append(left, fmt.Sprintf("%s (%s)", info.ID, info.Status))
		}
		return len(left) == 0
	})
	assert.Empty(t, left, "sandboxes left behind")
	for _, id := range left {
		_ = t.c.DestroySandbox(t.background(), strings.Fields(id)[0])
	}
}

// needShell skips a check where there is no shell.
func (t *tester) needShell() {
	t.Helper()
	if t.cfg.NoShell {
		t.Skip("no shell")
	}
}

// able skips a check whose ability is missing, which the error said as it
// should, and fails it for any other error.
func (t *tester) able(ability string, err error) {
	t.Helper()
	if t.lacks(err) && !slices.Contains(t.cfg.Abilities, ability) {
		t.Skipf("no %s", ability)
	}
	require.NoError(t, err, ability)
}
