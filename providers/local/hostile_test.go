//go:build linux

package local_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// A file can be of any size without taking room inside.
func TestHugeFiles(t *testing.T) {
	c := newLocal(t, t.TempDir(), local.Namespaces)
	sb := computetest.NewSandbox(t, c, nil)
	_, err := compute.Output(t.Context(), sb, compute.Shell("truncate -s 4T huge; ln -s huge link; truncate -s 1M fine"))
	require.NoError(t, err)
	for _, name := range []string{"huge", "link"} {
		start := time.Now()
		_, err := sb.Filesystem().ReadFile(t.Context(), name)
		require.ErrorIs(t, err, syscall.EFBIG)
		var pe *fs.PathError
		require.ErrorAs(t, err, &pe)
		require.Less(t, time.Since(start), 10*time.Second)
	}
	data, err := sb.Filesystem().ReadFile(t.Context(), "fine")
	require.NoError(t, err)
	require.Len(t, data, 1<<20)
	r, err := compute.OpenFile(t.Context(), sb.Filesystem(), "huge")
	require.NoError(t, err)
	_, err = r.Read(make([]byte, 10))
	require.NoError(t, err)
	require.NoError(t, r.Close())
}

// An ID is part of a path only if it is one of ours.
func TestHostileIDs(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newLocal(t, dir, local.Namespaces)
	outside := filepath.Join(dir, "outside")
	require.NoError(t, os.Mkdir(outside, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(outside, "meta.json"), []byte(`{"version":1,"id":"sbx-x","isolation":"namespaces"}`), 0o600))
	for _, id := range []string{"", ".", "..", "../outside", "sbx-", "sbx-../../outside", "sbx-a/../../outside", "/etc", "sbx-\x00", "sbx-a\n",
		"sbx-" + strings.Repeat("a", 300), "SBX-A", "snap-a", "sbx-a%2f.."} {
		_, err := c.GetSandbox(ctx, id)
		require.ErrorIs(t, err, compute.ErrNotFound, "%q", id)
		require.NoError(t, c.DestroySandbox(ctx, id), "%q", id)
		_, err = c.GetSnapshot(ctx, id)
		require.ErrorIs(t, err, compute.ErrNotFound, "%q", id)
		require.NoError(t, c.DeleteSnapshot(ctx, id), "%q", id)
		_, err = c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Snapshot: "x" + id})
		require.Error(t, err, "%q", id)
	}
	_, err := os.Stat(filepath.Join(outside, "meta.json"))
	require.NoError(t, err, "something outside was removed")
	require.NoError(t, os.RemoveAll(outside))
}

// What callers pass on from their users comes back as it was, and stays data.
func TestHostileMetadata(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newLocal(t, dir, local.Namespaces)
	odd := "a\n\"},\"id\":\"../x\x1b[2J$(id)`id`\u202e" + strings.Repeat("x", 1000)
	sb := computetest.NewSandbox(t, c, &compute.CreateSandboxOptions{Metadata: map[string]string{"k": odd}, Env: map[string]string{"ODD": odd}})
	next, err := local.New(local.Config{Dir: dir})
	require.NoError(t, err)
	defer next.Close()
	again, err := next.GetSandbox(ctx, sb.ID())
	require.NoError(t, err)
	info, err := again.Info(ctx)
	require.NoError(t, err)
	require.Equal(t, odd, info.Metadata["k"])
	out, err := compute.Output(ctx, again, compute.Exec("printenv", "ODD"))
	require.NoError(t, err)
	require.Equal(t, odd+"\n", out)
}

// A state directory that others own or write to is refused or closed.
func TestForeignStateDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a directory somebody else's")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chown(dir, 12345, 12345))
	_, err := local.New(local.Config{Dir: dir})
	require.Error(t, err)
	require.NotErrorIs(t, err, errors.ErrUnsupported)
	require.NoError(t, os.Chown(dir, 0, 0))
	require.NoError(t, os.Chmod(dir, 0o777))
	c, err := local.New(local.Config{Dir: dir})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
}
