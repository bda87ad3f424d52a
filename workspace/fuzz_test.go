package workspace

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzArchive unpacks, on this machine, what the checker lets through, in the
// way that a sandbox does: links last. Nothing may come to lie, or lead, outside.
func FuzzArchive(f *testing.F) {
	for _, pairs := range [][]string{
		{"a", "x", "d/", "", "d/b", "y", "l", "->d/b", "h", "=>a"},
		{"../x", "x"}, {"a/b/up", "->../..", "a/b/l", "->up/../../x"}, {"d", "->e", "e", "->d", "d/x", "x"},
		{"./a", "x", "./", "", "a/../b", "y"}, {"/etc/x", "x"}, {"l", "->.."}, {"a//b", "x"}, {"d/e/f", "->../../d/./e"},
		{"x/l", "->../y/../../z"}, {"..", "x"}, {"...", "x"}, {".", "->x"},
	} {
		f.Add(archiveOf(f, pairs...))
	}
	f.Add(bytes.Repeat([]byte{0x1f, 0x8b, 8, 0}, 10))
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := untar(bytes.NewReader(data))
		if err != nil {
			return
		}
		top := t.TempDir()
		inside := filepath.Join(top, "in", "side")
		require.NoError(t, os.MkdirAll(inside, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(top, "outside"), []byte("as it was"), 0o600))
		c := newChecker(Limits{Entries: 200, Bytes: 1 << 20})
		links, n := map[string]string{}, 0
		for {
			h, err := c.next(tr, nil)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return
			}
			if n++; n > 200 {
				t.Fatal("more than the limit")
			}
			if h.Typeflag == tar.TypeSymlink {
				require.NotContains(t, links, h.Name)
				links[h.Name] = h.Linkname
				continue
			}
			unpackHere(t, inside, h, tr)
		}
		root, err := os.OpenRoot(inside)
		require.NoError(t, err)
		defer root.Close()
		for name, target := range links {
			full := filepath.Join(inside, name)
			if os.MkdirAll(filepath.Dir(full), 0o755) == nil {
				_ = os.Symlink(target, full) // some targets no system takes
			}
		}
		for name := range links { // os.Root says of each whether it leads out
			if _, err := root.Stat(name); err != nil && strings.Contains(err.Error(), "escapes") {
				t.Fatalf("%q -> %q leads out", name, links[name])
			}
		}
		entries, err := os.ReadDir(top)
		require.NoError(t, err)
		require.Len(t, entries, 2, "something lies outside")
		kept, err := os.ReadFile(filepath.Join(top, "outside"))
		require.NoError(t, err)
		require.Equal(t, "as it was", string(kept))
	})
}

func unpackHere(t *testing.T, dir string, h *tar.Header, r io.Reader) {
	full := filepath.Join(dir, h.Name)
	require.True(t, h.Name == "." || fs.ValidPath(strings.ToValidUTF8(h.Name, "x")), h.Name)
	require.True(t, strings.HasPrefix(full+"/", dir+"/"))
	require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755), h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		require.NoError(t, os.MkdirAll(full, 0o755), h.Name)
	case tar.TypeLink:
		require.NoError(t, os.Link(filepath.Join(dir, h.Linkname), full), h.Name)
	case tar.TypeReg:
		w, err := os.OpenFile(full, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		require.NoError(t, err, h.Name)
		_, _ = io.Copy(w, r) // what is cut short is
		require.NoError(t, w.Close())
	default:
		t.Fatalf("type %q", h.Typeflag)
	}
}

func archiveOf(t testing.TB, pairs ...string) []byte {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for i := 0; i < len(pairs); i += 2 {
		h := &tar.Header{Name: pairs[i], Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(pairs[i+1]))}
		if target, ok := strings.CutPrefix(pairs[i+1], "->"); ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, target, 0
		} else if target, ok := strings.CutPrefix(pairs[i+1], "=>"); ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, target, 0
		} else if strings.HasSuffix(h.Name, "/") {
			h.Typeflag = tar.TypeDir
		}
		require.NoError(t, tw.WriteHeader(h))
		if h.Typeflag == tar.TypeReg {
			_, err := tw.Write([]byte(pairs[i+1]))
			require.NoError(t, err)
		}
	}
	require.NoError(t, tw.Close())
	return buf.Bytes()
}

// A link that is let through leads nowhere outside, whatever other links of the
// same archive it goes through.
func TestLeadsOut(t *testing.T) {
	for _, c := range []struct {
		dir, target string
		out         bool
	}{
		{".", "a", false}, {".", "a/b/c", false}, {".", ".", false}, {"a", "..", false}, {"a/b", "../../x", false}, {"a/b", ".././x", false},
		{".", "..", true}, {"a", "../..", true}, {".", "/a", true}, {"a", "b/../..", true}, {"a/b", "c/../d", true}, {"a", "../b/..", true},
		{".", "", false}, {"a", ".//..//x", false},
	} {
		require.Equal(t, c.out, leadsOut(path.Clean(c.dir), c.target), "%s in %s", c.target, c.dir)
	}
}
