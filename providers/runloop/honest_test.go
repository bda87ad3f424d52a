package runloop_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/runloop/runlooptest"
	"github.com/computekit/compute/providers/stub"
)

// keyless is a service that does not know idempotency keys.
type keyless struct{ http.RoundTripper }

func (k keyless) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("X-Request-Id")
	return k.RoundTripper.RoundTrip(r)
}

// A devbox whose making was not confirmed is found by its label, and none is
// made besides.
func TestAdoption(t *testing.T) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	e := newEmulated(t, stub.New(stub.Config{}), false, runloop.Config{},
		runloopapi.WithHTTPClient(&http.Client{Transport: keyless{transport}}))
	for name, f := range map[string]runlooptest.Fault{
		"reset": {AfterWork: true}, "status": {AfterWork: true, Status: http.StatusBadGateway}, "cut": {Cut: true, CutAt: 10},
	} {
		t.Run(name, func(t *testing.T) {
			f.Match = "devboxes.create*"
			defer e.emulator.Inject(f)()
			sb, err := e.CreateSandbox(t.Context(), nil)
			require.NoError(t, err)
			found, err := compute.Collect(e.ListSandboxes(t.Context(), nil), 0)
			require.NoError(t, err)
			require.Len(t, found, 1)
			assert.Equal(t, sb.ID(), found[0].ID)
			assert.NotContains(t, found[0].Metadata, "compute.create")
			require.NoError(t, sb.Destroy(t.Context()))
		})
	}
}

// Only of what does not look like an ID does 400 mean that it does not exist. Of
// others the service refuses for reasons of its own.
func TestRefusedIsNotGone(t *testing.T) {
	e := newEmulated(t, stub.New(stub.Config{}), false, runloop.Config{})
	sb, err := e.CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	restore := e.emulator.Inject(runlooptest.Fault{Match: "devboxes.*", Times: -1, Status: http.StatusBadRequest})
	_, err = e.GetSandbox(t.Context(), sb.ID())
	assert.NotErrorIs(t, err, compute.ErrNotFound)
	assert.ErrorIs(t, err, compute.ErrInvalid)
	require.Error(t, sb.Destroy(t.Context()))
	_, err = e.GetSandbox(t.Context(), "no such ID")
	assert.ErrorIs(t, err, compute.ErrNotFound)
	restore()
	require.NoError(t, sb.Destroy(t.Context()))
}

// A daemon has left its session and lost its parent, and is found all the same.
func TestKillsDaemons(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	sb := computetest.NewSandbox(t, e.Provider, nil)
	const daemon = `setsid sh -c 'setsid sh -c "while :; do echo >> beat; sleep 0.02; done" & exit' ; sleep 60`
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { _, err := sb.RunCommand(ctx, compute.Shell(daemon)); ended <- err }()
	beats := func() int64 {
		info, err := sb.Filesystem().Stat(t.Context(), "beat")
		if err != nil {
			return 0
		}
		return info.Size()
	}
	require.Eventually(t, func() bool { return beats() > 0 }, 10*time.Second, 10*time.Millisecond)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	before := beats()
	time.Sleep(200 * time.Millisecond)
	assert.Equal(t, before, beats(), "the daemon lives on")
}

// A command that is killed before it begins never runs, and its execution that
// comes late says so.
func TestKilledBeforeItBegins(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	sb := computetest.NewSandbox(t, e.Provider, nil)
	defer e.emulator.Inject(runlooptest.Fault{Match: "executions.execute", Reset: true})()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // less than the pause before the retry
	defer cancel()
	_, err := sb.RunCommand(ctx, compute.Shell("echo > ran"))
	require.Error(t, err)
	ok, err := compute.Exists(t.Context(), sb.Filesystem(), "ran")
	require.NoError(t, err)
	assert.False(t, ok, "it ran after all")
}
