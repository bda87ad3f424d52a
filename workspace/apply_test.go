package workspace_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/workspace"
)

// hostileNames are names of files that a shell, or a program, could misread.
var hostileNames = []string{"plain", ".dot", "..dots", "...", "-rf", "a b", "new\nline", "$(touch x)", "`x`", "'quote\"", "*", "?[a]", "\\", "ümlaut", "{}", ";"}

func TestApply(t *testing.T) {
	each(t, func(t *testing.T, b backend, sb compute.Sandbox) {
		ctx, fsys := t.Context(), sb.Filesystem()
		odd := workspace.Entries{}
		for _, name := range hostileNames {
			odd[name] = file("file " + name)
		}
		m := &workspace.Manifest{Entries: workspace.Entries{
			"a":             file("first"),
			"script":        workspace.File{Attributes: workspace.Attributes{Mode: 0o750}, Content: []byte("#!/bin/sh\n")},
			"d/e/f":         file("deep"),
			"empty":         workspace.Dir{},
			"closed":        workspace.Dir{Attributes: workspace.Attributes{Mode: 0o500}, Entries: workspace.Entries{"in": file("it")}},
			"odd":           workspace.Dir{Entries: odd},
			"nul":           workspace.File{Content: []byte("a\x00b\xff")},
			"dir $(x)\n/-a": file("in a hostile directory"),
		}}
		for i := range 2 { // the second time it is all there
			var seen []workspace.Progress
			r, err := workspace.Apply(ctx, sb, m, &workspace.ApplyOptions{Progress: func(p workspace.Progress) { seen = append(seen, p) }})
			require.NoError(t, err, "time %d", i)
			assert.Equal(t, strings.TrimSuffix(output(t, sb, "pwd -P"), "\n"), r.Root)
			assert.Equal(t, 6+len(hostileNames), r.Files)
			assert.Len(t, seen, r.Files)
			assert.Equal(t, r.Bytes, seen[len(seen)-1].Bytes)
		}
		for name, want := range map[string]string{"a": "first", "d/e/f": "deep", "nul": "a\x00b\xff", "dir $(x)\n/-a": "in a hostile directory"} {
			got, err := fsys.ReadFile(ctx, name)
			require.NoError(t, err, name)
			assert.Equal(t, want, string(got), name)
		}
		for _, name := range hostileNames {
			got, err := fsys.ReadFile(ctx, "odd/"+name)
			if assert.NoError(t, err, name) {
				assert.Equal(t, "file "+name, string(got), name)
			}
		}
		for name, want := range map[string]fs.FileMode{"a": 0o644, "script": 0o750, "closed": 0o500, "empty": 0o755, "d": 0o755} {
			info, err := fsys.Stat(ctx, name)
			require.NoError(t, err, name)
			assert.Equal(t, want, info.Mode().Perm(), name)
		}
		if b.real {
			me := output(t, sb, "id -un")
			assert.Equal(t, me, output(t, sb, "stat -c %U a"), "files belong to who runs commands")
			assert.Equal(t, me, output(t, sb, "stat -c %U d/e"))
		}
		infos, err := fsys.ReadDir(ctx, "odd")
		require.NoError(t, err)
		assert.Len(t, infos, len(hostileNames))
	})
}

// packed makes an archive; names that end in a slash are directories, contents
// that begin with -> links.
func packed(t testing.TB, zip bool, pairs ...string) []byte {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for i := 0; i < len(pairs); i += 2 {
		h := &tar.Header{Name: pairs[i], Mode: 0o644, Typeflag: tar.TypeReg}
		if target, ok := strings.CutPrefix(pairs[i+1], "->"); ok {
			h.Typeflag, h.Linkname = tar.TypeSymlink, target
		} else if target, ok := strings.CutPrefix(pairs[i+1], "=>"); ok {
			h.Typeflag, h.Linkname = tar.TypeLink, target
		} else if strings.HasSuffix(pairs[i], "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		} else {
			h.Size = int64(len(pairs[i+1]))
		}
		require.NoError(t, tw.WriteHeader(h))
		if h.Typeflag == tar.TypeReg {
			_, err := tw.Write([]byte(pairs[i+1]))
			require.NoError(t, err)
		}
	}
	require.NoError(t, tw.Close())
	if !zip {
		return buf.Bytes()
	}
	var z bytes.Buffer
	zw := gzip.NewWriter(&z)
	_, err := zw.Write(buf.Bytes())
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	return z.Bytes()
}

