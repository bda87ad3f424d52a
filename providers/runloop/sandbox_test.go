package runloop_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

func TestAuthenticatedTunnel(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{Tunnel: runloopapi.TunnelConfig{AuthMode: runloopapi.TunnelAuthenticated}})
	ctx := t.Context()
	sb := computetest.NewSandbox(t, e.Provider, nil)
	ep, err := compute.GetEndpoint(ctx, sb, 8080)
	require.NoError(t, err)
	assert.Contains(t, ep.URL, "8080-")
	assert.True(t, strings.HasPrefix(ep.Header.Get("Authorization"), "Bearer "))

	again, err := e.GetSandbox(ctx, sb.ID())
	require.NoError(t, err)
	other, err := compute.GetEndpoint(ctx, again, 8081)
	require.NoError(t, err)
	assert.Equal(t, ep.Header, other.Header, "there is one tunnel")

	_, err = sb.GetURL(ctx, 8082)
	require.NoError(t, err)
	require.ErrorIs(t, compute.CloseURL(ctx, sb, 8080), compute.ErrConflict, "it would close another")
	require.NoError(t, compute.CloseURL(ctx, again, 8081))
	view, err := e.client.Devboxes.Get(ctx, sb.ID())
	require.NoError(t, err)
	assert.Nil(t, view.Tunnel)
}

func TestEndpointNeedsNoHeaderWhenOpen(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	ep, err := compute.GetEndpoint(t.Context(), computetest.NewSandbox(t, e.Provider, nil), 8080)
	require.NoError(t, err)
	assert.Equal(t, http.Header(nil), ep.Header)
}

func TestNetworkPolicies(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	ctx := t.Context()
	own, err := e.client.NetworkPolicies.Create(ctx, &runloopapi.NetworkPolicyCreateParams{Name: "compute-own"})
	require.NoError(t, err)
	policies := func() (ids []string) {
		for view, err := range e.client.NetworkPolicies.List(ctx, nil) {
			require.NoError(t, err)
			if view.ID != own.ID {
				ids = append(ids, view.ID)
			}
		}
		return ids
	}
	opts := &compute.CreateSandboxOptions{Network: &compute.NetworkPolicy{Allow: []string{"example.com"}}}
	var sandboxes []compute.Sandbox
	for range 2 {
		sb, err := e.CreateSandbox(ctx, opts)
		require.NoError(t, err)
		sandboxes = append(sandboxes, sb)
		view, err := e.client.Devboxes.Get(ctx, sb.ID())
		require.NoError(t, err)
		assert.Equal(t, []string{view.LaunchParameters.NetworkPolicyID}, policies(), "it is shared")
	}
	policy, err := e.client.NetworkPolicies.Get(ctx, policies()[0])
	require.NoError(t, err)
	assert.Equal(t, []string{"example.com"}, policy.Egress.AllowedHostnames)
	assert.False(t, policy.Egress.AllowAll)

	require.NoError(t, sandboxes[0].Destroy(ctx))
	assert.Len(t, policies(), 1, "the other has it")
	stranger, err := runloop.New(runloop.Config{Client: e.client}) // another program, which has not made it
	require.NoError(t, err)
	require.NoError(t, stranger.DestroySandbox(ctx, sandboxes[1].ID()))
	require.NoError(t, stranger.Close())
	assert.Empty(t, policies())

	// The provider still takes it to be there.
	sb, err := e.CreateSandbox(ctx, opts)
	require.NoError(t, err)
	assert.Len(t, policies(), 1)
	require.NoError(t, sb.Destroy(ctx))
	assert.Empty(t, policies())

	defer e.emulator.Inject(fault("devboxes.create*", 403))()
	_, err = e.CreateSandbox(ctx, opts)
	require.Error(t, err)
	assert.Empty(t, policies(), "after a create that failed")

	sb, err = e.CreateSandbox(ctx, &compute.CreateSandboxOptions{Extra: []compute.ProviderOptions{&runloop.CreateOptions{
		Launch: runloopapi.LaunchParameters{NetworkPolicyID: own.ID}}}})
	require.NoError(t, err)
	require.NoError(t, sb.Destroy(ctx))
	_, err = e.client.NetworkPolicies.Get(ctx, own.ID)
	require.NoError(t, err, "it is not the provider's")
}

