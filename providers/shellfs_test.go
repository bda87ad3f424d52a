package providers_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// eachShellFS runs f on files over every shell.
func eachShellFS(t *testing.T, f func(t *testing.T, fsys compute.Filesystem, dir string)) {
	t.Helper()
	eachShell(t, func(t *testing.T, r lineRunner) { f(t, providers.ShellFilesystem(r), r.dir) })
}

// eachWayToWrite also does so where there is no Stdin.
func eachWayToWrite(t *testing.T, f func(t *testing.T, fsys compute.Filesystem, dir string)) {
	t.Helper()
	eachShell(t, func(t *testing.T, r lineRunner) {
		t.Run("stdin", func(t *testing.T) {
			r.dir = t.TempDir()
			f(t, providers.ShellFilesystem(r), r.dir)
		})
		t.Run("no stdin", func(t *testing.T) {
			r.dir, r.noStdin = t.TempDir(), true
			f(t, providers.ShellFilesystem(r), r.dir)
		})
	})
}

func someBytes(n int) []byte {
	src := rand.NewChaCha8([32]byte{1})
	data := make([]byte, n)
	_, _ = src.Read(data)
	return data
}

var hostileNames = []string{"plain", "a b", "-n", "-", "--", "~", "*", "?", "a'b", `a"b`, "$(id)", "`id`", "a\nb", "a\n",
	"\\", "日本", "\xff\xfe", "#", "a;b", "%s", "=", "a=b", "!x", " ", "...", "No such file or directory"}

func TestShellFSNames(t *testing.T) {
	eachShellFS(t, func(t *testing.T, fsys compute.Filesystem, dir string) {
		ctx := t.Context()
		for _, name := range hostileNames {
			require.NoError(t, fsys.WriteFile(ctx, "d/"+name, []byte(name), 0o640), "%q", name)
			data, err := fsys.ReadFile(ctx, "d/"+name)
			require.NoError(t, err)
			require.Equal(t, name, string(data))
			info, err := fsys.Stat(ctx, filepath.Join(dir, "d", name))
			require.NoError(t, err)
			require.Equal(t, name, info.Name())
		}
		list, err := fsys.ReadDir(ctx, "d")
		require.NoError(t, err)
		want, err := os.ReadDir(filepath.Join(dir, "d"))
		require.NoError(t, err)
		require.Len(t, list, len(hostileNames), "and no temporary file")
		for i, e := range want {
			require.Equal(t, e.Name(), list[i].Name())
			require.EqualValues(t, len(e.Name()), list[i].Size())
			require.Equal(t, fs.FileMode(0o640), list[i].Mode())
			require.WithinDuration(t, time.Now(), list[i].ModTime(), time.Minute)
		}
		for _, name := range hostileNames {
			require.NoError(t, fsys.RemoveAll(ctx, "d/"+name))
		}
		list, err = fsys.ReadDir(ctx, "d")
		require.NoError(t, err)
		require.Empty(t, list)
	})
}

func TestShellFSBytes(t *testing.T) {
	sizes := []int{0, 1, 2, 3, 24 << 10, 72 << 10, 72<<10 + 1, 128 << 10, 1<<20 + 7}
	eachWayToWrite(t, func(t *testing.T, fsys compute.Filesystem, _ string) {
		for _, n := range sizes {
			data := someBytes(n)
			require.NoError(t, fsys.WriteFile(t.Context(), "f", data, 0o600))
			got, err := fsys.ReadFile(t.Context(), "f")
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, got), "%d bytes", n)

			w, err := compute.CreateFile(t.Context(), fsys, "g", 0o600)
			require.NoError(t, err)
			_, err = io.Copy(w, iotestHalf{bytes.NewReader(data)})
			require.NoError(t, err)
			require.NoError(t, w.Close())
			require.ErrorIs(t, w.Close(), fs.ErrClosed)
			r, err := compute.OpenFile(t.Context(), fsys, "g")
			require.NoError(t, err)
			got, err = io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			require.True(t, bytes.Equal(data, got), "%d bytes as a stream", n)
		}
	})
}

// iotestHalf reads odd amounts.
type iotestHalf struct{ r io.Reader }

func (h iotestHalf) Read(p []byte) (int, error) { return h.r.Read(p[:(len(p)+1)/2]) }

