package workspace_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/stub"
	"github.com/computekit/compute/workspace"
)

// lived is a workspace after some commands.
const lived = `mkdir -p src/deep cache .git empty; echo hello >README.md; echo main >src/main.go; printf 'a\0b\377' >src/deep/bytes
chmod 750 src/deep; chmod 600 README.md; echo x >.git/config; echo waste >cache/waste; echo odd >'a b
c'; echo more >>'-rf'`

// manifestOfLived has one ephemeral entry.
var manifestOfLived = &workspace.Manifest{Entries: workspace.Entries{
	"cache": workspace.Dir{Attributes: workspace.Attributes{Ephemeral: true}}}}

func TestPersistAndHydrate(t *testing.T) {
	each(t, func(t *testing.T, b backend, sb compute.Sandbox) {
		ctx := t.Context()
		output(t, sb, lived)
		if !b.plain {
			output(t, sb, "ln -s src/main.go link; ln README.md hard; ln -s src dirlink")
		}
		for _, by := range []workspace.Compression{"", workspace.Gzip, workspace.Zstd} {
			var archive bytes.Buffer
			p, err := workspace.Persist(ctx, sb, manifestOfLived, &archive, &workspace.PersistOptions{Compression: by})
			require.NoError(t, err)
			assert.Empty(t, p.Outside)
			assert.NotContains(t, paths(p.Index), "cache")
			assert.NotContains(t, paths(p.Index), "cache/waste")
			assert.Contains(t, paths(p.Index), "empty")
			again, err := workspace.TakeIndex(ctx, sb, manifestOfLived)
			require.NoError(t, err)
			assert.Empty(t, workspace.Diff(p.Index, again))

			unchanged, err := workspace.Persist(ctx, sb, manifestOfLived, io.Discard, &workspace.PersistOptions{Known: again.Fingerprint()})
			require.NoError(t, err)
			assert.True(t, unchanged.Unchanged)

			output(t, sb, "rm -rf src; echo other >README.md; mkdir new; echo new >new/file; chmod 500 new; touch .new")
			r, err := workspace.Hydrate(ctx, sb, &archive, nil)
			require.NoError(t, err)
			assert.Equal(t, strings.TrimSuffix(output(t, sb, "pwd -P"), "\n"), r.Root)
			after, err := workspace.TakeIndex(ctx, sb, nil)
			require.NoError(t, err)
			assert.Empty(t, workspace.Diff(p.Index, after), "what was there is there, and nothing else")
			assert.Equal(t, p.Index.Fingerprint(), after.Fingerprint())
			if b.real {
				assert.Equal(t, output(t, sb, "id -un"), output(t, sb, "stat -c %U README.md"))
				assert.Equal(t, output(t, sb, "id -un"), output(t, sb, "stat -c %U src/deep"))
			}
			output(t, sb, "mkdir cache; echo waste >cache/waste")
			none(t, sb)
		}
	})
}

// What is wrong with a compressed archive is told apart from what is wrong with
// the way it comes.
func TestCompressionRefuses(t *testing.T) {
	sb := computetest.NewSandbox(t, stub.New(stub.Config{}), nil)
	pack := func(size int) []byte {
		var b bytes.Buffer
		z, err := zstd.NewWriter(&b, zstd.WithWindowSize(size))
		require.NoError(t, err)
		_, err = z.Write(packed(t, false, "f", strings.Repeat("content", 1000)))
		require.NoError(t, err)
		require.NoError(t, z.Flush()) // or the window would be no larger than the content
		require.NoError(t, z.Close())
		return b.Bytes()
	}
	whole := pack(1 << 20)
	broken := errors.New("line dropped")
	for name, c := range map[string]struct {
		archive io.Reader
		want    error
	}{
		"whole":             {bytes.NewReader(whole), nil},
		"cut short":         {bytes.NewReader(whole[:len(whole)/2]), compute.ErrInvalid},
		"damaged":           {bytes.NewReader(append(bytes.Clone(whole[:40]), bytes.Repeat([]byte{0x55}, 60)...)), compute.ErrInvalid},
		"a window too wide": {bytes.NewReader(pack(256 << 20)), compute.ErrInvalid},
		"cannot be read":    {io.MultiReader(bytes.NewReader(whole[:40]), iotest.ErrReader(broken)), broken},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := workspace.Hydrate(t.Context(), sb, c.archive, nil)
			require.ErrorIs(t, err, c.want)
			if errors.Is(c.want, broken) {
				assert.NotErrorIs(t, err, compute.ErrInvalid)
			}
			none(t, sb)
		})
	}
	_, err := workspace.Persist(t.Context(), sb, nil, io.Discard, &workspace.PersistOptions{Compression: "xz"})
	assert.ErrorIs(t, err, compute.ErrInvalid)
}

func paths(x *workspace.Index) []string {
	var all []string
	for _, e := range x.Entries {
		all = append(all, e.Path)
	}
	return all
}