func TestApplyFromElsewhere(t *testing.T) {
	host := t.TempDir()
	for name, content := range map[string]string{"go.mod": "module x\n", "src/main.go": "package main\n", "src/.hidden": "h", "secret/key": "k"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(host, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(host, name), []byte(content), 0o640))
	}
	require.NoError(t, os.Symlink("main.go", filepath.Join(host, "src", "link")))
	require.NoError(t, os.WriteFile(filepath.Join(host, "x.tgz"), packed(t, true, "./", "", "./lib/", "", "./lib/a", "A", "b/c", "C", "to", "->lib/a"), 0o600))
	root, err := os.OpenRoot(host)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, root.Close()) })
	each(t, func(t *testing.T, b backend, sb compute.Sandbox) {
		m := &workspace.Manifest{Entries: workspace.Entries{
			"copy":   workspace.LocalFile{From: "project", Src: "go.mod"},
			"tree":   workspace.LocalDir{From: "project", Src: "src"},
			"packed": workspace.Archive{From: "project", Src: "x.tgz"},
			"inline": workspace.Archive{Content: packed(t, false, "p/q", "Q", "hard", "=>p/q")},
		}}
		r, err := workspace.Apply(t.Context(), sb, m, &workspace.ApplyOptions{Local: map[string]*os.Root{"project": root}})
		require.NoError(t, err)
		assert.Equal(t, 3, r.Links)
		for name, want := range map[string]string{"copy": "module x\n", "tree/main.go": "package main\n", "tree/.hidden": "h",
			"tree/link": "package main\n", "packed/lib/a": "A", "packed/b/c": "C", "packed/to": "A", "inline/p/q": "Q", "inline/hard": "Q"} {
			assert.Equal(t, want, output(t, sb, "cat "+name), name)
		}
		assert.Equal(t, "main.go\n", output(t, sb, "readlink tree/link"))
		assert.Equal(t, "640\n", output(t, sb, "stat -c %a copy"))
	})
}

