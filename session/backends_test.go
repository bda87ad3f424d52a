package session_test

import (
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
	"github.com/computekit/compute/providers/remote"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/runloop/runlooptest"
	"github.com/computekit/compute/providers/stub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is a provider in its world: each call of open is another program.
type backend struct {
	name string
	new  func(t *testing.T) (open func() compute.Compute)
}

var backends = []backend{
	{"Stub", newStub}, {"Local", newLocal}, {"Runloop", newRunloop}, {"Remote", newRemote},
}

// onEach runs a test on each provider.
func onEach(t *testing.T, test func(t *testing.T, open func() compute.Compute)) {
	on(t, backends, test)
}

// onQuick is onEach where there is time for it, and else without real
// processes.
func onQuick(t *testing.T, test func(t *testing.T, open func() compute.Compute)) {
	quick := backends
	if os.Getenv("COMPUTE_TEST_LONG") == "" {
		quick = slices.DeleteFunc(slices.Clone(backends), func(b backend) bool { return b.name == "Local" })
	}
	on(t, quick, test)
}

func on(t *testing.T, backends []backend, test func(t *testing.T, open func() compute.Compute)) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			test(t, b.new(t))
		})
	}
}

// onOneIsEnough is onEach where there is time for it, and else for the stub
// only: what is looked at is this package's part.
func onOneIsEnough(t *testing.T, test func(t *testing.T, open func() compute.Compute)) {
	if os.Getenv("COMPUTE_TEST_LONG") == "" {
		test(t, newStub(t))
		return
	}
	onEach(t, test)
}

func newStub(t *testing.T) func() compute.Compute {
	p := stub.New(stub.Config{})
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return func() compute.Compute { return p }
}

func newLocal(t *testing.T) func() compute.Compute {
	dir := t.TempDir()
	open := func() (compute.Compute, error) { return local.New(local.Config{Dir: dir, Isolation: local.Namespaces}) }
	if c, err := open(); err != nil {
		if slices.Contains(strings.Split(os.Getenv("COMPUTE_TEST_REQUIRE"), ","), "local") {
			t.Fatal(err)
		}
		t.Skip("this machine cannot isolate: ", err)
	} else {
		require.NoError(t, compute.Close(c))
	}
	return func() compute.Compute {
		c, err := open()
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, compute.Close(c)) })
		return c
	}
}

func newRunloop(t *testing.T) func() compute.Compute {
	open, _ := newEmulated(t)
	return open
}

// newEmulated is Runloop on its emulator, whose devboxes are in memory.
func newEmulated(t *testing.T) (open func() compute.Compute, emulator *runlooptest.Server) {
	p := stub.New(stub.Config{})
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	s := runlooptest.NewServer(t, runlooptest.WithBackend(p))
	return func() compute.Compute { return dialEmulator(t, s, s.APIKey()) }, s
}

func dialEmulator(t *testing.T, s *runlooptest.Server, key string) compute.Compute {
	client, err := runloopapi.New(runloopapi.WithAPIKey(key), runloopapi.WithBaseURL(s.URL), runloopapi.WithRetries(0))
	require.NoError(t, err)
	c, err := runloop.New(runloop.Config{Client: client})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		require.NoError(t, client.Close())
	})
	return c
}

func newRemote(t *testing.T) func() compute.Compute {
	p := newStub(t)()
	s := httptest.NewServer(compute.NewHandler(p, compute.HandlerOptions{Authorize: compute.AllowAll}))
	t.Cleanup(func() { s.Client().CloseIdleConnections(); s.Close() })
	return func() compute.Compute {
		c, err := remote.New(t.Context(), remote.Config{URL: s.URL, Client: s.Client()})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, compute.Close(c)) })
		return c
	}
}
