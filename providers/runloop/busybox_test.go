package runloop_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
	"github.com/computekit/compute/providers/runloop"
)

// busybox returns the root of a small image, with no programs but BusyBox's.
func busybox(t *testing.T) local.Base {
	t.Helper()
	file, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("there is no BusyBox here: ", err)
	}
	if out, err := exec.Command("ldd", file).Output(); err == nil && !strings.Contains(string(out), "not a dynamic") {
		t.Skip("the BusyBox of this machine needs libraries")
	}
	root := t.TempDir()
	for _, dir := range []string{"bin", "usr/bin", "etc", "root", "proc", "dev"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(root, "tmp"), 0o777))
	require.NoError(t, os.Chmod(filepath.Join(root, "tmp"), 0o777|fs.ModeSticky))
	program, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "bin/busybox"), program, 0o755))
	list, err := exec.Command(file, "--list").Output()
	require.NoError(t, err)
	for _, name := range strings.Fields(string(list)) {
		if name != "busybox" {
			require.NoError(t, os.Symlink("busybox", filepath.Join(root, "bin", name)))
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\n"), 0o644))
	return local.Dir(root)
}

// A blueprint may be made of an image such as Alpine's.
func TestBusyBox(t *testing.T) {
	backend, err := local.New(local.Config{Dir: t.TempDir(), Base: busybox(t)})
	if err != nil {
		t.Skip("this machine cannot isolate: ", err)
	}
	t.Cleanup(func() { assert.NoError(t, backend.Close()) })
	sb := computetest.NewSandbox(t, newEmulated(t, backend, false, runloop.Config{}).Provider, nil)
	ctx, fsys := t.Context(), sb.Filesystem()

	t.Run("commands", func(t *testing.T) {
		cmd := compute.Shell("cat; echo err >&2; pwd; echo \"$V\"; exit 3")
		cmd.Stdin, cmd.Dir, cmd.Env = strings.NewReader("in\n"), "/tmp", map[string]string{"V": "it's"}
		res, err := sb.RunCommand(ctx, cmd)
		require.NoError(t, err)
		assert.Equal(t, []any{3, "in\n/tmp\nit's\n", "err\n"}, []any{res.ExitCode, res.Stdout, res.Stderr})
	})
	t.Run("files", func(t *testing.T) {
		for _, data := range []string{"", "\x00\xff\n", strings.Repeat("x\n", 1<<20)} {
			require.NoError(t, fsys.WriteFile(ctx, "d/f", []byte(data), 0o640))
			got, err := fsys.ReadFile(ctx, "d/f")
			require.NoError(t, err)
			require.True(t, bytes.Equal([]byte(data), got), "what comes back is what went in")
		}
		_, err := sb.RunCommand(ctx, compute.Exec("ln", "-s", "nowhere", "d/link"))
		require.NoError(t, err)
		require.NoError(t, fsys.WriteFile(ctx, "d/link", []byte("through"), 0o600))
		got, err := fsys.ReadFile(ctx, "d/nowhere")
		require.NoError(t, err)
		require.Equal(t, "through", string(got))
		require.ErrorIs(t, fsys.WriteFile(ctx, "d/f/below", nil, 0o600), fs.ErrInvalid)
		list, err := fsys.ReadDir(ctx, "d")
		require.NoError(t, err)
		require.Len(t, list, 3)
	})
	t.Run("archives", func(t *testing.T) {
		a, ok := compute.As[compute.Archiver](fsys)
		require.True(t, ok)
		name := strings.Repeat("long/", 40) + "it's"
		require.NoError(t, fsys.WriteFile(ctx, "tree/"+name, []byte("\x00x"), 0o600))
		var archive bytes.Buffer
		require.NoError(t, a.ReadArchive(ctx, "tree", &archive))
		require.NoError(t, a.WriteArchive(ctx, "copy", &archive))
		got, err := fsys.ReadFile(ctx, "copy/"+name)
		require.NoError(t, err)
		require.Equal(t, "\x00x", string(got))
	})
	t.Run("watch", func(t *testing.T) {
		w, ok := compute.As[compute.FileWatcher](fsys)
		require.True(t, ok)
		_, err := w.WatchFiles(ctx, "/tmp")
		require.ErrorIs(t, err, errors.ErrUnsupported)
	})
}
