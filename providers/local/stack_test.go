//go:build linux

package local_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// cyclesEnv makes the tests of many suspensions and snapshots longer.
const cyclesEnv = "COMPUTE_LOCAL_TEST_CYCLES"

func cycles(t *testing.T, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(cyclesEnv)); err == nil {
		return n
	}
	if testing.Short() {
		return usual / 2
	}
	return usual
}

// randomChanges is a script that changes the tree in the working directory. It
// never changes a file that may have two names: an overlay gives each a file
// of its own when one below it changes.
func randomChanges(r *rand.Rand, n int) string {
	var s strings.Builder
	name := func() string {
		parts := []string{}
		for range 1 + r.IntN(3) {
			parts = append(parts, string(rune('a'+r.IntN(4))))
		}
		return strings.Join(parts, "/")
	}
	for range n {
		a, b := name(), name()
		switch r.IntN(9) {
		case 0, 1:
			fmt.Fprintf(&s, "mkdir -p %s\n", a)
		case 2, 3:
			fmt.Fprintf(&s, "[ -d %s ] || { rm -f %s; echo %d > %s; }\n", a, a, r.IntN(1e6), a)
		case 4:
			fmt.Fprintf(&s, "rm -rf %s\n", a)
		case 5:
			fmt.Fprintf(&s, "mv -T %s %s\n", a, b)
		case 6:
			fmt.Fprintf(&s, "[ -d %s ] || ln -fT %s %s\n", b, a, b)
		case 7:
			fmt.Fprintf(&s, "ln -sfT target%d %s\n", r.IntN(9), a)
		case 8:
			fmt.Fprintf(&s, "[ -h %s ] || [ -f %s ] || chmod %o %s; rm -rf %s; mkdir -m %o %s\n", a, a, 0o700|r.IntN(0o100), a, b, 0o700|r.IntN(0o100), b)
		}
	}
	return "exec 2>../errors; umask 022\n" + s.String() + "true\n"
}

// treeListing tells all that two equal trees have in common, by looking at what
// there is and by what directories list.
const treeListing = `ls -AR; find . -printf '%y %m %l %p\n' | sort; find . -type f | sort | xargs -r -d '\n' head -v -c 99 --`

// A model is a plain directory that is changed as a sandbox is.
type model struct{ dir string }

func newModel(t *testing.T) model {
	m := model{filepath.Join(t.TempDir(), "t")}
	require.NoError(t, os.Mkdir(m.dir, 0o755))
	require.NoError(t, os.Chmod(m.dir, 0o755)) // whatever the umask
	return m
}

// requireSame compares the trees of m and of a sandbox after a script.
func (m model) requireSame(t *testing.T, sb compute.Sandbox, script string, round int) {
	t.Helper()
	if want, got := m.run(t, treeListing), inside(t, sb, treeListing); want != got {
		t.Fatalf("round %d: it should be\n%s\nand is\n%s\nafter\n%s\nwhich said\n%s", round, want, got, script, inside(t, sb, "cat ../errors"))
	}
}

func (m model) run(t *testing.T, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
	cmd.Dir = m.dir
	out, err := cmd.Output()
	require.NoError(t, err)
	return string(out)
}

func inside(t *testing.T, sb compute.Sandbox, script string) string {
	t.Helper()
	cmd := compute.Shell(script)
	cmd.Dir = "/workspace/t"
	out, err := compute.Output(t.Context(), sb, cmd)
	require.NoError(t, err)
	return out
}

// metaOf reads what a file of the state directory says of runs and layers.
func metaOf(t *testing.T, path ...string) (m struct{ Layers, Runs []string }) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &m))
	return m
}

// What a sandbox has written stays, however often it is suspended, and is kept
// in a bounded number of places.
func TestManySuspensions(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newLocal(t, dir, local.Namespaces)
	sb := computetest.NewSandbox(t, c, nil)
	require.NoError(t, sb.Filesystem().MkdirAll(ctx, "t", 0o755))
	plain := newModel(t)
	r := rand.New(rand.NewPCG(1, 2))
	if os.Geteuid() == 0 {
		inside(t, sb, "rm -rf /usr/share/doc /usr/share/perl; mkdir /usr/share/doc; echo mine > /usr/share/doc/mine; rm /usr/bin/env")
	}
	grown := watchGrowth(t, dir)
	for i := range cycles(t, 30) {
		script := randomChanges(r, 12)
		plain.run(t, script)
		inside(t, sb, script)
		require.NoError(t, compute.Suspend(ctx, sb))
		require.NoError(t, compute.Resume(ctx, sb))
		plain.requireSame(t, sb, script, i)
		require.LessOrEqual(t, len(metaOf(t, dir, "sandboxes", sb.ID(), "meta.json").Runs), 9)
		grown.cycle(t)
	}
	if os.Geteuid() == 0 {
		out := inside(t, sb, "ls /usr/share/doc; ls -d /usr/bin/env /usr/share/perl 2>&1; true")
		require.True(t, strings.HasPrefix(out, "mine\n"), out)
		require.Equal(t, 2, strings.Count(out, "No such file"), out)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "sandboxes", sb.ID()))
	require.NoError(t, err)
	require.LessOrEqual(t, len(entries), 9+3)
	requireNothingLeft(t, c, dir)
	grown.requireNone(t)
}

