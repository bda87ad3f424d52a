package computetest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var fileStreams = group{"FileStreams", []check{
	{"RoundTrip", streamRoundTrip},
	{"AllAtOnce", streamAtomic},
	{"GivenUp", streamGivenUp},
	{"ReadEndsWithContext", streamReadEnds},
	{"Mode", streamMode},
	{"Rename", rename},
}}

func streamRoundTrip(t *tester) {
	fsys, data := t.sandbox(nil).Filesystem(), everyByte(700_001)
	w, err := compute.CreateFile(t.ctx(), fsys, "dir/f", 0o644)
	require.NoError(t, err, "CreateFile")
	for piece := []byte(data); len(piece) > 0; {
		n, err := w.Write(piece[:min(len(piece), 7777)])
		require.NoError(t, err, "Write")
		piece = piece[n:]
	}
	require.NoError(t, w.Close(), "Close")
	r, err := compute.OpenFile(t.ctx(), fsys, "dir/f")
	require.NoError(t, err, "OpenFile")
	got, err := io.ReadAll(iotest.HalfReader(r))
	require.NoError(t, errors.Join(err, r.Close()), "Read")
	t.requireSame(data, string(got), "streamed file")
}

func streamAtomic(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "f", "old")
	w, err := compute.CreateFile(t.ctx(), sb.Filesystem(), "f", 0o644)
	require.NoError(t, err, "CreateFile")
	_, err = io.WriteString(w, "new")
	require.NoError(t, err, "Write")
	assert.Equal(t, "old", t.read(sb, "f"), "the new file is there all at once, when Close has returned")
	require.NoError(t, w.Close(), "Close")
	assert.Equal(t, "new", t.read(sb, "f"))
}

func streamGivenUp(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "dir/f", "old")
	ctx, cancel := context.WithCancel(t.ctx())
	defer cancel()
	w, err := compute.CreateFile(ctx, sb.Filesystem(), "dir/f", 0o644)
	require.NoError(t, err, "CreateFile")
	_, err = io.WriteString(w, "half")
	require.NoError(t, err, "Write")
	cancel()
	assert.ErrorIs(t, w.Close(), context.Canceled, "Close of a file that was given up")
	assert.Equal(t, "old", t.read(sb, "dir/f"))
	assert.Equal(t, []string{"f"}, t.names(sb, "dir"), "what was given up left something behind")
}

// streamReadEnds holds for streams; a file that comes from memory is there.
func streamReadEnds(t *tester) {
	sb := t.sandbox(nil)
	if _, ok := compute.As[compute.FileOpener](sb.Filesystem()); !ok {
		t.Skip("no FileOpener")
	}
	t.write(sb, "f", everyByte(4<<20))
	ctx, cancel := context.WithCancel(t.ctx())
	defer cancel()
	r, err := compute.OpenFile(ctx, sb.Filesystem(), "f")
	require.NoError(t, err, "OpenFile")
	_, err = io.ReadFull(r, make([]byte, 10))
	require.NoError(t, err, "Read")
	cancel()
	_, err = io.ReadAll(r)
	assert.ErrorIs(t, err, context.Canceled, "Read after the end of the context")
	assert.NoError(t, r.Close(), "Close")
}

func streamMode(t *tester) {
	sb := t.sandbox(nil)
	w, err := compute.CreateFile(t.ctx(), sb.Filesystem(), "f", 0o600)
	require.NoError(t, err, "CreateFile")
	require.NoError(t, w.Close(), "Close")
	assert.Equal(t, fs.FileMode(0o600), t.stat(sb, "f").Mode())
	assert.Empty(t, t.read(sb, "f"))
	w, err = compute.CreateFile(t.ctx(), sb.Filesystem(), "f/below", 0o600)
	if err == nil {
		err = w.Close()
	}
	assert.Error(t, err, "a file below a file")
}

func rename(t *tester) {
	sb := t.sandbox(nil)
	fsys := sb.Filesystem()
	t.write(sb, "it's old", "data")
	t.write(sb, "-new", "replaced")
	t.able("Renamer", compute.Rename(t.ctx(), fsys, "it's old", "-new"))
	assert.Equal(t, "data", t.read(sb, "-new"))
	assert.False(t, t.exists(sb, "it's old"))
	t.write(sb, "dir/f", "deep")
	require.NoError(t, compute.Rename(t.ctx(), fsys, "dir", "moved"), "Rename")
	assert.Equal(t, "deep", t.read(sb, "moved/f"))
	t.requirePath("Rename", compute.Rename(t.ctx(), fsys, "none", "x"), fs.ErrNotExist)
}

var archives = group{"Archives", []check{
	{"RoundTrip", archiveRoundTrip},
	{"Hostile", archiveHostile},
	{"Replaces", archiveReplaces},
	{"Links", archiveLinks},
	{"OfNothing", archiveOfNothing},
	{"Broken", archiveBroken},
}}

