package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

func TestBuildSite(t *testing.T) {
	c := stub.New(stub.Config{})
	defer c.Close()
	dir := t.TempDir()
	require.NoError(t, buildSite(t.Context(), c, dir))
	page, err := os.ReadFile(filepath.Join(dir, "about.html"))
	require.NoError(t, err)
	require.Equal(t, "<!doctype html>\n<pre>\nOne line at a time is fast enough.\n</pre>\n", string(page))
	requireNothingLeft(t, c)
}

// Ctrl-C in the middle of the build.
func TestBuildSiteInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := stub.New(stub.Config{Programs: map[string]stub.Program{
		"mkdir": func(ctx context.Context, _ *stub.Proc) int { cancel(); <-ctx.Done(); return 1 },
	}})
	defer c.Close()
	require.ErrorIs(t, buildSite(ctx, c, t.TempDir()), context.Canceled)
	requireNothingLeft(t, c)
}

func requireNothingLeft(t *testing.T, c compute.Compute) {
	t.Helper()
	boxes, err := compute.Collect(c.ListSandboxes(t.Context(), nil), 0)
	require.NoError(t, err)
	require.Empty(t, boxes)
	templates, err := compute.Collect(c.ListTemplates(t.Context(), nil), 0)
	require.NoError(t, err)
	require.Empty(t, templates)
}