func TestShellFSErrors(t *testing.T) {
	eachWayToWrite(t, func(t *testing.T, fsys compute.Filesystem, dir string) {
		ctx := t.Context()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("old"), 0o644))
		require.NoError(t, os.Mkdir(filepath.Join(dir, "dir"), 0o755))
		require.NoError(t, os.Symlink("nowhere/x", filepath.Join(dir, "dangling")))
		read := func(name string) error { _, err := fsys.ReadFile(ctx, name); return err }
		stat := func(name string) error { _, err := fsys.Stat(ctx, name); return err }
		list := func(name string) error { _, err := fsys.ReadDir(ctx, name); return err }
		write := func(name string) error { return fsys.WriteFile(ctx, name, []byte("new"), 0o644) }
		mkdir := func(name string) error { return fsys.MkdirAll(ctx, name, 0o755) }
		rename := func(name string) error { return compute.Rename(ctx, fsys, name, "dir") }
		tests := map[string]struct {
			do   func(string) error
			name string
			want error
		}{
			"read missing":      {read, "missing", fs.ErrNotExist},
			"read misleading":   {read, "Permission denied", fs.ErrNotExist},
			"read dangling":     {read, "dangling", fs.ErrNotExist},
			"read dir":          {read, "dir", fs.ErrInvalid},
			"read below file":   {read, "file/x", fs.ErrInvalid},
			"read empty":        {read, "", fs.ErrInvalid},
			"read NUL":          {read, "a\x00b", fs.ErrInvalid},
			"read device":       {read, "/dev/zero", fs.ErrInvalid},
			"stat missing":      {stat, "missing/x", fs.ErrNotExist},
			"stat dangling":     {stat, "dangling", fs.ErrNotExist},
			"stat too long":     {stat, strings.Repeat("x", 300), fs.ErrInvalid},
			"list missing":      {list, "missing", fs.ErrNotExist},
			"list file":         {list, "file", fs.ErrInvalid},
			"write dir":         {write, "dir", fs.ErrInvalid},
			"write dir/":        {write, "new/", fs.ErrInvalid},
			"write .":           {write, "new/.", fs.ErrInvalid},
			"write below file":  {write, "file/x", fs.ErrInvalid},
			"write far below":   {write, "file/x/y", fs.ErrInvalid},
			"write device":      {write, "/dev/null", fs.ErrInvalid},
			"write NUL":         {write, "a\x00b", fs.ErrInvalid},
			"write dangling":    {write, "dangling", fs.ErrNotExist},
			"mkdir over file":   {mkdir, "file", fs.ErrExist},
			"rename missing":    {func(n string) error { return compute.Rename(ctx, fsys, n, "other") }, "missing", fs.ErrNotExist},
			"rename onto a dir": {rename, "file", fs.ErrExist},
			"rename NUL":        {func(n string) error { return compute.Rename(ctx, fsys, n, "\x00") }, "file", fs.ErrInvalid},
		}
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				err := tt.do(tt.name)
				require.ErrorIs(t, err, tt.want)
				require.ErrorAs(t, err, new(*fs.PathError))
			})
		}
		data, err := os.ReadFile(filepath.Join(dir, "file"))
		require.NoError(t, err)
		require.Equal(t, "old", string(data))
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, left, 3, "nothing is left of what failed: %v", left)
	})
}

// Not being allowed to look is not the same as there being nothing.
func TestShellFSDenied(t *testing.T) {
	say := func(stderr string) compute.Filesystem {
		return providers.ShellFilesystem(runnerFunc(func(context.Context, *compute.Command) (*compute.Result, error) {
			return &compute.Result{ExitCode: 1, Stderr: stderr}, nil
		}))
	}
	_, err := compute.Exists(t.Context(), say("stat: cannot statx './x': Permission denied\n"), "x")
	require.ErrorIs(t, err, fs.ErrPermission)
	_, err = compute.Exists(t.Context(), say("stat: cannot statx './x': Input/output error\n"), "x")
	require.Error(t, err)
	ok, err := compute.Exists(t.Context(), say("stat: can't stat './x': No such file or directory\n"), "x")
	require.NoError(t, err)
	require.False(t, ok)
}