// Sandboxes can come from snapshots of sandboxes that came from snapshots.
func TestManyGenerations(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newLocal(t, dir, local.Namespaces)
	plain := newModel(t)
	r := rand.New(rand.NewPCG(3, 4))
	sb, err := c.CreateSandbox(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, sb.Filesystem().MkdirAll(ctx, "t", 0o755))
	most := 0
	grown := watchGrowth(t, dir)
	for i := range cycles(t, 50) {
		script := randomChanges(r, 12)
		plain.run(t, script)
		inside(t, sb, script)
		if i%5 == 4 { // what two machines wrote is one layer
			require.NoError(t, compute.Suspend(ctx, sb))
			require.NoError(t, compute.Resume(ctx, sb))
			plain.run(t, script)
			inside(t, sb, script)
		}
		snap, err := c.CreateSnapshot(ctx, sb.ID(), nil)
		require.NoError(t, err)
		require.NoError(t, sb.Destroy(ctx))
		sb, err = c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Snapshot: snap.ID})
		require.NoError(t, err)
		require.NoError(t, c.DeleteSnapshot(ctx, snap.ID))
		plain.requireSame(t, sb, script, i)
		stack := len(metaOf(t, dir, "sandboxes", sb.ID(), "meta.json").Layers)
		most = max(most, stack)
		require.Len(t, layers(t, dir), stack, "what was merged goes")
		grown.cycle(t)
	}
	require.LessOrEqual(t, most, 3*16)
	require.NoError(t, sb.Destroy(ctx))
	requireNothingLeft(t, c, dir)
	grown.requireNone(t)
}

// A sandbox can go back again and again, and others can branch off each time;
// what they wrote since is in none but them.
func TestManyRollbacks(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newLocal(t, dir, local.Namespaces)
	plain := newModel(t)
	r := rand.New(rand.NewPCG(5, 6))
	sb, err := c.CreateSandbox(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, sb.Filesystem().MkdirAll(ctx, "t", 0o755))
	grown := watchGrowth(t, dir)
	for i := range cycles(t, 20) {
		script := randomChanges(r, 12)
		plain.run(t, script)
		inside(t, sb, script)
		snap, err := c.CreateSnapshot(ctx, sb.ID(), nil)
		require.NoError(t, err)
		inside(t, sb, randomChanges(r, 12))
		branch, err := c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Snapshot: snap.ID})
		require.NoError(t, err)
		inside(t, branch, randomChanges(r, 12))
		require.NoError(t, compute.Rollback(ctx, sb, snap.ID))
		plain.requireSame(t, sb, script, i)
		require.NoError(t, compute.Rollback(ctx, branch, snap.ID))
		require.NoError(t, c.DeleteSnapshot(ctx, snap.ID))
		plain.requireSame(t, branch, script, i)
		if i%3 == 0 { // it is the branch that goes on
			sb, branch = branch, sb
		}
		require.NoError(t, branch.Destroy(ctx))
		stack := len(metaOf(t, dir, "sandboxes", sb.ID(), "meta.json").Layers)
		require.LessOrEqual(t, stack, 3*16)
		require.Len(t, layers(t, dir), stack)
		grown.cycle(t)
	}
	require.NoError(t, sb.Destroy(ctx))
	requireNothingLeft(t, c, dir)
	grown.requireNone(t)
}

// export returns an archive of a snapshot.
func export(t *testing.T, p *local.Provider, id string) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, p.ExportSnapshot(t.Context(), id, &b))
	return b.Bytes()
}