func TestApplyRefusesLocal(t *testing.T) {
	host := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(host, "outside"), []byte("secret"), 0o600))
	in := filepath.Join(host, "in")
	require.NoError(t, os.Mkdir(in, 0o755))
	require.NoError(t, os.Symlink("../outside", filepath.Join(in, "link")))
	require.NoError(t, os.Symlink("..", filepath.Join(in, "up")))
	require.NoError(t, os.WriteFile(filepath.Join(in, "evil.tar"), packed(t, false, "../x", "x"), 0o600))
	root, err := os.OpenRoot(in)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, root.Close()) })
	sb := computetest.NewSandbox(t, newStub(t), nil)
	for _, c := range []struct {
		name  string
		entry workspace.Entry
		kind  error
	}{
		{"not granted", workspace.LocalFile{From: "other", Src: "x"}, compute.ErrForbidden},
		{"directory not granted", workspace.LocalDir{From: "other", Src: "."}, compute.ErrForbidden},
		{"archive not granted", workspace.Archive{From: "other", Src: "x"}, compute.ErrForbidden},
		{"through a link", workspace.LocalFile{Src: "link"}, compute.ErrInvalid},
		{"through a link upwards", workspace.LocalFile{Src: "up/outside"}, compute.ErrInvalid},
		{"directory with a link out", workspace.LocalDir{Src: "."}, compute.ErrInvalid},
		{"directory as a file", workspace.LocalFile{Src: "."}, compute.ErrInvalid},
		{"not there", workspace.LocalFile{Src: "none"}, fs.ErrNotExist},
		{"file as a directory", workspace.LocalDir{Src: "evil.tar"}, compute.ErrInvalid},
		{"archive that leads out", workspace.Archive{Src: "evil.tar"}, compute.ErrInvalid},
		{"archive that is none", workspace.Archive{Content: bytes.Repeat([]byte("x"), 1024)}, compute.ErrInvalid},
		{"archive cut short", workspace.Archive{Content: packed(t, false, "a", strings.Repeat("x", 2000))[:1200]}, compute.ErrInvalid},
		{"archive by zstd that is none", workspace.Archive{Content: []byte("\x28\xb5\x2f\xfd....")}, compute.ErrInvalid},
		{"volume not mounted", workspace.Volume{Volume: "v"}, errors.ErrUnsupported},
		{"bucket without a function", workspace.Bucket{Bucket: "b"}, errors.ErrUnsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &workspace.Manifest{Root: "/w", Entries: workspace.Entries{"a": c.entry, "b": file("x")}}
			_, err := workspace.Apply(t.Context(), sb, m, &workspace.ApplyOptions{Local: map[string]*os.Root{"": root}})
			require.ErrorIs(t, err, c.kind)
			_, typed := errors.AsType[*compute.Error](err)
			assert.True(t, typed)
			assert.Contains(t, err.Error(), `entry "a"`)
			assert.Equal(t, "no\n", output(t, sb, "[ -e /w ] && echo yes || echo no"), "nothing is done")
			none(t, sb)
		})
	}
}

// What links inside say changes nothing.
func TestApplyFollowsNoLink(t *testing.T) {
	cases := []struct {
		name, before string
		m            workspace.Manifest
		kind         error  // of the error; nil if there is none
		untouched    string // a file that must be as before
	}{
		{"directory", "mkdir /tmp/victim; echo old >/tmp/victim/f; ln -s /tmp/victim d",
			workspace.Manifest{Entries: workspace.Entries{"d/f": file("new")}}, compute.ErrConflict, "/tmp/victim/f"},
		{"directory by a relative link", "mkdir -p /tmp/victim a/b; echo old >/tmp/victim/f; ln -s ../../../../../tmp/victim a/b/c",
			workspace.Manifest{Entries: workspace.Entries{"a/b/c/f": file("new")}}, compute.ErrConflict, "/tmp/victim/f"},
		{"directory within", "mkdir e; echo old >e/f; ln -s e d",
			workspace.Manifest{Entries: workspace.Entries{"d/f": file("new")}}, compute.ErrConflict, "e/f"},
		{"directory with attributes", "mkdir -m 700 /tmp/victim; echo old >/tmp/victim/f; ln -s /tmp/victim d",
			workspace.Manifest{Entries: workspace.Entries{"d": workspace.Dir{Attributes: workspace.Attributes{Mode: 0o777}}}}, compute.ErrConflict, "/tmp/victim/f"},
		{"file", "echo old >/tmp/victim; ln -s /tmp/victim f",
			workspace.Manifest{Entries: workspace.Entries{"f": file("new")}}, nil, "/tmp/victim"},
		{"file that leads to a directory", "mkdir /tmp/victim; echo old >/tmp/victim/x; ln -s /tmp/victim f",
			workspace.Manifest{Entries: workspace.Entries{"f": file("new")}}, nil, "/tmp/victim/x"},
		{"file that leads nowhere", "echo old >/tmp/victim; ln -s /tmp/nowhere f",
			workspace.Manifest{Entries: workspace.Entries{"f": file("new")}}, nil, "/tmp/victim"},
		{"root", "mkdir /tmp/victim; echo old >/tmp/victim/f; ln -s /tmp/victim /tmp/root",
			workspace.Manifest{Root: "/tmp/root", Entries: workspace.Entries{"f": file("new")}}, compute.ErrConflict, "/tmp/victim/f"},
		{"above the root", "mkdir -p /tmp/victim/r; echo old >/tmp/victim/r/f; ln -s /tmp/victim /tmp/up",
			workspace.Manifest{Root: "/tmp/up/r", Entries: workspace.Entries{"f": file("new")}}, compute.ErrConflict, "/tmp/victim/r/f"},
		{"root that is not there, below a link", "mkdir /tmp/victim; echo old >/tmp/victim/f; ln -s /tmp/victim /tmp/up",
			workspace.Manifest{Root: "/tmp/up/new", Entries: workspace.Entries{"f": file("new")}}, compute.ErrConflict, "/tmp/victim/f"},
		{"grant", "mkdir /tmp/victim; echo old >/tmp/victim/f; ln -s /tmp/victim /tmp/grant",
			workspace.Manifest{Grants: []workspace.Grant{{Path: "/tmp/grant"}}, Entries: workspace.Entries{"/tmp/grant/f": file("new")}}, compute.ErrConflict, "/tmp/victim/f"},
		{"loop", "echo old >v; ln -s d d",
			workspace.Manifest{Entries: workspace.Entries{"d/f": file("new")}}, compute.ErrConflict, "v"},
		{"directory where a file is to be", "mkdir f; echo old >f/x",
			workspace.Manifest{Entries: workspace.Entries{"f": file("new")}}, compute.ErrConflict, "f/x"},
		{"file where a directory is to be", "echo old >d",
			workspace.Manifest{Entries: workspace.Entries{"d/f": file("new")}}, compute.ErrConflict, "d"},
	}
	each(t, func(t *testing.T, b backend, sb compute.Sandbox) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				output(t, sb, "rm -rf ./* /tmp/victim /tmp/root /tmp/up /tmp/grant; "+c.before)
				_, err := workspace.Apply(t.Context(), sb, &c.m, nil)
				if c.kind == nil {
					require.NoError(t, err)
					assert.Equal(t, "new", output(t, sb, "cat f; [ ! -L f ]"))
				} else {
					require.ErrorIs(t, err, c.kind)
				}
				assert.Equal(t, "old\n", output(t, sb, "cat "+c.untouched))
				assert.NotContains(t, output(t, sb, "find /tmp; cat /tmp/victim/* 2>/dev/null || :"), "new")
			})
		}
	})
}

