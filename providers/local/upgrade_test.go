//go:build linux

package local_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// older makes sandboxes with a file and a process each, and tells their IDs.
func older(ctx context.Context, c compute.Compute) error {
	for range 2 {
		sb, err := c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Metadata: map[string]string{"made": "before"}})
		if err != nil {
			return err
		}
		if err := sb.Filesystem().WriteFile(ctx, "f", []byte("kept"), 0o600); err != nil {
			return err
		}
		if _, err := compute.Start(ctx, sb, compute.Exec("sleep", "1000")); err != nil {
			return err
		}
		fmt.Println(sb.ID())
	}
	return nil
}

// olderProgram builds this test program with the protocol of a version before.
func olderProgram(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: this builds another program")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command to build the other version with: ", err)
	}
	source, err := filepath.Abs("internal/wire/frame.go")
	require.NoError(t, err)
	text, err := os.ReadFile(source)
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^const Version = \d+$`)
	require.Len(t, version.FindAll(text, -1), 1)
	dir := t.TempDir()
	patched, overlay, program := filepath.Join(dir, "frame.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "older")
	require.NoError(t, os.WriteFile(patched, version.ReplaceAll(text, []byte("const Version = 1")), 0o600))
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{source: patched}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, replace, 0o600))
	out, err := exec.CommandContext(t.Context(), tool, "test", "-c", "-overlay", overlay, "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return program
}

// A sandbox outlives the program that made it, and so may have been made by
// another version of the library.
func TestAfterAnUpgrade(t *testing.T) {
	dir := t.TempDir()
	c := newLocal(t, dir, local.Namespaces)
	cmd := exec.CommandContext(t.Context(), olderProgram(t))
	cmd.Env = append(os.Environ(), childEnv+"=older:"+dir)
	out, err := cmd.Output()
	require.NoError(t, err, string(out))
	ids := strings.Fields(string(out))
	require.Len(t, ids, 2)
	ctx := t.Context()
	own, err := c.CreateSandbox(ctx, nil)
	require.NoError(t, err)
	sb, err := c.GetSandbox(ctx, ids[0])
	require.NoError(t, err)

	t.Run("is listed", func(t *testing.T) {
		all, err := compute.Collect(c.ListSandboxes(ctx, nil), 0)
		require.NoError(t, err)
		require.Len(t, all, 3)
		for _, info := range all {
			assert.Equal(t, compute.StatusRunning, info.Status, info.Reason)
			if info.ID == own.ID() {
				assert.Empty(t, info.Reason)
				continue
			}
			assert.Contains(t, ids, info.ID)
			assert.Contains(t, info.Reason, "suspend and resume it")
			assert.Equal(t, map[string]string{"made": "before"}, info.Metadata)
		}
	})
	refused := func(do func() error) func(t *testing.T) {
		return func(t *testing.T) {
			err := do()
			require.ErrorIs(t, err, compute.ErrConflict)
			assert.ErrorContains(t, err, "suspend and resume it")
			ce := new(compute.Error)
			require.ErrorAs(t, err, &ce)
			assert.True(t, ce.NothingDone)
		}
	}
	t.Run("refuses commands", refused(func() error { return ran(sb.RunCommand(ctx, compute.Exec("true"))) }))
	t.Run("refuses to read", refused(func() error { _, err := sb.Filesystem().ReadFile(ctx, "f"); return err }))
	t.Run("refuses to write", refused(func() error { return sb.Filesystem().WriteFile(ctx, "f", []byte("lost"), 0o600) }))
	t.Run("refuses snapshots", refused(func() error { _, err := c.CreateSnapshot(ctx, sb.ID(), nil); return err }))
	t.Run("refuses to be resumed as it is", refused(func() error { return compute.Resume(ctx, sb) }))
	t.Run("refuses usage", refused(func() error { _, err := compute.GetUsage(ctx, sb); return err }))
	t.Run("keeps metadata", func(t *testing.T) {
		require.NoError(t, compute.UpdateMetadata(ctx, sb, map[string]string{"seen": "after"}))
	})
	t.Run("is suspended and resumed", func(t *testing.T) {
		require.NoError(t, compute.Suspend(ctx, sb))
		snap, err := c.CreateSnapshot(ctx, sb.ID(), nil)
		require.NoError(t, err)
		require.NoError(t, compute.Resume(ctx, sb))
		info, err := sb.Info(ctx)
		require.NoError(t, err)
		assert.Equal(t, compute.StatusRunning, info.Status)
		assert.Empty(t, info.Reason)
		assert.Equal(t, map[string]string{"seen": "after"}, info.Metadata)
		requireFile(t, sb, "f", "kept")
		require.NoError(t, ran(sb.RunCommand(ctx, compute.Shell("test \"$(cat f)\" = kept"))))
		twin, err := c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Snapshot: snap.ID})
		require.NoError(t, err)
		requireFile(t, twin, "f", "kept")
	})
	t.Run("is destroyed", func(t *testing.T) {
		require.NoError(t, c.DestroySandbox(ctx, ids[1]))
		_, err := c.GetSandbox(ctx, ids[1])
		require.ErrorIs(t, err, compute.ErrNotFound)
	})
	requireNothingLeft(t, c, dir)
}
