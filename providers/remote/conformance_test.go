package remote_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// longTests switches on what takes minutes.
const longTests = "COMPUTE_TEST_LONG"

// backends are what stands behind the handler.
var backends = []struct {
	name string
	long bool
	new  func(testing.TB) compute.Compute
	cfg  computetest.Config
}{
	{"Stub", false, newStub, computetest.Config{Templates: true, Snapshots: true, Skip: lags}},
	{"Local", true, newLocal, computetest.Config{Templates: true, Snapshots: true, Skip: lags, Slow: 3,
		Client: func(compute.Compute) *http.Client { return http.DefaultClient }}},
}

// lags is what no request can hold back: the far end keeps so much of a
// process's output, and a reader that falls behind more learns that it has, by
// Result.Truncated.
var lags = map[string]string{"NothingIsDroppedInSilence/OutputOfAWriterThatLags": "the loss is reported, not prevented"}

// newLocal returns a provider with a state directory of its own.
func newLocal(t testing.TB) compute.Compute {
	c, err := local.New(local.Config{Dir: t.TempDir(), Isolation: local.Namespaces})
	if err != nil {
		t.Skip("this machine cannot isolate: ", err)
	}
	t.Cleanup(func() { require.NoError(t, c.Close(), "Close") })
	return c
}

// TestConformance looks for goroutines after every check over HTTP/1.1, and at
// the end over HTTP/2, where the checks run at the same time.
func TestConformance(t *testing.T) {
	for _, b := range backends {
		for _, p := range protocols {
			t.Run(b.name+"/"+p.name, func(t *testing.T) {
				if b.long && os.Getenv(longTests) == "" {
					t.Skip("set " + longTests + " to run it")
				}
				cfg := b.cfg
				cfg.Parallel = p.name == "HTTP2"
				cfg.Abilities = abilities(t, b.new(t))
				computetest.Run(t, func(t testing.TB) compute.Compute { return dial(t, b.new(t), p) }, cfg)
			})
		}
	}
}

// TestLocal is what of the conformance suite makes real processes count, for
// every run.
func TestLocal(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			c := dial(t, newLocal(t), p)
			sb := computetest.NewSandbox(t, c, nil)
			res, err := sb.RunCommand(t.Context(), compute.Shell("echo out; echo err >&2; exit 3"))
			require.NoError(t, err, "RunCommand")
			require.Equal(t, "out\n", res.Stdout)
			require.Equal(t, "err\n", res.Stderr)
			require.Equal(t, 3, res.ExitCode)
			require.Subset(t, compute.Abilities(sb), []string{"Starter", "Dialer", "ShellOpener"})
		})
	}
}

// abilities returns all that c can do: nothing of it may get lost on the way.
func abilities(t *testing.T, c compute.Compute) []string {
	sb := computetest.NewSandbox(t, c, nil)
	names := append(compute.Abilities(c), append(compute.Abilities(sb), compute.Abilities(sb.Filesystem())...)...)
	if p, err := compute.Start(t.Context(), sb, compute.Exec("true")); err == nil {
		names = append(names, compute.Abilities(p)...)
	}
	return names
}
