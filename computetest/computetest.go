package computetest

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// Config says what to expect of a provider. The zero value expects the core:
// commands with a shell, files, listings, and no templates or snapshots.
type Config struct {
	// NoShell skips what needs a POSIX shell in the sandbox.
	NoShell bool

	// Abilities names the optional interfaces that must be there, as
	// [compute.Abilities] reports them, so that none gets lost by accident.
	// Those that are there are tested, listed or not.
	Abilities []string

	// Templates and Snapshots say whether these must work. Where false they
	// must be unsupported.
	Templates, Snapshots bool

	// Serve returns a command that answers every HTTP request to the port, on
	// the sandbox's loopback interface at least, with status 200, until it is
	// killed. Nil skips what needs it.
	Serve func(port int) *compute.Command

	// Client returns the client that can ask for the URLs of c's sandboxes; nil
	// is an ordinary one.
	Client func(c compute.Compute) *http.Client

	// Sandboxes is how many sandboxes a listing of several pages takes; zero
	// is 25. Lower it where sandboxes cost money.
	Sandboxes int

	// Slow multiplies the times that the suite allows; zero is 1, which suits
	// a provider on this machine. A service across the network needs 10 or so.
	Slow float64

	// Parallel runs the checks at the same time, as many as go test -parallel
	// allows, which does not go with looking for goroutines left behind.
	Parallel bool

	// KeepsGoroutines says that the compute, which lives longer than one check,
	// has goroutines between checks: those left behind are not looked for.
	KeepsGoroutines bool

	// Skip maps the name of a check, such as "Files/Links", to the reason why
	// this provider is excused from it. A name that does not exist is a failure.
	Skip map[string]string
}

// Run runs the suite. newCompute is called for each check; what it registers
// with Cleanup runs when the sandboxes of the check are gone.
func Run(t *testing.T, newCompute func(testing.TB) compute.Compute, cfg Config) {
	t.Helper()
	requireNames(t, cfg)
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.checks {
				t.Run(c.name, func(t *testing.T) {
					if cfg.Parallel {
						t.Parallel()
					}
					perform(t, g.name+"/"+c.name, c.run, newCompute, cfg)
				})
			}
		})
	}
	t.Run("Report", func(t *testing.T) { perform(t, "Report", report, newCompute, cfg) })
}

// requireNames keeps excuses from outliving the checks that they are for.
func requireNames(t testing.TB, cfg Config) {
	t.Helper()
	var known []string
	for _, g := range groups {
		for _, c := range g.checks {
			known = append(known, g.name+"/"+c.name)
		}
	}
	for name := range cfg.Skip {
		require.True(t, slices.Contains(known, name), "Config.Skip: there is no check %q", name)
	}
}

// NewSandbox creates a sandbox that is destroyed when the test ends. An error
// of either is the test's failure.
func NewSandbox(t testing.TB, c compute.Sandboxes, opts *compute.CreateSandboxOptions) compute.Sandbox {
	t.Helper()
	sb, err := c.CreateSandbox(t.Context(), opts)
	require.NoError(t, err, "CreateSandbox")
	require.NotNil(t, sb, "CreateSandbox returned neither sandbox nor error")
	destroyAtEnd(t, sb)
	return sb
}

// destroyAtEnd does not take the test's context, which has ended by then.
func destroyAtEnd(t testing.TB, sb compute.Sandbox) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := sb.Destroy(ctx); err != nil {
			t.Errorf("Destroy: %v", err)
		}
	})
}