func TestApplyGrants(t *testing.T) {
	each(t, func(t *testing.T, b backend, sb compute.Sandbox) {
		m := &workspace.Manifest{Root: "/tmp/w/x", Grants: []workspace.Grant{{Path: "/tmp/opt/tool"}, {Path: "/tmp/w/x/fixed", ReadOnly: true}},
			Entries: workspace.Entries{"a": file("in the root"), "/tmp/opt/tool/etc/b": file("in a grant")}}
		r, err := workspace.Apply(t.Context(), sb, m, nil)
		require.NoError(t, err)
		assert.Equal(t, "/tmp/w/x", r.Root)
		assert.Equal(t, "in the root", output(t, sb, "cat /tmp/w/x/a"))
		assert.Equal(t, "in a grant", output(t, sb, "cat /tmp/opt/tool/etc/b"))
	})
}

func thousand() *workspace.Manifest {
	m := &workspace.Manifest{Entries: workspace.Entries{}}
	for i := range 1000 {
		m.Entries[fmt.Sprintf("d%d/e/f%d.txt", i%20, i)] = file(fmt.Sprintf("file %d\n", i))
	}
	return m
}

// A thousand files cost as many round trips as one.
func TestApplyRoundTrips(t *testing.T) {
	check := func(t *testing.T, sb compute.Sandbox, count func() int, most int) {
		t.Helper()
		before := count()
		_, err := workspace.Apply(t.Context(), sb, thousand(), nil)
		require.NoError(t, err)
		n := count() - before
		t.Log("round trips: ", n)
		assert.LessOrEqual(t, n, most)
		assert.Equal(t, "1000\n", output(t, sb, "find . -name 'f*.txt' | wc -l | tr -d ' '"))
		assert.Equal(t, "file 777\n", output(t, sb, "cat d17/e/f777.txt"))
	}
	t.Run("Local", func(t *testing.T) {
		var o ops
		n := 0
		c := compute.Intercept(newLocal(t), o.count)
		count := func() int { n += len(o.reset()); return n }
		check(t, computetest.NewSandbox(t, c, nil), count, 2)
	})
	t.Run("LocalAsUser", func(t *testing.T) {
		if !long {
			t.Skip("set COMPUTE_TEST_LONG to run it")
		}
		var o ops
		n := 0
		c := compute.Intercept(newLocal(t), o.count)
		count := func() int { n += len(o.reset()); return n }
		check(t, computetest.NewSandbox(t, c, &compute.CreateSandboxOptions{User: "nobody"}), count, 3)
	})
	t.Run("Runloop", func(t *testing.T) {
		c, count := newRunloop(t, newStub(t))
		check(t, computetest.NewSandbox(t, c, nil), count, 3)
	})
	t.Run("RunloopOverLocal", func(t *testing.T) {
		if !long {
			t.Skip("set COMPUTE_TEST_LONG to run it")
		}
		c, count := newRunloop(t, newLocal(t))
		check(t, computetest.NewSandbox(t, c, nil), count, 3)
	})
}