type runnerFunc func(context.Context, *compute.Command) (*compute.Result, error)

func (f runnerFunc) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	return f(ctx, cmd)
}

func TestShellFSRemoveRefuses(t *testing.T) {
	fsys := providers.ShellFilesystem(runnerFunc(func(context.Context, *compute.Command) (*compute.Result, error) {
		return nil, errors.New("a command was run")
	}))
	for _, name := range []string{"", "/", "//", ".", "./", "..", "../", "../..", "a/..", "a/../..", "/..", "/.", "a/.", "\x00", "a\x00/.", "./..", "/a/.."} {
		err := fsys.RemoveAll(t.Context(), name)
		require.ErrorIs(t, err, fs.ErrInvalid, "%q", name)
		require.ErrorAs(t, err, new(*fs.PathError))
	}
}

func TestShellFSRemoveRefusesWhereItIs(t *testing.T) {
	eachShell(t, func(t *testing.T, r lineRunner) {
		top := r.dir
		r.dir = filepath.Join(top, "a b\n", "-n")
		require.NoError(t, os.MkdirAll(filepath.Join(r.dir, "below"), 0o755))
		require.NoError(t, os.MkdirAll(r.dir+"x", 0o755))
		require.NoError(t, os.Symlink(r.dir, filepath.Join(top, "link")))
		fsys := providers.ShellFilesystem(r)
		for _, name := range []string{r.dir, r.dir + "/", "../-n", filepath.Dir(r.dir), top + "/link/../-n"} {
			require.ErrorIs(t, fsys.RemoveAll(t.Context(), name), fs.ErrInvalid, "%q", name)
		}
		require.DirExists(t, filepath.Join(r.dir, "below"))
		for _, name := range []string{"below", r.dir + "x", top + "/link"} {
			require.NoError(t, fsys.RemoveAll(t.Context(), name), "%q", name)
		}
		require.DirExists(t, r.dir)
	})
}

func TestShellFSLinks(t *testing.T) {
	eachShellFS(t, func(t *testing.T, fsys compute.Filesystem, dir string) {
		ctx := t.Context()
		require.NoError(t, fsys.MkdirAll(ctx, "real/sub", 0o750))
		require.NoError(t, fsys.WriteFile(ctx, "real/f", []byte("x"), 0o600))
		require.NoError(t, os.Symlink("real", filepath.Join(dir, "link")))
		require.NoError(t, os.Symlink("f", filepath.Join(dir, "real/flink")))
		require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "real/dangling")))

		list, err := fsys.ReadDir(ctx, "link")
		require.NoError(t, err)
		var got []string
		for _, i := range list {
			got = append(got, i.Mode().Type().String()+" "+i.Name())
		}
		require.Equal(t, []string{"L--------- dangling", "---------- f", "L--------- flink", "d--------- sub"}, got)

		info, err := fsys.Stat(ctx, "link")
		require.NoError(t, err)
		require.True(t, info.IsDir())

		require.NoError(t, fsys.WriteFile(ctx, "link/flink", []byte("through"), 0o644))
		data, err := os.ReadFile(filepath.Join(dir, "real/f"))
		require.NoError(t, err)
		require.Equal(t, "through", string(data))
		require.NoError(t, fsys.WriteFile(ctx, "real/dangling", []byte("new"), 0o644))
		require.FileExists(t, filepath.Join(dir, "real/nowhere"))

		require.NoError(t, fsys.RemoveAll(ctx, "link/"))
		require.NoFileExists(t, filepath.Join(dir, "link"))
		require.FileExists(t, filepath.Join(dir, "real/f"), "a link is not followed")
		require.NoError(t, fsys.RemoveAll(ctx, "real"))
		require.NoError(t, fsys.RemoveAll(ctx, "real"), "idempotent")
	})
}

func TestShellFSPerms(t *testing.T) {
	eachWayToWrite(t, func(t *testing.T, fsys compute.Filesystem, dir string) {
		ctx := t.Context()
		for _, perm := range []fs.FileMode{0o777, 0o600, 0o444, 0o000} {
			require.NoError(t, fsys.WriteFile(ctx, "f", nil, perm))
			info, err := os.Stat(filepath.Join(dir, "f"))
			require.NoError(t, err)
			require.Equal(t, perm, info.Mode())
		}
		require.NoError(t, fsys.MkdirAll(ctx, "a/b", 0o777))
		require.NoError(t, fsys.MkdirAll(ctx, "a/b", 0o700), "leaves what is there")
		info, err := fsys.Stat(ctx, "a/b")
		require.NoError(t, err)
		require.Equal(t, fs.ModeDir|0o777, info.Mode())
	})
}

