package computetest

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var ioFS = group{"IOFS", []check{
	{"TestFS", testFS},
	{"TestFSOfWorkingDirectory", testFSHere},
	{"CopyUp", copyUp},
	{"CopyDown", copyDown},
	{"WalkDir", walkDir},
	{"FileServer", fileServer},
	{"FileServerRanges", fileServerRanges},
	{"Context", ioFSContext},
}}

// tree is what the checks copy.
func tree() fstest.MapFS {
	return fstest.MapFS{
		"a.txt":         {Data: []byte("a"), Mode: 0o644},
		"it's/b.txt":    {Data: []byte(everyByte(70_000)), Mode: 0o600},
		"it's/run":      {Data: []byte("#!/bin/sh\n"), Mode: 0o755},
		"sub/deep/日本語":  {Data: nil, Mode: 0o644},
		"sub/deep/-rf":  {Data: []byte("x"), Mode: 0o644},
		"sub/empty dir": {Mode: fs.ModeDir | 0o755},
	}
}

func (t *tester) copyTree() compute.Sandbox {
	t.Helper()
	sb := t.sandbox(nil)
	require.NoError(t, compute.CopyFS(t.ctx(), sb.Filesystem(), "tree", tree()), "CopyFS")
	return sb
}

func testFS(t *tester) {
	sb := t.copyTree()
	fsys := compute.FS(t.ctx(), sb.Filesystem(), "tree")
	require.NoError(t, fstest.TestFS(fsys, "a.txt", "it's/b.txt", "sub/deep/日本語", "sub/empty dir"))
}

func testFSHere(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "d/f", "x")
	sub, err := fs.Sub(compute.FS(t.ctx(), sb.Filesystem(), "."), "d")
	require.NoError(t, err, "fs.Sub")
	require.NoError(t, fstest.TestFS(sub, "f"))
	data, err := fs.ReadFile(compute.FS(t.ctx(), sb.Filesystem(), "."), "d/f")
	require.NoError(t, err, "fs.ReadFile")
	assert.Equal(t, "x", string(data))
}

func copyUp(t *tester) {
	sb := t.copyTree()
	for name, file := range tree() {
		info := t.stat(sb, "tree/"+name)
		assert.Equal(t, file.Mode, info.Mode(), name)
		if !file.Mode.IsDir() {
			t.requireSame(string(file.Data), t.read(sb, "tree/"+name), name)
		}
	}
	link := fstest.MapFS{"l": {Data: []byte("a"), Mode: fs.ModeSymlink}}
	assert.Error(t, compute.CopyFS(t.ctx(), sb.Filesystem(), "x", link), "a link cannot be copied")
}

func copyDown(t *tester) {
	sb, dir := t.copyTree(), filepath.Join(t.TempDir(), "copy")
	require.NoError(t, os.CopyFS(dir, compute.FS(t.ctx(), sb.Filesystem(), "tree")), "os.CopyFS")
	for name, file := range tree() {
		if !file.Mode.IsDir() {
			data, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			t.requireSame(string(file.Data), string(data), name)
		}
	}
}

func walkDir(t *tester) {
	sb := t.copyTree()
	var walked []string
	require.NoError(t, fs.WalkDir(compute.FS(t.ctx(), sb.Filesystem(), "tree"), ".", func(name string, _ fs.DirEntry, err error) error {
		walked = append(walked, name)
		return err
	}))
	assert.Equal(t, []string{".", "a.txt", "it's", "it's/b.txt", "it's/run", "sub", "sub/deep", "sub/deep/-rf", "sub/deep/日本語", "sub/empty dir"}, walked)
}

// serve asks the file server for a part of a file.
func (t *tester) serve(sb compute.Sandbox, path, byteRange string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.ctx(), http.MethodGet, path, nil)
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}
	rec := httptest.NewRecorder()
	http.FileServerFS(compute.FS(t.ctx(), sb.Filesystem(), "tree")).ServeHTTP(rec, req)
	return rec
}

func fileServer(t *tester) {
	sb := t.copyTree()
	rec := t.serve(sb, "/it's/b.txt", "")
	assert.Equal(t, http.StatusOK, rec.Code)
	t.requireSame(everyByte(70_000), rec.Body.String(), "served file")
	assert.Contains(t, t.serve(sb, "/sub/", "").Body.String(), "deep")
	assert.Equal(t, http.StatusNotFound, t.serve(sb, "/none", "").Code)
}

func fileServerRanges(t *tester) {
	sb, data := t.copyTree(), everyByte(70_000)
	for byteRange, want := range map[string]string{
		"bytes=100-199": data[100:200], "bytes=-5": data[len(data)-5:], "bytes=69990-": data[69990:], "bytes=0-0": data[:1],
	} {
		rec := t.serve(sb, "/it's/b.txt", byteRange)
		assert.Equal(t, http.StatusPartialContent, rec.Code, byteRange)
		t.requireSame(want, rec.Body.String(), byteRange)
	}
	assert.Equal(t, http.StatusRequestedRangeNotSatisfiable, t.serve(sb, "/it's/b.txt", "bytes=80000-").Code)
}

func ioFSContext(t *tester) {
	sb := t.copyTree()
	dead := compute.FS(t.dead(), sb.Filesystem(), "tree")
	_, err := fs.ReadFile(dead, "a.txt")
	assert.Error(t, err, "reading under a context that is over")
	f, err := compute.FS(t.ctx(), sb.Filesystem(), "tree").Open("a.txt")
	require.NoError(t, err, "Open")
	var b bytes.Buffer
	_, err = io.Copy(&b, f)
	require.NoError(t, err, "Read")
	require.NoError(t, f.Close(), "Close")
	assert.Equal(t, "a", b.String())
}