// Whatever a file system can hold comes out of a snapshot as it went in, also
// through an archive.
func TestExportImport(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	p := newLocal(t, dir, local.Namespaces)
	sb := computetest.NewSandbox(t, p, nil)
	require.NoError(t, sb.Filesystem().MkdirAll(ctx, "t", 0o755))
	const long = "a-name-that-is-longer-than-a-header-of-a-hundred-bytes-has-room-for-and-which-needs-one-more-header-than-others"
	inside(t, sb, `
		mkdir -m 1777 d; mkdir -p gone/in opaque; echo 1 > opaque/old; echo x > gone/in/f
		perl -e 'open F, ">bytes"; print F map chr, 0..255; close F; open F, ">new\nline \xff"; close F; mkdir "\xe9"'
		echo linked > one; ln one d/two; ln -s "no such" sym; mkfifo -m 640 pipe; chmod 4755 one
		perl -e 'open F, ">sparse"; seek F, 3<<20, 0; print F "middle"; seek F, 900<<20, 0; print F "end"; truncate F, 1<<30'
		perl -e 'open F, ">hole"; truncate F, 1<<31'
		echo `+long+` > `+long+`; touch -d '1970-01-02 03:04:05.123456789' one; touch -d 2100-01-01 d; touch -h -d 1999-01-01 sym; touch -d 1960-06-06 pipe`)
	if os.Geteuid() == 0 {
		inside(t, sb, "chown 12:34 one; chown -h 5:6 sym; chown 1000 d")
	}
	first, err := p.CreateSnapshot(ctx, sb.ID(), &compute.CreateSnapshotOptions{Name: "original", Metadata: map[string]string{"k": "v"}})
	require.NoError(t, err)
	second := computetest.NewSandbox(t, p, &compute.CreateSandboxOptions{Snapshot: first.ID})
	inside(t, second, `rm -r gone opaque; mkdir opaque; echo 2 > opaque/new; echo later > later; [ "$(id -u)" != 0 ] || rm -f /etc/issue`)
	snap, err := p.CreateSnapshot(ctx, second.ID(), &compute.CreateSnapshotOptions{Name: "later", Metadata: map[string]string{"k": "v"}})
	require.NoError(t, err)
	listing := `find . -printf '%y %m %U %G %T+ %l %p\n' | sort; find . -type f ! -name sparse ! -name hole | sort | xargs -d '\n' sha256sum;
		stat -c '%h %i' one d/two | uniq | cut -d' ' -f1; [ one -ef d/two ] && echo same; ls /etc/issue 2>&1;
		perl -e 'open F, "sparse"; seek F, 3<<20, 0; read F, $a, 6; seek F, 900<<20, 0; read F, $b, 5; print "$a $b ", -s F, "\n"'; stat -c %s hole`
	want := inside(t, second, listing)
	require.Contains(t, want, "same\n")

	archive := export(t, p, snap.ID)
	require.Less(t, len(archive), 1<<20, "holes are not written")
	file := filepath.Join(t.TempDir(), "snapshot.tar")
	require.NoError(t, os.WriteFile(file, archive, 0o600))
	if names, err := exec.CommandContext(ctx, "tar", "-tvf", file).CombinedOutput(); err == nil {
		require.Contains(t, string(names), "1073741824", "other programs can read it, holes too")
	} else {
		t.Log("tar: ", string(names))
	}
	elsewhere := t.TempDir()
	q := newLocal(t, elsewhere, local.Namespaces)
	imported, err := q.ImportSnapshot(ctx, bytes.NewReader(archive), nil)
	require.NoError(t, err)
	require.Equal(t, "later", imported.Name)
	require.Equal(t, second.ID(), imported.SandboxID)
	require.Equal(t, map[string]string{"k": "v"}, imported.Metadata)
	require.NotEqual(t, snap.ID, imported.ID)
	restored := computetest.NewSandbox(t, q, &compute.CreateSandboxOptions{Snapshot: imported.ID})
	require.Equal(t, want, inside(t, restored, listing))
	used := inside(t, restored, "du -k sparse hole | cut -f1")
	require.Less(t, len(strings.ReplaceAll(used, "\n", "")), 7, "the holes are holes: %s", used)

	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err = z.Write(archive)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	again, err := q.ImportSnapshot(ctx, &zipped, &local.ImportSnapshotOptions{Name: "mine", Metadata: map[string]string{"a": "b"}})
	require.NoError(t, err)
	require.Equal(t, "mine", again.Name)
	require.Equal(t, map[string]string{"a": "b"}, again.Metadata)
	found, err := q.GetSnapshot(ctx, again.ID)
	require.NoError(t, err)
	require.Equal(t, again.Name, found.Name)

	require.ErrorIs(t, p.ExportSnapshot(ctx, "snap-none", &zipped), compute.ErrNotFound)
	broken := errors.New("broken")
	require.ErrorIs(t, p.ExportSnapshot(ctx, snap.ID, failing{broken}), broken)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, p.ExportSnapshot(ended, snap.ID, &zipped), context.Canceled)
	_, err = q.ImportSnapshot(ended, bytes.NewReader(archive), nil)
	require.ErrorIs(t, err, context.Canceled)
	before := layers(t, elsewhere)
	for _, cut := range []int{0, 100, 512, 3000, len(archive) / 2, len(archive) - 2048, len(archive) - 1536} {
		_, err := q.ImportSnapshot(ctx, bytes.NewReader(archive[:cut]), nil)
		require.Error(t, err, cut)
		require.Equal(t, before, layers(t, elsewhere))
	}
	requireNothingLeft(t, q, elsewhere)
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// What others give as an exported snapshot is what it says, or is refused, and
// then leaves nothing.
func TestHostileImports(t *testing.T) {
	dir := t.TempDir()
	p := newLocal(t, dir, local.Namespaces)
	outside := t.TempDir()
	manifest := func(changes map[string]any) entry {
		m := map[string]any{"format": "compute-local-snapshot", "version": 1, "arch": runtime.GOARCH, "layers": 1, "start": map[string]any{"bare": true}}
		for k, v := range changes {
			m[k] = v
		}
		data, err := json.Marshal(m)
		require.NoError(t, err)
		return entry{name: "manifest.json", content: string(data), mode: 0o644}
	}
	usual, layer, end := manifest(nil), entry{name: "layers/0000/root/"}, entry{name: "complete"}
	for name, entries := range map[string][]entry{
		"nothing":               {},
		"no manifest":           {layer, end},
		"not complete":          {usual, layer},
		"no layer":              {usual, end},
		"another format":        {manifest(map[string]any{"format": "x"}), layer, end},
		"newer":                 {manifest(map[string]any{"version": 2}), layer, end},
		"many layers":           {manifest(map[string]any{"layers": 1000}), layer, end},
		"fewer layers":          {manifest(map[string]any{"layers": 2}), layer, end},
		"odd environment":       {manifest(map[string]any{"start": map[string]any{"bare": true, "env": []string{"x"}}}), layer, end},
		"odd directory":         {manifest(map[string]any{"start": map[string]any{"bare": true, "dir": "../x"}}), layer, end},
		"odd user":              {manifest(map[string]any{"start": map[string]any{"bare": true, "user": "a\nb"}}), layer, end},
		"contradiction":         {manifest(map[string]any{"base": "x"}), layer, end},
		"odd name":              {manifest(map[string]any{"name": "a\x00b"}), layer, end},
		"another layer":         {usual, {name: "layers/0001/root/"}, end},
		"no tree":               {usual, {name: "layers/0000/evil/"}, end},
		"a file for a tree":     {usual, {name: "layers/0000/root", content: "x"}, end},
		"a link for a tree":     {usual, {name: "layers/0000/root", link: outside}, end},
		"a link for a layer":    {usual, {name: "layers/0000", link: outside}, end},
		"a link for all layers": {usual, {name: "layers", link: outside}, end},
		"something else":        {usual, layer, {name: "else"}, end},
		"an end that is full":   {usual, layer, {name: "complete/full"}},
		"an end that is none":   {usual, layer, {name: "complete/x", link: outside}},
		"out":                   {usual, layer, {name: "layers/0000/root/l", link: outside}, {name: "layers/0000/root/l/x", content: "x"}, end},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.ImportSnapshot(t.Context(), bytes.NewReader(archive(t, entries...)), nil)
			require.Error(t, err)
			require.Empty(t, layers(t, dir))
			left, err := os.ReadDir(outside)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
	for name, changes := range map[string]map[string]any{
		"another machine": {"arch": "z80"},
		"another system":  {"base": "plan9 4", "start": map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			data := archive(t, manifest(changes), layer, end)
			_, err := p.ImportSnapshot(t.Context(), bytes.NewReader(data), nil)
			require.ErrorIs(t, err, errors.ErrUnsupported)
			_, err = p.ImportSnapshot(t.Context(), bytes.NewReader(data), &local.ImportSnapshotOptions{AnyBase: true})
			require.Equal(t, name == "another machine", errors.Is(err, errors.ErrUnsupported), err)
		})
	}

	// Whatever the places look like where this library mounts and writes, a
	// sandbox starts, and the rest stays in it.
	data := archive(t, usual, entry{name: "layers/", mode: 0o1000}, entry{name: "layers/0000/", mode: 0o1000}, entry{name: "layers/0000/root/", mode: 0o1000},
		entry{name: "layers/0000/root/hello", content: string(staticProgram(t))},
		entry{name: "layers/0000/root/dev", link: outside}, entry{name: "layers/0000/root/proc", kind: tar.TypeChar},
		entry{name: "layers/0000/root/etc", link: outside}, entry{name: "layers/0000/root/tmp", link: outside}, end)
	snap, err := p.ImportSnapshot(t.Context(), bytes.NewReader(data), nil)
	require.NoError(t, err)
	sb := computetest.NewSandbox(t, p, &compute.CreateSandboxOptions{Snapshot: snap.ID})
	runStatic(t, sb, "/hello")
	_, err = sb.Filesystem().Stat(t.Context(), "/dev/null")
	require.NoError(t, err)
	left, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, left)
}
