package compute_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

func TestArchiveRoundTrip(t *testing.T) {
	from, to := hostFS(t.TempDir()), hostFS(t.TempDir())
	ctx := t.Context()
	files := map[string]string{"a/b/c.txt": "c", "a/x\ny": "\xff\x00", "d": ""}
	for name, data := range files {
		require.NoError(t, from.WriteFile(ctx, name, []byte(data), 0o640))
	}
	require.NoError(t, from.MkdirAll(ctx, "empty", 0o755))
	var buf bytes.Buffer
	require.NoError(t, compute.ReadArchive(ctx, from, ".", &buf))
	require.NoError(t, compute.WriteArchive(ctx, to, "new/dir", bytes.NewReader(buf.Bytes())))
	for name, data := range files {
		got, err := to.ReadFile(ctx, "new/dir/"+name)
		require.NoError(t, err)
		require.Equal(t, data, string(got))
		info, err := to.Stat(ctx, "new/dir/"+name)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o640), info.Mode())
	}
	info, err := to.Stat(ctx, "new/dir/empty")
	require.NoError(t, err)
	require.True(t, info.IsDir())
}

func TestReadArchiveErrors(t *testing.T) {
	fsys := hostFS(t.TempDir())
	require.NoError(t, fsys.WriteFile(t.Context(), "f", nil, 0o600))
	require.ErrorIs(t, compute.ReadArchive(t.Context(), fsys, "none", io.Discard), fs.ErrNotExist)
	require.ErrorIs(t, compute.ReadArchive(t.Context(), fsys, "f", io.Discard), fs.ErrInvalid)
	require.NoError(t, os.Symlink("f", fsys.at("link")))
	require.ErrorIs(t, compute.ReadArchive(t.Context(), fsys, ".", io.Discard), errors.ErrUnsupported)
}

// archive makes an archive of a good file and then h.
func archive(t *testing.T, h *tar.Header) io.Reader {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "good", Mode: 0o600, Size: 4}))
	_, err := w.Write([]byte("good"))
	require.NoError(t, err)
	h.Mode = 0o644
	require.NoError(t, w.WriteHeader(h))
	require.NoError(t, w.Close())
	return &buf
}

func TestWriteArchiveHostile(t *testing.T) {
	tests := map[string]struct {
		h    tar.Header
		want error
	}{
		"absolute":         {tar.Header{Name: "/evil"}, fs.ErrInvalid},
		"above":            {tar.Header{Name: "../evil"}, fs.ErrInvalid},
		"above in between": {tar.Header{Name: "a/../../evil"}, fs.ErrInvalid},
		"dots that cancel": {tar.Header{Name: "a/../evil"}, fs.ErrInvalid},
		"dir above":        {tar.Header{Name: "../evil/", Typeflag: tar.TypeDir}, fs.ErrInvalid},
		"device":           {tar.Header{Name: "evil", Typeflag: tar.TypeChar}, fs.ErrInvalid},
		"pipe":             {tar.Header{Name: "evil", Typeflag: tar.TypeFifo}, fs.ErrInvalid},
		"symlink":          {tar.Header{Name: "evil", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, errors.ErrUnsupported},
		"hard link":        {tar.Header{Name: "evil", Typeflag: tar.TypeLink, Linkname: "good"}, errors.ErrUnsupported},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := hostFS(t.TempDir())
			err := compute.WriteArchive(t.Context(), root, "in/dir", archive(t, &tt.h))
			require.ErrorIs(t, err, tt.want)
			require.ErrorAs(t, err, new(*fs.PathError))
			good, err := root.ReadFile(t.Context(), "in/dir/good")
			require.NoError(t, err, "what came before is there")
			require.Equal(t, "good", string(good))
			for _, name := range []string{"evil", "in/evil", "in/dir/evil"} {
				_, err := os.Lstat(root.at(name))
				require.ErrorIs(t, err, fs.ErrNotExist)
			}
		})
	}
	err := compute.WriteArchive(t.Context(), hostFS(t.TempDir()), ".", bytes.NewReader(bytes.Repeat([]byte("x"), 1024)))
	require.Error(t, err, "no archive")
	odd := &tar.Header{Name: "./a..b/..c", Typeflag: tar.TypeDir}
	require.NoError(t, compute.WriteArchive(t.Context(), hostFS(t.TempDir()), ".", archive(t, odd)), "dots in names are fine")
}

// halfArchiver can move archives, until it comes upon something it cannot.
type halfArchiver struct {
	hostFS
	read int64 // of the archive, before it gives up
}

func (h halfArchiver) WriteArchive(_ context.Context, _ string, r io.Reader) error {
	_, _ = io.CopyN(io.Discard, r, h.read)
	return &compute.Error{Op: "unpack", Kind: errors.ErrUnsupported}
}

func (h halfArchiver) ReadArchive(_ context.Context, _ string, w io.Writer) error {
	_, _ = w.Write(make([]byte, h.read))
	return &compute.Error{Op: "pack", Kind: errors.ErrUnsupported}
}

func TestArchiverThatGivesUp(t *testing.T) {
	for _, read := range []int64{512, 1 << 20} {
		fsys := halfArchiver{hostFS(t.TempDir()), read}
		err := compute.WriteArchive(t.Context(), fsys, ".", archive(t, &tar.Header{Name: "x", Typeflag: tar.TypeDir}))
		require.ErrorIs(t, err, errors.ErrUnsupported, "half an archive must not pass for a whole one")
		var buf bytes.Buffer
		require.ErrorIs(t, compute.ReadArchive(t.Context(), fsys, ".", &buf), errors.ErrUnsupported)
		require.EqualValues(t, read, buf.Len())
	}
	fsys := halfArchiver{hostFS(t.TempDir()), 0}
	require.NoError(t, compute.WriteArchive(t.Context(), fsys, ".", archive(t, &tar.Header{Name: "x", Typeflag: tar.TypeDir})))
	require.FileExists(t, fsys.at("good"), "file by file, where nothing was begun")
}