func archiveRoundTrip(t *tester) {
	a, b := t.sandbox(nil), t.sandbox(nil)
	want := map[string]string{"it's": everyByte(100_000), "sub/-rf": "x", "sub/deep/日本語": "", "new\nline": "y"}
	for name, data := range want {
		t.write(a, "tree/"+name, data)
	}
	t.mkdir(a, "tree/empty")
	require.NoError(t, a.Filesystem().WriteFile(t.ctx(), "tree/run", nil, 0o755), "WriteFile")
	var archive bytes.Buffer
	require.NoError(t, compute.ReadArchive(t.ctx(), a.Filesystem(), "tree", &archive), "ReadArchive")
	require.NoError(t, compute.WriteArchive(t.ctx(), b.Filesystem(), "copy/of", &archive), "WriteArchive")
	for name, data := range want {
		t.requireSame(data, t.read(b, "copy/of/"+name), name)
	}
	assert.True(t, t.stat(b, "copy/of/empty").IsDir())
	assert.Equal(t, fs.FileMode(0o755), t.stat(b, "copy/of/run").Mode())
	assert.Equal(t, []string{"empty", "it's", "new\nline", "run", "sub"}, t.names(b, "copy/of"))
}

// tarball makes an archive of headers, with data for those that have a size.
func tarball(t *tester, headers ...*tar.Header) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, hdr := range headers {
		hdr.Mode = 0o644
		require.NoError(t, w.WriteHeader(hdr), "tar")
		_, err := w.Write(bytes.Repeat([]byte("x"), int(hdr.Size)))
		require.NoError(t, err, "tar")
	}
	require.NoError(t, w.Close(), "tar")
	return &b
}

func archiveHostile(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "out", "old")
	for _, hdr := range []*tar.Header{
		{Name: "../out", Size: 1}, {Name: "a/../../out", Size: 1}, {Name: "/tmp/computetest-out", Size: 1},
		{Name: "dev", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, {Name: "fifo", Typeflag: tar.TypeFifo},
	} {
		err := compute.WriteArchive(t.ctx(), sb.Filesystem(), "dir", tarball(t, &tar.Header{Name: "first", Size: 3}, hdr))
		assert.ErrorIs(t, err, fs.ErrInvalid, "entry %q of type %q", hdr.Name, hdr.Typeflag)
	}
	for _, target := range []string{"../out", "/tmp/computetest-out", "a/../../out"} {
		err := compute.WriteArchive(t.ctx(), sb.Filesystem(), "dir",
			tarball(t, &tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: target}, &tar.Header{Name: "link", Size: 1}))
		assert.True(t, isAny(err, fs.ErrInvalid, errors.ErrUnsupported), "a link to %q: %v", target, err)
	}
	assert.Equal(t, "old", t.read(sb, "out"), "an archive wrote outside its directory")
	assert.False(t, t.exists(sb, "/tmp/computetest-out"), "an archive wrote outside its directory")
	assert.Equal(t, "xxx", t.read(sb, "dir/first"), "what came before has been unpacked")
}

func archiveReplaces(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "dir/f", "a longer old file")
	t.write(sb, "dir/other", "kept")
	require.NoError(t, compute.WriteArchive(t.ctx(), sb.Filesystem(), "dir", tarball(t, &tar.Header{Name: "f", Size: 2})), "WriteArchive")
	assert.Equal(t, "xx", t.read(sb, "dir/f"))
	assert.Equal(t, "kept", t.read(sb, "dir/other"))
}

// archiveLinks: a link is packed as a link or is unsupported, never its target
// or nothing.
func archiveLinks(t *tester) {
	sb := t.linked()
	t.out(sb, compute.Exec("ln", "-s", "f", "dir/link"))
	var archive bytes.Buffer
	err := compute.ReadArchive(t.ctx(), sb.Filesystem(), "dir", &archive)
	if t.lacks(err) {
		return
	}
	require.NoError(t, err, "ReadArchive")
	require.NoError(t, compute.WriteArchive(t.ctx(), sb.Filesystem(), "copy", &archive), "WriteArchive")
	infos, err := sb.Filesystem().ReadDir(t.ctx(), "copy")
	require.NoError(t, err, "ReadDir")
	require.Len(t, infos, 2)
	assert.Equal(t, fs.ModeSymlink, infos[1].Mode().Type())
	assert.Equal(t, "the file", t.read(sb, "copy/link"))
}

func archiveOfNothing(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "f", "")
	err := compute.ReadArchive(t.ctx(), sb.Filesystem(), "none", io.Discard)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.Error(t, compute.ReadArchive(t.ctx(), sb.Filesystem(), "f", io.Discard), "an archive of a file")
	t.mkdir(sb, "empty")
	var archive bytes.Buffer
	require.NoError(t, compute.ReadArchive(t.ctx(), sb.Filesystem(), "empty", &archive), "ReadArchive")
	require.NoError(t, compute.WriteArchive(t.ctx(), sb.Filesystem(), "made", &archive), "WriteArchive")
	assert.Empty(t, t.names(sb, "made"))
}

func archiveBroken(t *tester) {
	fsys, boom := t.sandbox(nil).Filesystem(), errors.New("boom")
	assert.Error(t, compute.WriteArchive(t.ctx(), fsys, "d", bytes.NewReader(bytes.Repeat([]byte("no tar"), 500))))
	assert.ErrorIs(t, compute.WriteArchive(t.ctx(), fsys, "d", iotest.ErrReader(boom)), boom, "the failure of the reader")
	require.NoError(t, fsys.WriteFile(t.ctx(), "d/f", []byte(everyByte(100_000)), 0o644), "WriteFile")
	err := compute.ReadArchive(t.ctx(), fsys, "d", writerFunc(func([]byte) (int, error) { return 0, boom }))
	assert.ErrorIs(t, err, boom, "the failure of the writer")
}
