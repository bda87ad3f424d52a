//go:build linux

package local_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

func TestMinIsolation(t *testing.T) {
	newLocal(t, t.TempDir(), local.Namespaces) // or skip
	for _, least := range []local.Isolation{local.Namespaces, local.Landlock, local.None} {
		p, err := local.New(local.Config{Dir: t.TempDir(), MinIsolation: least})
		require.NoError(t, err)
		assert.Equal(t, local.Namespaces, p.Isolation(), "the best there is, and at least %s", least)
		require.NoError(t, p.Close())
	}
	p := newLocal(t, t.TempDir(), "")
	assert.Equal(t, local.Namespaces, p.Isolation(), "the default")
	for name, cfg := range map[string]local.Config{
		"unknown":       {Isolation: "perfect"},
		"unknown least": {MinIsolation: "perfect"},
		"both":          {Isolation: local.None, MinIsolation: local.None},
	} {
		cfg.Dir = t.TempDir()
		_, err := local.New(cfg)
		assert.ErrorIs(t, err, compute.ErrInvalid, name)
	}
}

// TestKindsAreApart: what one kind has made is not of use to the other, which
// says so.
func TestKindsAreApart(t *testing.T) {
	dir := passable(t)
	strong, plain := newLocal(t, dir, local.Namespaces), newLocal(t, dir, local.Landlock)
	for _, c := range []struct{ from, to *local.Provider }{{strong, plain}, {plain, strong}} {
		sb := computetest.NewSandbox(t, c.from, nil)
		snap, err := c.from.CreateSnapshot(t.Context(), sb.ID(), nil)
		require.NoError(t, err)
		_, err = c.to.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Snapshot: snap.ID})
		require.ErrorIs(t, err, errors.ErrUnsupported)
		assert.ErrorContains(t, err, string(c.from.Isolation()))
		other := computetest.NewSandbox(t, c.to, nil)
		err = compute.Rollback(t.Context(), other, snap.ID)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.NoError(t, c.to.DeleteSnapshot(t.Context(), snap.ID))

		// It can be used all the same, but not started again with less.
		again, err := c.to.GetSandbox(t.Context(), sb.ID())
		require.NoError(t, err)
		isolation, err := again.(*local.Sandbox).Isolation(t.Context())
		require.NoError(t, err)
		assert.Equal(t, c.from.Isolation(), isolation)
		out, err := compute.Output(t.Context(), again, compute.Exec("echo", "hello"))
		require.NoError(t, err)
		assert.Equal(t, "hello\n", out)
		require.NoError(t, compute.Suspend(t.Context(), again))
		err = compute.Resume(t.Context(), again)
		if c.to == strong {
			require.ErrorIs(t, err, errors.ErrUnsupported)
		} else {
			require.NoError(t, err)
		}
		require.NoError(t, again.Destroy(t.Context()))
	}
}

func TestLandlockOptions(t *testing.T) {
	c := newLocal(t, passable(t), local.Landlock)
	for name, opts := range map[string]*compute.CreateSandboxOptions{
		"Resources": {Resources: compute.Resources{MemoryMiB: 64}},
		"Lifetime":  {Lifetime: 1},
		"Network":   {Network: &compute.NetworkPolicy{Allow: []string{"*"}}},
		"Mounts":    {Mounts: []compute.Mount{{Volume: "v", Path: "/v"}}},
		"Image":     {Image: "debian"},
		"User":      {User: "root"},
	} {
		_, err := c.CreateSandbox(t.Context(), opts)
		require.ErrorIs(t, err, errors.ErrUnsupported, name)
		assert.ErrorContains(t, err, "landlock", name)
	}
	sb := computetest.NewSandbox(t, c, &compute.CreateSandboxOptions{Network: &compute.NetworkPolicy{}})
	require.NoError(t, sb.Destroy(t.Context()), "a policy that allows nothing is what it has")
}

func TestProbe(t *testing.T) {
	newLocal(t, t.TempDir(), local.Namespaces) // or skip
	dir := passable(t)
	report, err := local.Probe(t.Context(), local.Config{Dir: dir})
	require.NoError(t, err)
	assert.Equal(t, local.Namespaces, report.Best)
	require.Len(t, report.Tiers, 4)
	for i, want := range []local.Isolation{local.GVisor, local.Namespaces, local.Landlock, local.None} {
		assert.Equal(t, want, report.Tiers[i].Isolation, "the strongest first")
		assert.Equal(t, report.Tiers[i].Available, report.Tiers[i].Reason == "", report.Tiers[i].Reason)
	}
	assert.Equal(t, dir, report.Facts.StateDir)
	assert.NotEmpty(t, report.Facts.Kernel)
	assert.Positive(t, report.Facts.Users)
	p := newLocal(t, dir, local.Namespaces)
	for info, err := range p.ListSandboxes(t.Context(), nil) {
		require.NoError(t, err)
		t.Errorf("it left %s", info.ID)
	}
}