func TestTemplateFiles(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	ctx := t.Context()
	binary := strings.Repeat("\x00\xff'$x\n", 20_000)
	var log bytes.Buffer
	tpl, err := e.CreateTemplate(ctx, &compute.CreateTemplateOptions{Name: "files",
		Files: map[string]string{"/tmp/it's/text": "é $x\n", "/tmp/it's/binary": binary, "/tmp/empty": ""},
		Setup: []string{"cat \"/tmp/it's/text\" > /tmp/setup"}, Launch: []string{"echo launched > /tmp/launched"},
		Metadata: map[string]string{"k": "v"}, Log: &log})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"k": "v"}, tpl.Metadata)
	sb := computetest.NewSandbox(t, e.Provider, &compute.CreateSandboxOptions{Template: "files"})
	for name, want := range map[string]string{"/tmp/it's/text": "é $x\n", "/tmp/it's/binary": binary, "/tmp/setup": "é $x\n", "/tmp/launched": "launched\n"} {
		got, err := sb.Filesystem().ReadFile(ctx, name)
		require.NoError(t, err, name)
		requireSame(t, want, string(got))
	}
	_, err = e.CreateTemplate(ctx, &compute.CreateTemplateOptions{Name: "broken", Setup: []string{"echo that went wrong; exit 3"}})
	require.ErrorIs(t, err, compute.ErrConflict)
	assert.ErrorContains(t, err, "that went wrong")
	_, ok := errors.AsType[*runloopapi.BuildError](err)
	assert.True(t, ok, "the build's own error")
}

func TestRename(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	sb := computetest.NewSandbox(t, e.Provider, nil)
	box, ok := compute.As[*runloop.Sandbox](sb)
	require.True(t, ok)
	require.NoError(t, box.Rename(t.Context(), "it's new"))
	info, err := sb.Info(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "it's new", info.Name)
	require.ErrorIs(t, box.Rename(t.Context(), "\x00"), compute.ErrInvalid)
}

// A devbox that cannot start is an error, and is not listed afterwards.
func TestFailedDevbox(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{Create: runloop.CreateOptions{
		Launch: runloopapi.LaunchParameters{LaunchCommands: []string{"exit 3"}}}})
	_, err := e.CreateSandbox(t.Context(), nil)
	require.ErrorIs(t, err, compute.ErrConflict)
	assert.ErrorContains(t, err, "execution_failed")
	found, err := compute.Collect(e.ListSandboxes(t.Context(), nil), 0)
	require.NoError(t, err)
	assert.Empty(t, found)
}

// Extend is honest about what the service can do.
func TestExtend(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	sb := computetest.NewSandbox(t, e.Provider, &compute.CreateSandboxOptions{Lifetime: 2 * time.Hour, Metadata: map[string]string{"k": "v"}})
	require.ErrorIs(t, compute.Extend(t.Context(), sb, 3*time.Hour), errors.ErrUnsupported)
	require.NoError(t, compute.Extend(t.Context(), sb, 2*time.Hour))
	info, err := sb.Info(t.Context())
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(2*time.Hour), info.Expires, time.Minute)
	assert.Equal(t, map[string]string{"k": "v"}, info.Metadata, "the provider's own labels are not shown")
}

// What an input takes its time with, and what is long, arrives too.
func TestSlowInput(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	sb := computetest.NewSandbox(t, e.Provider, nil)
	r, w := io.Pipe()
	want := strings.Repeat("\x00\xffline\n", 30_000)
	go func() {
		time.Sleep(30 * time.Millisecond)
		_, err := io.WriteString(w, want)
		_ = w.CloseWithError(err) // nil is the end; it always succeeds
	}()
	cmd := compute.Exec("cat")
	cmd.Stdin = r
	got, err := compute.Output(t.Context(), sb, cmd)
	require.NoError(t, err)
	requireSame(t, want, got)
}

// One gibibyte goes in and out without being held in memory.
func TestLargeFile(t *testing.T) {
	size := int64(16 << 20)
	if long() {
		size = 1 << 30
	}
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	sb := computetest.NewSandbox(t, e.Provider, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	before := peak(t)
	w, err := compute.CreateFile(ctx, sb.Filesystem(), "large", 0o600)
	require.NoError(t, err)
	_, err = io.CopyN(w, &pattern{}, size)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	r, err := compute.OpenFile(ctx, sb.Filesystem(), "large")
	require.NoError(t, err)
	n, err := io.Copy(&pattern{t: t}, r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	assert.Equal(t, size, n)
	assert.Less(t, peak(t), before+32<<20, "memory in use")
}

// Output that nobody gets does not fill the disk of the devbox, and the beginning
// of it is returned.
func TestEndlessOutput(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	sb := computetest.NewSandbox(t, e.Provider, nil)
	require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "first", nil, 0o600)) // it makes what others need
	res, err := sb.RunCommand(t.Context(), compute.Shell(`seq 10000000 inf & a=$!
seq 10000000 inf >&2 & b=$!
n=0 found=1
while [ $n -lt 100 ] && [ $found != 0 ]; do
n=$((n+1)); sleep .1
[ -e /tmp/.compute/f/*.od ] && [ -e /tmp/.compute/f/*.ed ] && found=0
done
kill $a $b
exit $found`))
	require.NoError(t, err)
	assert.Equal(t, 0, res.ExitCode, "nothing was thrown away")
	for _, out := range []string{res.Stdout, res.Stderr} {
		assert.Len(t, out, compute.MaxCapture)
		assert.True(t, strings.HasPrefix(out, "10000000\n10000001\n"))
	}
	assert.True(t, res.Truncated)
}