// Programs that apply at the same time each do all of it.
func TestApplyAtOnce(t *testing.T) {
	for _, b := range backends() {
		if b.real && !long {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			sb := computetest.NewSandbox(t, b.new(t), nil)
			m := &workspace.Manifest{Entries: workspace.Entries{}}
			for i := range 50 {
				m.Entries[fmt.Sprintf("d%d/f%d", i%3, i)] = file(strings.Repeat("x", i))
			}
			var g errgroup.Group
			for range 4 {
				g.Go(func() error {
					_, err := workspace.Apply(t.Context(), sb, m, nil)
					return err
				})
			}
			require.NoError(t, g.Wait())
			assert.Equal(t, "50\n", output(t, sb, "find . -type f | wc -l | tr -d ' '"))
			assert.Equal(t, strings.Repeat("x", 49), output(t, sb, "cat d1/f49"))
			none(t, sb)
		})
	}
}

// An ordinary user inside swaps a directory for a link, again and again, while
// root applies a manifest for them: nothing gets to where the link leads.
func TestApplyWhileLinksChange(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t), &compute.CreateSandboxOptions{User: "nobody"})
	victim := func(script string) string {
		out, err := compute.Output(t.Context(), sb, &compute.Command{Script: script, User: "root"})
		require.NoError(t, err)
		return out
	}
	victim("mkdir /tmp/victim && echo old >/tmp/victim/f")
	attack, err := compute.Start(t.Context(), sb, compute.Exec("perl", "-e",
		`while (1) { rename "d", "o" . ++$i; rmdir "o$i"; symlink "/tmp/victim", "d"; unlink "d"; mkdir "d" }`))
	require.NoError(t, err)
	times := 3
	if long {
		times = 100
	}
	done := 0
	for range times {
		_, err := workspace.Apply(t.Context(), sb, &workspace.Manifest{Entries: workspace.Entries{
			"d": workspace.Dir{Attributes: workspace.Attributes{Mode: 0o777}, Entries: workspace.Entries{"f": file("new"), "g/h": file("new")}}}}, nil)
		if err == nil {
			done++
		} else {
			_, typed := errors.AsType[*compute.Error](err)
			require.True(t, typed, "%v", err)
		}
	}
	require.NoError(t, attack.Kill(t.Context()))
	t.Logf("%d of %d got through", done, times)
	assert.Equal(t, "/tmp/victim\n/tmp/victim/f\nold\n755\n", victim("find /tmp/victim | sort; cat /tmp/victim/f; stat -c %a /tmp/victim"))
	none(t, sb)
}