func TestHydrateIntoAnother(t *testing.T) {
	from, to := computetest.NewSandbox(t, newStub(t), nil), computetest.NewSandbox(t, newRemote(t), nil)
	output(t, from, "mkdir -p /tmp/w; cd /tmp/w; "+lived)
	var archive bytes.Buffer
	p, err := workspace.Persist(t.Context(), from, &workspace.Manifest{Root: "/tmp/w"}, &archive, nil)
	require.NoError(t, err)
	m := &workspace.Manifest{Root: "/home/new/place"}
	_, err = workspace.Hydrate(t.Context(), to, &archive, &workspace.HydrateOptions{Manifest: m})
	require.NoError(t, err)
	x, err := workspace.TakeIndex(t.Context(), to, m)
	require.NoError(t, err)
	assert.Empty(t, workspace.Diff(p.Index, x))
}

func TestPersistRefuses(t *testing.T) {
	sb := computetest.NewSandbox(t, newStub(t), nil)
	_, err := workspace.Persist(t.Context(), sb, &workspace.Manifest{Root: "/none"}, io.Discard, nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	output(t, sb, "mkdir /tmp/v; ln -s /tmp/v /tmp/l")
	_, err = workspace.Persist(t.Context(), sb, &workspace.Manifest{Root: "/tmp/l"}, io.Discard, nil)
	require.ErrorIs(t, err, compute.ErrConflict)
	output(t, sb, "echo 1 >a; echo 2 >b")
	_, err = workspace.Persist(t.Context(), sb, nil, io.Discard, &workspace.PersistOptions{Limits: workspace.Limits{Entries: 1}})
	require.ErrorIs(t, err, compute.ErrInvalid)
	full := errors.New("disk is full")
	_, err = workspace.Persist(t.Context(), sb, nil, writerFunc(func([]byte) (int, error) { return 0, full }), nil)
	require.ErrorIs(t, err, full)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = workspace.Persist(ctx, sb, nil, io.Discard, nil)
	require.ErrorIs(t, err, context.Canceled)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestOutsideLinks(t *testing.T) {
	sb := computetest.NewSandbox(t, newStub(t), nil)
	output(t, sb, "mkdir bin; ln -s /usr/bin/python3 bin/python; ln -s ../../up up")
	var archive bytes.Buffer
	p, err := workspace.Persist(t.Context(), sb, nil, &archive, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"bin/python", "up"}, p.Outside)
	data := archive.Bytes()
	_, err = workspace.Hydrate(t.Context(), sb, bytes.NewReader(data), nil)
	require.ErrorIs(t, err, compute.ErrInvalid)
	_, err = workspace.Hydrate(t.Context(), sb, bytes.NewReader(data), &workspace.HydrateOptions{OutsideLinks: true})
	require.NoError(t, err)
	assert.Equal(t, "/usr/bin/python3\n../../up\n", output(t, sb, "readlink bin/python; readlink up"))
}

// hostileArchives must not be unpacked.
var hostileArchives = []struct {
	name  string
	pairs []string
}{
	{"absolute", []string{"/etc/passwd", "x"}},
	{"above", []string{"../x", "x"}},
	{"above in the middle", []string{"a/../../x", "x"}},
	{"above at the end", []string{"a/..", "x"}},
	{"twice", []string{"a", "1", "a", "2"}},
	{"twice by another spelling", []string{"a", "1", "./a", "2"}},
	{"through a link", []string{"d", "->.", "d/x", "x"}},
	{"through a file", []string{"d", "1", "d/x", "x"}},
	{"file becomes a directory", []string{"d", "1", "d/", ""}},
	{"directory becomes a link", []string{"d/x", "x", "d", "->e"}},
	{"link out", []string{"l", "->../x"}},
	{"absolute link", []string{"l", "->/etc/passwd"}},
	{"link out from below", []string{"a/b/l", "->../../../x"}},
	{"link out through a link", []string{"a/b/c/up", "->../../..", "a/b/c/l", "->up/../x"}},
	{"link to nothing", []string{"l", "->"}},
	{"hard link out", []string{"l", "=>../x"}},
	{"absolute hard link", []string{"l", "=>/etc/passwd"}},
	{"hard link to a link", []string{"a", "x", "l", "->a", "h", "=>l"}},
	{"hard link to what comes later", []string{"h", "=>a", "a", "x"}},
	{"the root as a file", []string{".", "x"}},
	{"the root as a link", []string{"./", "", ".", "->x"}},
	{"lock", []string{".compute-workspace-lock/x", "x"}},
}

func TestHydrateRefuses(t *testing.T) {
	sb := computetest.NewSandbox(t, newStub(t), nil)
	output(t, sb, lived)
	before, err := workspace.TakeIndex(t.Context(), sb, nil)
	require.NoError(t, err)
	for _, c := range hostileArchives {
		t.Run(c.name, func(t *testing.T) {
			pairs := append([]string{"good", "good"}, c.pairs...)
			_, err := workspace.Hydrate(t.Context(), sb, bytes.NewReader(packed(t, false, pairs...)), nil)
			require.Error(t, err)
			assert.True(t, errors.Is(err, compute.ErrInvalid) || errors.Is(err, compute.ErrConflict), err)
			after, err := workspace.TakeIndex(t.Context(), sb, nil)
			require.NoError(t, err)
			assert.Empty(t, workspace.Diff(before, after))
			none(t, sb)
		})
	}
	whole := packed(t, true, "a", strings.Repeat("x", 5000), "b", "y")
	for _, c := range []struct {
		name   string
		data   []byte
		limits workspace.Limits
	}{
		{"no archive", bytes.Repeat([]byte("no"), 600), workspace.Limits{}},
		{"cut short", whole[:len(whole)/2], workspace.Limits{}},
		{"broken", append(append([]byte{}, whole[:20]...), bytes.Repeat([]byte{0xff}, 100)...), workspace.Limits{}},
		{"too many", whole, workspace.Limits{Entries: 1}},
		{"too large", whole, workspace.Limits{Bytes: 5000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := workspace.Hydrate(t.Context(), sb, bytes.NewReader(c.data), &workspace.HydrateOptions{Limits: c.limits})
			require.ErrorIs(t, err, compute.ErrInvalid)
			after, err := workspace.TakeIndex(t.Context(), sb, nil)
			require.NoError(t, err)
			assert.Empty(t, workspace.Diff(before, after))
			none(t, sb)
		})
	}
}

// What is mounted stays, and so does what leads there.
func TestHydrateKeepsMounts(t *testing.T) {
	m := &workspace.Manifest{Root: "/tmp/w", Entries: workspace.Entries{
		"data":         workspace.Volume{Volume: "v"},
		"a b/c/models": workspace.Bucket{Bucket: "b"}}}
	sb := computetest.NewSandbox(t, newStub(t), nil)
	output(t, sb, `mkdir -p /tmp/w/data "/tmp/w/a b/c/models" && cd /tmp/w && echo kept >data/f; echo kept >"a b/c/models/f"; echo old >old; echo old >"a b/old"; echo old >"a b/c/old"`)
	_, err := workspace.Hydrate(t.Context(), sb, bytes.NewReader(packed(t, false, "a b/", "", "a b/new", "1", "a b/c/new", "2", "new", "3")),
		&workspace.HydrateOptions{Manifest: m})
	require.NoError(t, err)
	assert.Equal(t, "./a b/c/models/f\n./a b/c/new\n./a b/new\n./data/f\n./new\n", output(t, sb, "cd /tmp/w; find . -type f | sort"))
	for _, name := range []string{"data", "data/f", "a b", "a b/c/models/x"} {
		_, err = workspace.Hydrate(t.Context(), sb, bytes.NewReader(packed(t, false, name, "x")), &workspace.HydrateOptions{Manifest: m})
		require.ErrorIs(t, err, compute.ErrConflict, name)
	}
	x, err := workspace.TakeIndex(t.Context(), sb, m)
	require.NoError(t, err)
	assert.Equal(t, []string{"a b", "a b/c", "a b/c/new", "a b/new", "new"}, paths(x))
	none(t, sb)
}

func TestHydrateOneAtATime(t *testing.T) {
	sb := computetest.NewSandbox(t, newStub(t), nil)
	output(t, sb, "mkdir .compute-workspace-lock; echo old >f")
	_, err := workspace.Hydrate(t.Context(), sb, bytes.NewReader(packed(t, false, "f", "new")), nil)
	require.ErrorIs(t, err, compute.ErrConflict)
	assert.Equal(t, "old\n", output(t, sb, "cat f"))
	none(t, sb)
}

func TestDiff(t *testing.T) {
	file := func(path, sum string, mode fs.FileMode) workspace.IndexEntry {
		return workspace.IndexEntry{Path: path, Mode: mode, SHA256: sum}
	}
	a := &workspace.Index{Entries: []workspace.IndexEntry{file("a", "1", 0o644), file("b", "1", 0o644), file("c", "1", 0o644), file("gone", "", 0o644), file("same", "1", 0o644)}}
	b := &workspace.Index{Entries: []workspace.IndexEntry{file("new", "", 0o644), file("same", "1", 0o644), file("a", "2", 0o600), file("b", "1", 0o600), {Path: "c", Mode: fs.ModeDir | 0o755}}}
	assert.Equal(t, []workspace.Change{{Path: "a", Kind: workspace.Changed}, {Path: "b", Kind: workspace.Chmoded}, {Path: "c", Kind: workspace.Retyped},
		{Path: "gone", Kind: workspace.Removed}, {Path: "new", Kind: workspace.Added}}, workspace.Diff(a, b))
	assert.Empty(t, workspace.Diff(a, a))
	assert.Len(t, workspace.Diff(nil, a), 5)
	assert.NotEqual(t, a.Fingerprint(), b.Fingerprint())
	assert.Equal(t, (*workspace.Index)(nil).Fingerprint(), (&workspace.Index{}).Fingerprint())
}
