package runloopapi

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// unpack returns the headers of a gzip tar, and the contents of its files by name.
func unpack(t *testing.T, r io.Reader) ([]*tar.Header, map[string]string) {
	t.Helper()
	z, err := gzip.NewReader(r)
	require.NoError(t, err)
	var headers []*tar.Header
	contents := map[string]string{}
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return headers, contents
		}
		require.NoError(t, err)
		data, err := io.ReadAll(tr)
		require.NoError(t, err)
		headers = append(headers, h)
		contents[h.Name] = string(data)
	}
}

func names(headers []*tar.Header) []string {
	var out []string
	for _, h := range headers {
		out = append(out, h.Name)
	}
	return out
}

func TestPackLeavesOutWhatIsIgnored(t *testing.T) {
	tests := []struct {
		name     string
		file     string // .dockerignore; "-" for none
		patterns []string
		want     []string
	}{
		{"nothing", "-", nil, []string{"./", "./a.txt", "./dir/", "./dir/b.txt", "./dir/deep/", "./dir/deep/c.md", "./z/", "./z/e.txt"}},
		{"empty file", "", nil, []string{"./", "./a.txt", "./dir/", "./dir/b.txt", "./dir/deep/", "./dir/deep/c.md", "./z/", "./z/e.txt"}},
		{"directory", "dir\n", nil, []string{"./", "./a.txt", "./z/", "./z/e.txt"}},
		{"slashes, blanks and comments", "\n # no comment\n#c\n  /dir/ \n", nil, []string{"./", "./a.txt", "./z/", "./z/e.txt"}},
		{"star is one level", "*.txt\n", nil, []string{"./", "./dir/", "./dir/b.txt", "./dir/deep/", "./dir/deep/c.md", "./z/", "./z/e.txt"}},
		{"two stars are all levels", "**/*.txt\n", nil, []string{"./", "./dir/", "./dir/deep/", "./dir/deep/c.md", "./z/"}},
		{"brought back", "dir\n!dir/deep/c.md\n", nil, []string{"./", "./a.txt", "./dir/", "./dir/deep/", "./dir/deep/c.md", "./z/", "./z/e.txt"}},
		{"the last one counts", "!a.txt\n*\n!z\n", nil, []string{"./", "./z/", "./z/e.txt"}},
		{"character class", "[az]*\n", nil, []string{"./", "./dir/", "./dir/b.txt", "./dir/deep/", "./dir/deep/c.md"}},
		{"patterns win over the file", "dir\n", []string{"a.txt", "z"}, []string{"./", "./dir/", "./dir/b.txt", "./dir/deep/", "./dir/deep/c.md"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fsys := fstest.MapFS{
				"a.txt": {Data: []byte("A")}, "dir/b.txt": {Data: []byte("B")},
				"dir/deep/c.md": {Data: []byte("C")}, "z/e.txt": {Data: []byte("E")},
			}
			if test.file != "-" {
				fsys[".dockerignore"] = &fstest.MapFile{Data: []byte(test.file)}
			}
			var out bytes.Buffer
			require.NoError(t, pack(t.Context(), &out, fsys, test.patterns))
			headers, contents := unpack(t, &out)
			assert.Equal(t, test.want, names(headers))
			if slices.Contains(test.want, "./a.txt") {
				assert.Equal(t, "A", contents["./a.txt"])
			}
		})
	}
}

func TestPackRefusesBadRules(t *testing.T) {
	tests := []struct {
		name     string
		file     string
		patterns []string
		want     string
	}{
		{"in the file", "[a\n", nil, ".dockerignore: "},
		{"in the patterns", "", []string{"[a"}, "ignore patterns: "},
		{"too large", strings.Repeat("a\n", maxIgnoreFile/2+1), nil, "larger than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fsys := fstest.MapFS{".dockerignore": {Data: []byte(test.file)}, "a": {}}
			assert.ErrorContains(t, pack(t.Context(), io.Discard, fsys, test.patterns), test.want)
		})
	}
}

func TestPackKeepsModesAndLinks(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(outside, []byte("hush"), 0o600))
	dir := t.TempDir()
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "run.sh"), []byte("#!"), 0o700))
	require.NoError(t, os.Chtimes(filepath.Join(dir, "run.sh"), at, at))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "broken")))
	require.NoError(t, os.Symlink(filepath.Dir(outside), filepath.Join(dir, "tree")))

	var out bytes.Buffer
	require.NoError(t, pack(t.Context(), &out, os.DirFS(dir), nil))
	headers, contents := unpack(t, &out)
	require.Equal(t, []string{"./", "./broken", "./link", "./run.sh", "./tree"}, names(headers))
	assert.Equal(t, byte(tar.TypeSymlink), headers[2].Typeflag)
	assert.Equal(t, outside, headers[2].Linkname)
	assert.Empty(t, contents["./link"], "a link is not followed")
	assert.Equal(t, int64(0o700), headers[3].Mode)
	assert.True(t, headers[3].ModTime.Equal(at))
	assert.Zero(t, headers[3].Uid)
	assert.Equal(t, byte(tar.TypeSymlink), headers[4].Typeflag)
}