func TestShellFSRename(t *testing.T) {
	eachShellFS(t, func(t *testing.T, fsys compute.Filesystem, dir string) {
		ctx := t.Context()
		require.NoError(t, fsys.WriteFile(ctx, "-a", []byte("a"), 0o600))
		require.NoError(t, fsys.WriteFile(ctx, "-b", []byte("b"), 0o600))
		require.NoError(t, compute.Rename(ctx, fsys, "-a", "-b"))
		data, err := fsys.ReadFile(ctx, "-b")
		require.NoError(t, err)
		require.Equal(t, "a", string(data))

		require.NoError(t, fsys.MkdirAll(ctx, "d", 0o755))
		require.NoError(t, os.Symlink("d", filepath.Join(dir, "link")))
		require.NoError(t, compute.Rename(ctx, fsys, "-b", "link"), "replaces the link")
		require.NoFileExists(t, filepath.Join(dir, "d", "-b"))
	})
}

func TestShellFSGivesUp(t *testing.T) {
	eachWayToWrite(t, func(t *testing.T, fsys compute.Filesystem, dir string) {
		require.NoError(t, fsys.WriteFile(t.Context(), "f", []byte("old"), 0o600))
		ctx, cancel := context.WithCancel(t.Context())
		w, err := compute.CreateFile(ctx, fsys, "f", 0o600)
		require.NoError(t, err)
		_, err = w.Write(someBytes(100 << 10))
		require.NoError(t, err)
		cancel()
		require.ErrorIs(t, w.Close(), context.Canceled)

		data, err := fsys.ReadFile(t.Context(), "f")
		require.NoError(t, err)
		require.Equal(t, "old", string(data))
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, left, 1, "the temporary file is gone")
	})
}

func TestShellFSStopsReading(t *testing.T) {
	eachShellFS(t, func(t *testing.T, fsys compute.Filesystem, _ string) {
		require.NoError(t, fsys.WriteFile(t.Context(), "f", someBytes(1<<20), 0o600))
		r, err := compute.OpenFile(t.Context(), fsys, "f")
		require.NoError(t, err)
		_, err = io.ReadFull(r, make([]byte, 10))
		require.NoError(t, err)
		require.NoError(t, r.Close())

		ctx, cancel := context.WithCancel(t.Context())
		r, err = compute.OpenFile(ctx, fsys, "f")
		require.NoError(t, err)
		cancel()
		_, err = io.ReadAll(r)
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, r.Close())
	})
}

// A connection that loses the end of the input must not leave half a file.
func TestShellFSCutShort(t *testing.T) {
	eachShell(t, func(t *testing.T, r lineRunner) {
		cut := runnerFunc(func(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
			if own := *cmd; cmd.Stdin != nil {
				own.Stdin = io.LimitReader(cmd.Stdin, 400)
				cmd = &own
			}
			return r.RunCommand(ctx, cmd)
		})
		fsys := providers.ShellFilesystem(cut)
		require.NoError(t, fsys.WriteFile(t.Context(), "f", []byte("old"), 0o600))
		require.ErrorContains(t, fsys.WriteFile(t.Context(), "f", someBytes(1000), 0o600), "cut short")
		data, err := fsys.ReadFile(t.Context(), "f")
		require.NoError(t, err)
		require.Equal(t, "old", string(data))
	})
}

func TestShellFSManyEntries(t *testing.T) {
	eachShell(t, func(t *testing.T, r lineRunner) {
		const n = 2000
		for i := range n {
			name := strings.Repeat("x", 100) + string(rune('a'+i%26)) + strings.Repeat("y", i/26)
			require.NoError(t, os.WriteFile(filepath.Join(r.dir, name), nil, 0o600))
		}
		list, err := providers.ShellFilesystem(r).ReadDir(t.Context(), ".")
		require.NoError(t, err)
		require.Len(t, list, n)
	})
}
