package compute_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// hostFS is a directory of this machine as a Filesystem without abilities.
type hostFS string

func (h hostFS) at(name string) string { return filepath.Join(string(h), name) }

func (h hostFS) ReadFile(_ context.Context, name string) ([]byte, error) {
	return os.ReadFile(h.at(name))
}

func (h hostFS) WriteFile(_ context.Context, name string, data []byte, perm fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(h.at(name)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(h.at(name), data, perm)
}

func (h hostFS) ReadDir(_ context.Context, name string) ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(h.at(name))
	var infos []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			infos = append(infos, info)
		}
	}
	return infos, err
}

func (h hostFS) Stat(_ context.Context, name string) (fs.FileInfo, error) { return os.Stat(h.at(name)) }

func (h hostFS) MkdirAll(_ context.Context, name string, perm fs.FileMode) error {
	return os.MkdirAll(h.at(name), perm)
}

func (h hostFS) RemoveAll(_ context.Context, name string) error { return os.RemoveAll(h.at(name)) }

// streamFS can also stream, and counts the streams.
type streamFS struct {
	hostFS
	opened, open *int
}

func newStreamFS(t *testing.T) streamFS { return streamFS{hostFS(t.TempDir()), new(int), new(int)} }

func (s streamFS) OpenFile(_ context.Context, name string) (io.ReadCloser, error) {
	f, err := os.Open(s.at(name))
	if err != nil {
		return nil, err
	}
	*s.opened++
	*s.open++
	return struct {
		io.Reader
		io.Closer
	}{f, closerFunc(func() error { *s.open--; return f.Close() })}, nil
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

func TestExists(t *testing.T) {
	fsys := hostFS(t.TempDir())
	ok, err := compute.Exists(t.Context(), fsys, "x")
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, fsys.WriteFile(t.Context(), "x", nil, 0o600))
	ok, err = compute.Exists(t.Context(), fsys, "x")
	require.NoError(t, err)
	require.True(t, ok)
	_, err = compute.Exists(t.Context(), fsys, "x/y") // not a directory: not the same as no file
	require.Error(t, err)
}

func TestStreamsByWayOfMemory(t *testing.T) {
	fsys := hostFS(t.TempDir())
	w, err := compute.CreateFile(t.Context(), fsys, "f", 0o640)
	require.NoError(t, err)
	_, err = io.WriteString(w, "hello")
	require.NoError(t, err)
	ok, err := compute.Exists(t.Context(), fsys, "f")
	require.NoError(t, err)
	require.False(t, ok, "the file is there when Close has returned")
	require.NoError(t, w.Close())
	require.ErrorIs(t, w.Close(), fs.ErrClosed)
	_, err = io.WriteString(w, "late")
	require.ErrorIs(t, err, fs.ErrClosed)

	r, err := compute.OpenFile(t.Context(), fsys, "f")
	require.NoError(t, err)
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "hello", string(data))

	ctx, cancel := context.WithCancel(t.Context())
	w, err = compute.CreateFile(ctx, fsys, "f", 0o640)
	require.NoError(t, err)
	_, _ = io.WriteString(w, "other")
	cancel()
	require.ErrorIs(t, w.Close(), context.Canceled)
	data, err = fsys.ReadFile(t.Context(), "f")
	require.NoError(t, err)
	require.Equal(t, "hello", string(data), "given up")
}

func TestReplace(t *testing.T) {
	fsys := hostFS(t.TempDir())
	const before = "one two two aaa\n"
	tests := map[string]struct {
		old, replacement, want string
		err                    error
		says                   string
	}{
		"once":        {"one", "1", "1 two two aaa\n", nil, ""},
		"to nothing":  {"one ", "", "two two aaa\n", nil, ""},
		"never":       {"three", "3", before, compute.ErrConflict, "0 times"},
		"twice":       {"two", "2", before, compute.ErrConflict, "2 times"},
		"overlapping": {"aa", "b", before, compute.ErrConflict, "2 times"},
		"empty":       {"", "b", before, compute.ErrInvalid, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, fsys.WriteFile(t.Context(), "f", []byte(before), 0o600))
			require.NoError(t, os.Chmod(fsys.at("f"), 0o751))
			err := compute.Replace(t.Context(), fsys, "f", tt.old, tt.replacement)
			require.ErrorIs(t, err, tt.err)
			if tt.err != nil {
				require.ErrorContains(t, err, tt.says)
				require.ErrorAs(t, err, new(*fs.PathError))
			}
			data, err := fsys.ReadFile(t.Context(), "f")
			require.NoError(t, err)
			require.Equal(t, tt.want, string(data))
			info, err := fsys.Stat(t.Context(), "f")
			require.NoError(t, err)
			require.Equal(t, fs.FileMode(0o751), info.Mode())
		})
	}
	require.ErrorIs(t, compute.Replace(t.Context(), fsys, "missing", "a", "b"), fs.ErrNotExist)
}

func TestCopyFS(t *testing.T) {
	fsys := hostFS(t.TempDir())
	src := fstest.MapFS{"a/b.txt": {Data: []byte("b"), Mode: 0o640}, "c": {Data: []byte("c"), Mode: 0o755}, "empty": {Mode: fs.ModeDir | 0o755}}
	require.NoError(t, fsys.WriteFile(t.Context(), "dst/c", []byte("longer than before"), 0o600))
	require.NoError(t, compute.CopyFS(t.Context(), fsys, "dst", src))
	require.NoError(t, fstest.TestFS(os.DirFS(fsys.at("dst")), "a/b.txt", "c", "empty"))
	data, err := fsys.ReadFile(t.Context(), "dst/c")
	require.NoError(t, err)
	require.Equal(t, "c", string(data))

	src["link"] = &fstest.MapFile{Data: []byte("c"), Mode: fs.ModeSymlink}
	require.ErrorIs(t, compute.CopyFS(t.Context(), fsys, "dst", src), fs.ErrInvalid)
}

// badFS has a file that breaks off.
type badFS struct{ fs.FS }

func (b badFS) Open(name string) (fs.File, error) {
	f, err := b.FS.Open(name)
	if name != "f" {
		return f, err
	}
	return badFile{f}, err
}

type badFile struct{ fs.File }

var errDisk = errors.New("disk on fire")

func (badFile) Read(p []byte) (int, error) { return iotest.ErrReader(errDisk).Read(p) }

func TestCopyFSLeavesTheOldFile(t *testing.T) {
	fsys := hostFS(t.TempDir())
	require.NoError(t, fsys.WriteFile(t.Context(), "f", []byte("old"), 0o600))
	err := compute.CopyFS(t.Context(), fsys, ".", badFS{fstest.MapFS{"f": {Data: []byte("new")}}})
	require.ErrorIs(t, err, errDisk)
	require.NotErrorIs(t, err, context.Canceled)
	data, err := fsys.ReadFile(t.Context(), "f")
	require.NoError(t, err)
	require.Equal(t, "old", string(data))
}