// strangeFS has one directory with entries of any name and kind.
type strangeFS struct {
	entries []strangeFile
	opened  func()
}

func (s *strangeFS) Open(name string) (fs.File, error) {
	if s.opened != nil {
		s.opened()
	}
	for _, f := range s.entries {
		if f.name == name {
			return &strangeReader{f, f.real}, nil
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (s *strangeFS) ReadDir(dir string) ([]fs.DirEntry, error) {
	var out []fs.DirEntry
	for _, f := range s.entries {
		if dir == "." || f.mode.IsDir() {
			out = append(out, fs.FileInfoToDirEntry(f))
		}
	}
	return out, nil
}

type strangeFile struct {
	name string
	mode fs.FileMode
	size int64
	real int64 // what can be read
}

func (f strangeFile) Name() string       { return f.name }
func (f strangeFile) Size() int64        { return f.size }
func (f strangeFile) Mode() fs.FileMode  { return f.mode }
func (f strangeFile) ModTime() time.Time { return time.Time{} }
func (f strangeFile) IsDir() bool        { return f.mode.IsDir() }
func (f strangeFile) Sys() any           { return nil }

type strangeReader struct {
	strangeFile
	left int64
}

func (r *strangeReader) Stat() (fs.FileInfo, error) { return r.strangeFile, nil }
func (r *strangeReader) Close() error               { return nil }

func (r *strangeReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), r.left)
	clear(p[:n])
	r.left -= n
	return int(n), nil
}

func TestPackRefusesHostileNames(t *testing.T) {
	for _, name := range []string{"..", ".", "", "a/b", "/etc", "../up", "nul\x00", "not \xff UTF-8"} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			var out bytes.Buffer
			err := pack(t.Context(), &out, &strangeFS{entries: []strangeFile{{name: name}}}, nil)
			assert.ErrorContains(t, err, "cannot be archived")
		})
	}
}

func TestPackArchivesOddNames(t *testing.T) {
	odd := []string{"new\nline", "back\\slash", "-rf", "ünï", strings.Repeat("long", 60)}
	fsys := &strangeFS{}
	for _, name := range odd {
		fsys.entries = append(fsys.entries, strangeFile{name: name, size: 1, real: 1})
	}
	var out bytes.Buffer
	require.NoError(t, pack(t.Context(), &out, fsys, nil))
	headers, _ := unpack(t, &out)
	require.Len(t, headers, len(odd)+1)
	for i, name := range odd {
		assert.Equal(t, "./"+name, headers[i+1].Name)
	}
}

func TestPackOfFilesThatChange(t *testing.T) {
	t.Run("shorter", func(t *testing.T) {
		fsys := &strangeFS{entries: []strangeFile{{name: "a", size: 10, real: 4}}}
		assert.ErrorContains(t, pack(t.Context(), io.Discard, fsys, nil), "a ended after 4 of 10 bytes")
	})
	t.Run("longer", func(t *testing.T) {
		fsys := &strangeFS{entries: []strangeFile{{name: "a", size: 4, real: 10}}}
		var out bytes.Buffer
		require.NoError(t, pack(t.Context(), &out, fsys, nil))
		_, contents := unpack(t, &out)
		assert.Len(t, contents["./a"], 4)
	})
	t.Run("pipes and devices stay out", func(t *testing.T) {
		fsys := &strangeFS{entries: []strangeFile{{name: "p", mode: fs.ModeNamedPipe}, {name: "s", mode: fs.ModeSocket}}}
		var out bytes.Buffer
		require.NoError(t, pack(t.Context(), &out, fsys, nil))
		headers, _ := unpack(t, &out)
		assert.Len(t, headers, 1)
	})
	t.Run("without an end", func(t *testing.T) {
		fsys := &strangeFS{entries: []strangeFile{{name: "d", mode: fs.ModeDir}}}
		assert.ErrorContains(t, pack(t.Context(), io.Discard, fsys, nil), "directories deep")
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		fsys := &strangeFS{entries: []strangeFile{{name: "a", size: 1 << 40, real: 1 << 40}}, opened: cancel}
		assert.ErrorIs(t, pack(ctx, io.Discard, fsys, nil), context.Canceled)
	})
}

func TestPackOfABigTreeNeedsLittleMemory(t *testing.T) {
	const size = 1 << 20
	fsys := &strangeFS{}
	for i := range 100 {
		fsys.entries = append(fsys.entries, strangeFile{name: fmt.Sprintf("file%03d", i), size: size, real: size})
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most := uint64(0)
	fsys.opened = func() {
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapAlloc)
	}
	require.NoError(t, pack(t.Context(), io.Discard, fsys, nil))
	assert.Less(t, int64(most)-int64(before.HeapAlloc), int64(16*size), "of 100 MiB")
}
