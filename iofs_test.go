package compute_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

func TestFS(t *testing.T) {
	fsys := newStreamFS(t)
	for name, data := range map[string]string{"root/a": "a", "root/dir/b": "bb", "root/dir/c d": "", "outside": "x"} {
		require.NoError(t, fsys.WriteFile(t.Context(), name, []byte(data), 0o644))
	}
	require.NoError(t, fstest.TestFS(compute.FS(t.Context(), fsys, "root"), "a", "dir/b", "dir/c d"))
	require.NoError(t, fstest.TestFS(compute.FS(t.Context(), fsys.hostFS, "root"), "a", "dir/b", "dir/c d"))
	require.Zero(t, *fsys.open, "every stream is closed")

	_, err := fs.ReadFile(compute.FS(t.Context(), fsys, "root"), "../outside")
	require.ErrorIs(t, err, fs.ErrInvalid)
	_, err = compute.FS(t.Context(), fsys, "root").Open("none")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.EqualError(t, err, "open none: no such file or directory", "the name is the one asked for")

	dst := t.TempDir() + "/copy"
	require.NoError(t, os.CopyFS(dst, compute.FS(t.Context(), fsys, "root")))
	data, err := os.ReadFile(dst + "/dir/b")
	require.NoError(t, err)
	require.Equal(t, "bb", string(data))
}

func TestFSSeek(t *testing.T) {
	fsys := newStreamFS(t)
	require.NoError(t, fsys.WriteFile(t.Context(), "f", []byte("0123456789"), 0o644))
	f, err := compute.FS(t.Context(), fsys, ".").Open("f")
	require.NoError(t, err)
	s, ok := f.(io.ReadSeekCloser)
	require.True(t, ok)
	steps := []struct {
		offset int64
		whence int
		at     int64
		rest   string
	}{
		{0, io.SeekStart, 0, "0123456789"}, {7, io.SeekStart, 7, "789"}, {-2, io.SeekEnd, 8, "89"},
		{-6, io.SeekCurrent, 4, "456789"}, {0, io.SeekEnd, 10, ""}, {20, io.SeekStart, 20, ""}, {0, io.SeekStart, 0, "0123456789"},
	}
	for _, st := range steps {
		at, err := s.Seek(st.offset, st.whence)
		require.NoError(t, err)
		require.Equal(t, st.at, at)
		rest, err := io.ReadAll(s)
		require.NoError(t, err)
		require.Equal(t, st.rest, string(rest))
	}
	for _, bad := range [][2]int64{{-1, io.SeekStart}, {-11, io.SeekEnd}, {0, 7}} {
		_, err := s.Seek(bad[0], int(bad[1]))
		require.ErrorIs(t, err, fs.ErrInvalid)
	}
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Close(), fs.ErrClosed)
	_, err = s.Read(make([]byte, 1))
	require.ErrorIs(t, err, fs.ErrClosed)
	require.Zero(t, *fsys.open)
}

func TestFSReadsWithOneStream(t *testing.T) {
	fsys := newStreamFS(t)
	big := bytes.Repeat([]byte("x"), 1<<20)
	require.NoError(t, fsys.WriteFile(t.Context(), "f", big, 0o644))
	f, err := compute.FS(t.Context(), fsys, ".").Open("f")
	require.NoError(t, err)
	data, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, big, data)
	require.NoError(t, f.Close())
	require.Equal(t, 1, *fsys.opened)
}

func TestFSServesRanges(t *testing.T) {
	fsys := newStreamFS(t)
	require.NoError(t, fsys.WriteFile(t.Context(), "www/f.txt", []byte("0123456789"), 0o644))
	h := http.FileServerFS(compute.FS(t.Context(), fsys, "www"))
	for rng, want := range map[string]string{"": "0123456789", "bytes=2-4": "234", "bytes=-3": "789", "bytes=5-": "56789"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/f.txt", nil)
		if rng != "" {
			r.Header.Set("Range", rng)
		}
		h.ServeHTTP(w, r)
		require.Equal(t, want, w.Body.String())
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/none", nil))
	require.Equal(t, http.StatusNotFound, w.Code)
	require.Zero(t, *fsys.open)
}

func TestFSUsesItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	seen := contextFS{hostFS(t.TempDir()), new(error)}
	_, _ = compute.FS(ctx, seen, ".").Open("x")
	require.ErrorIs(t, *seen.err, context.Canceled)
}

// contextFS notes the state of the context it was given.
type contextFS struct {
	hostFS
	err *error
}

func (c contextFS) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	*c.err = ctx.Err()
	return c.hostFS.Stat(ctx, name)
}
