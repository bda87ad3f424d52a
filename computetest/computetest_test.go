package computetest

import (
	"context"
	"flag"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// goodConfig is what is expected of the stub.
var goodConfig = Config{
	Templates: true, Snapshots: true,
	Serve: func(port int) *compute.Command { return compute.Exec("serve", strconv.Itoa(port)) },
	Client: func(c compute.Compute) *http.Client {
		if p, ok := compute.As[*stub.Provider](c); ok {
			return p.Client()
		}
		return &http.Client{} // a decorator has lost its way down
	},
	Abilities: []string{
		"Archiver", "Dialer", "Endpointer", "EventWatcher", "Extender", "FileCreator", "FileOpener", "FileWatcher",
		"MetadataUpdater", "NetworkPolicer", "ProcessGetter", "ProcessLister", "Renamer", "Resizer", "Rollbacker", "ShellOpener",
		"Signaler", "Starter", "StdinOpener", "Suspender", "TemplateLogger", "URLCloser", "URLLister", "URLOpener", "UsageReporter", "Volumes",
	},
}

func newGood(t testing.TB) compute.Compute {
	c := stub.New(stub.Config{Programs: map[string]stub.Program{"serve": serveHTTP}})
	t.Cleanup(func() { require.NoError(t, compute.Close(c)) })
	return c
}

// serveHTTP is the program behind Config.Serve.
func serveHTTP(ctx context.Context, p *stub.Proc) int {
	port, err := strconv.Atoi(p.Args[1])
	if err != nil {
		return 2
	}
	l, err := p.Listen(port)
	if err != nil {
		return 1
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	_ = srv.Serve(l)
	return 0
}

func TestGoodProvider(t *testing.T) { Run(t, newGood, goodConfig) }

// TestDecorated runs the suite through decorators, and its checks at once.
func TestDecorated(t *testing.T) {
	pass := func(ctx context.Context, _ compute.Op, next func(context.Context) error) error { return next(ctx) }
	cfg := goodConfig
	cfg.Parallel = true
	Run(t, func(t testing.TB) compute.Compute { return compute.Intercept(newGood(t), pass, pass) }, cfg)
}

// mutant is a provider that is broken in one way.
type mutant struct {
	name   string
	faults *faults
	caught string // the checks that must fail, with spaces between
}

func TestBrokenProviders(t *testing.T) {
	for _, kind := range []struct {
		mutants  []mutant
		canaries []string
	}{
		{runMutants, runCanaries}, {sandboxMutants, sandboxCanaries}, {fileMutants, fileCanaries}, {abilityMutants, fileCanaries},
	} {
		for _, m := range kind.mutants {
			t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
				t.Parallel()
				requireCaught(t, m, kind.canaries)
			})
		}
	}
}

// full takes minutes.
var full = flag.Bool("full", false, "run every check against every broken provider, and say what else fails")

// Canaries are checks of what no mutant of a kind breaks.
var (
	runCanaries     = []string{"Lifecycle/Name", "ListsAreLazy/Limit", "Files/ReadDirIsSorted", "UnitsAreGos/FileTimes", "FileStreams/AllAtOnce"}
	sandboxCanaries = []string{"BytesAreBytes/SplitCharacters", "OutcomesAreToldApart/ProgramNotFound", "Files/Replace", "NamesAreHostile/Arguments"}
	fileCanaries    = []string{"OutcomesAreToldApart/ExitCodes", "ListsAreLazy/Limit", "BytesAreBytes/SplitCharacters", "Lifecycle/Name"}
)

// requireCaught runs the suite against a mutant: the checks that are named
// fail, and what is healthy passes, so that a failure tells what is wrong.
func requireCaught(t *testing.T, m mutant, canaries []string) {
	t.Helper()
	broken := func(tb testing.TB) compute.Compute { return breakCompute(newGood(tb), m.faults) }
	cfg := goodConfig
	cfg.KeepsGoroutines, cfg.Slow, cfg.Sandboxes = true, 0.5, 12
	want := strings.Fields(m.caught)
	failed := record(t, broken, cfg, func(name string) bool {
		return *full || slices.Contains(want, name) || slices.Contains(canaries, name)
	})
	for _, name := range canaries {
		assert.NotContains(t, failed, name, "a healthy part of a provider that %s", m.name)
	}
	for _, name := range want {
		if _, excused := cfg.Skip[name]; excused {
			continue
		}
		assert.Contains(t, failed, name, "the suite does not catch a provider that %s", m.name)
	}
	for name := range failed {
		if !slices.Contains(want, name) {
			t.Logf("also fails: %s", name)
		}
	}
}

// TestGoroutineLeak is apart because it counts goroutines: others' too, if
// they ran beside it.
func TestGoroutineLeak(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	leak := &faults{run: func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
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
