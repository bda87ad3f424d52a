package workspace_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
	"github.com/computekit/compute/providers/remote"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/runloop/runlooptest"
	"github.com/computekit/compute/providers/stub"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// backend is a provider that the suite runs on.
type backend struct {
	name   string
	new    func(testing.TB) compute.Compute
	real   bool // real processes
	plain  bool // no archives
	asUser string
}

// long switches on what takes more than a few seconds.
var long = os.Getenv("COMPUTE_TEST_LONG") != ""

func backends() []backend {
	return []backend{
		{name: "Stub", new: newStub},
		{name: "Local", new: newLocal, real: true},
		{name: "LocalAsUser", new: newLocal, real: true, asUser: "nobody"},
		{name: "Runloop", new: func(t testing.TB) compute.Compute { c, _ := newRunloop(t, newStub(t)); return c }},
		{name: "Remote", new: newRemote},
		{name: "WithoutArchives", new: func(t testing.TB) compute.Compute { return withoutArchives{newStub(t)} }, plain: true},
	}
}

// real are the tests that every run does with real processes, by user.
var real = map[string][]string{
	"":       {"TestApply", "TestApplyFollowsNoLink", "TestPersistAndHydrate"},
	"nobody": {"TestApply", "TestPersistAndHydrate"},
}

// each runs f on every provider, in a sandbox of its own.
func each(t *testing.T, f func(t *testing.T, b backend, sb compute.Sandbox)) {
	t.Helper()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			if b.real && !long && !slices.Contains(real[b.asUser], strings.TrimSuffix(t.Name(), "/"+b.name)) {
				t.Skip("set COMPUTE_TEST_LONG to run it")
			}
			var opts *compute.CreateSandboxOptions
			if b.asUser != "" {
				opts = &compute.CreateSandboxOptions{User: b.asUser}
			}
			sb := computetest.NewSandbox(t, b.new(t), opts)
			f(t, b, sb)
			none(t, sb)
		})
	}
}

// none makes sure that no staging directory is left.
func none(t testing.TB, sb compute.Sandbox) {
	t.Helper()
	require.Empty(t, output(t, sb, "ls -A /tmp | grep compute-workspace || :"), "left behind in /tmp")
}

func output(t testing.TB, sb compute.Sandbox, script string) string {
	t.Helper()
	out, err := compute.Output(t.Context(), sb, compute.Shell(script))
	require.NoError(t, err, script)
	return out
}

func newStub(t testing.TB) compute.Compute {
	c := stub.New(stub.Config{})
	t.Cleanup(func() { require.NoError(t, compute.Close(c), "Close") })
	return c
}

func newLocal(t testing.TB) compute.Compute {
	c, err := local.New(local.Config{Dir: t.TempDir()})
	if err != nil {
		if strings.Contains(os.Getenv("COMPUTE_TEST_REQUIRE"), "local") {
			t.Fatal(err)
		}
		t.Skip("this machine cannot isolate: ", err)
	}
	t.Cleanup(func() { require.NoError(t, c.Close(), "Close") })
	return c
}

// newRunloop returns a provider in front of an emulator, and what counts its
// requests.
func newRunloop(t testing.TB, behind compute.Compute) (compute.Compute, func() int) {
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	server := runlooptest.NewServer(t, runlooptest.WithBackend(behind), runlooptest.WithLogger(log))
	client, err := runloopapi.New(runloopapi.WithAPIKey(server.APIKey()), runloopapi.WithBaseURL(server.URL))
	require.NoError(t, err)
	p, err := runloop.New(runloop.Config{Client: client})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, p.Close(), "Close")
		require.NoError(t, client.Close(), "Close")
	})
	return p, func() (n int) {
		for _, c := range server.Counts() {
			n += c
		}
		return n
	}
}

func newRemote(t testing.TB) compute.Compute {
	s := httptest.NewServer(compute.NewHandler(newStub(t), compute.HandlerOptions{Authorize: compute.AllowAll}))
	t.Cleanup(func() { s.Client().CloseIdleConnections(); s.Close() })
	r, err := remote.New(t.Context(), remote.Config{URL: s.URL, Client: s.Client()})
	require.NoError(t, err, "New")
	t.Cleanup(func() { require.NoError(t, compute.Close(r), "Close") })
	return r
}

// withoutArchives hides all that a sandbox's files can do but the six methods.
type withoutArchives struct{ compute.Compute }

func (c withoutArchives) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	sb, err := c.Compute.CreateSandbox(ctx, opts)
	if err != nil {
		return nil, err
	}
	return plainFiles{sb}, nil
}

func (c withoutArchives) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	sb, err := c.Compute.GetSandbox(ctx, id)
	if err != nil {
		return nil, err
	}
	return plainFiles{sb}, nil
}

type plainFiles struct{ compute.Sandbox }

func (s plainFiles) Filesystem() compute.Filesystem {
	return struct{ compute.Filesystem }{s.Sandbox.Filesystem()}
}

// ops counts operations, as an interceptor.
type ops struct {
	mu    sync.Mutex
	names []string
}

func (o *ops) count(ctx context.Context, op compute.Op, next func(context.Context) error) error {
	o.mu.Lock()
	o.names = append(o.names, op.Name)
	o.mu.Unlock()
	return next(ctx)
}

func (o *ops) reset() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	names := o.names
	o.names = nil
	return names
}
