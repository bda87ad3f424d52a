package computetest

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var files = group{"Files", []check{
	{"WriteReplaces", writeReplaces},
	{"WriteMakesDirectories", writeMakesDirs},
	{"FailedWriteKeepsOldFile", failedWrite},
	{"ReadDirIsSorted", readDirSorted},
	{"StatDescribes", statDescribes},
	{"MkdirAllIsIdempotent", mkdirIdempotent},
	{"RemoveAllIsIdempotent", removeIdempotent},
	{"RemoveAllRefuses", removeRefuses},
	{"SeenByCommands", seenByCommands},
	{"Replace", replaceOnce},
	{"Copies", fileCopies},
}}

func writeReplaces(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "f", "a long first version")
	t.write(sb, "f", "short")
	assert.Equal(t, "short", t.read(sb, "f"))
	assert.EqualValues(t, 5, t.stat(sb, "f").Size())
}

func writeMakesDirs(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "a/b/c/f", "deep")
	assert.Equal(t, "deep", t.read(sb, "a/b/c/f"))
	assert.True(t, t.stat(sb, "a/b").IsDir())
}

// failedWrite: a directory in the way of a directory, or of the file.
func failedWrite(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "f", "old")
	t.mkdir(sb, "d")
	fsys := sb.Filesystem()
	assert.Error(t, fsys.WriteFile(t.ctx(), "f/below", nil, 0o644), "a file below a file")
	assert.Error(t, fsys.WriteFile(t.ctx(), "d", nil, 0o644), "a file in place of a directory")
	assert.Error(t, fsys.WriteFile(t.ctx(), "f/", nil, 0o644), "a file with a slash behind")
	assert.Equal(t, "old", t.read(sb, "f"))
	assert.Empty(t, t.names(sb, "d"))
	assert.Equal(t, []string{"d", "f"}, t.namesHere(sb))
}

// namesHere lists the working directory without what a provider keeps there
// from the beginning.
func (t *tester) namesHere(sb compute.Sandbox) []string {
	t.Helper()
	fresh := t.names(t.sandbox(nil), ".")
	var own []string
	for _, name := range t.names(sb, ".") {
		if !contains(fresh, name) {
			own = append(own, name)
		}
	}
	return own
}

func readDirSorted(t *tester) {
	sb := t.sandbox(nil)
	for _, name := range []string{"b", "a", "B", "a.b", "a-b", ".hidden", "10", "9", "é"} {
		t.write(sb, "dir/"+name, name)
	}
	t.mkdir(sb, "dir/sub/below")
	assert.Equal(t, []string{".hidden", "10", "9", "B", "a", "a-b", "a.b", "b", "sub", "é"}, t.names(sb, "dir"))
	t.mkdir(sb, "empty")
	assert.Empty(t, t.names(sb, "empty"))
}

func statDescribes(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "dir/f", "12345")
	infos, err := sb.Filesystem().ReadDir(t.ctx(), "dir")
	require.NoError(t, err, "ReadDir")
	require.Len(t, infos, 1)
	for what, info := range map[string]fs.FileInfo{"Stat": t.stat(sb, "dir/f"), "ReadDir": infos[0]} {
		assert.Equal(t, "f", info.Name(), what)
		assert.EqualValues(t, 5, info.Size(), what)
		assert.Equal(t, fs.FileMode(0o644), info.Mode(), what)
		assert.False(t, info.IsDir(), what)
		assert.False(t, info.ModTime().IsZero(), what)
	}
	for _, name := range []string{"dir", "dir/", "./dir", "dir/../dir", "/"} {
		assert.True(t, t.stat(sb, name).IsDir(), name)
	}
}

func mkdirIdempotent(t *tester) {
	sb := t.sandbox(nil)
	for range 2 {
		t.mkdir(sb, "a/b")
	}
	t.write(sb, "a/b/f", "kept")
	t.mkdir(sb, "a/b")
	assert.Equal(t, "kept", t.read(sb, "a/b/f"))
	assert.Equal(t, fs.FileMode(0o755), t.stat(sb, "a").Mode().Perm())
	assert.Error(t, sb.Filesystem().MkdirAll(t.ctx(), "a/b/f", 0o755), "a directory in place of a file")
	assert.Error(t, sb.Filesystem().MkdirAll(t.ctx(), "a/b/f/g", 0o755), "a directory below a file")
}

func removeIdempotent(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "a/b/f", "")
	t.write(sb, "ab", "another")
	for _, name := range []string{"a", "a", "never/was"} {
		require.NoError(t, sb.Filesystem().RemoveAll(t.ctx(), name), "RemoveAll %q", name)
	}
	assert.False(t, t.exists(sb, "a"))
	assert.Equal(t, "another", t.read(sb, "ab"))
}

func removeRefuses(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "f", "kept")
	t.write(sb, "/tmp/computetest-kept", "kept")
	here := t.here(sb)
	for _, name := range []string{"", "/", ".", "..", "./", "//", "/.", "/..", "x/..", "./.", here, here + "/"} {
		assert.Error(t, sb.Filesystem().RemoveAll(t.ctx(), name), "RemoveAll(%q) is refused", name)
	}
	assert.Equal(t, "kept", t.read(sb, "f"))
	assert.Equal(t, "kept", t.read(sb, "/tmp/computetest-kept"))
	// Where absolute names are not the sandbox's own, it would stay.
	require.NoError(t, sb.Filesystem().RemoveAll(t.ctx(), "/tmp/computetest-kept"), "RemoveAll")
}

func seenByCommands(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	t.write(sb, "in", "from outside")
	assert.Equal(t, "from outside", t.sh(sb, "cat in; printf 'from inside' > out; mkdir d; printf x > d/f"))
	assert.Equal(t, "from inside", t.read(sb, "out"))
	assert.Equal(t, []string{"f"}, t.names(sb, "d"))
	require.NoError(t, sb.Filesystem().RemoveAll(t.ctx(), "d"), "RemoveAll")
	assert.Equal(t, "gone\n", t.sh(sb, "test -e d || echo gone"))
}

func replaceOnce(t *tester) {
	sb := t.sandbox(nil)
	fsys := sb.Filesystem()
	require.NoError(t, fsys.WriteFile(t.ctx(), "f", []byte("one two two"), 0o640), "WriteFile")
	require.NoError(t, compute.Replace(t.ctx(), fsys, "f", "one", "it's $1"), "Replace")
	assert.Equal(t, "it's $1 two two", t.read(sb, "f"))
	assert.Equal(t, fs.FileMode(0o640), t.stat(sb, "f").Mode())
	for _, old := range []string{"two", "none"} {
		assert.ErrorIs(t, compute.Replace(t.ctx(), fsys, "f", old, "x"), compute.ErrConflict, "replacing %q", old)
	}
	assert.Equal(t, "it's $1 two two", t.read(sb, "f"))
}

// fileCopies: what is written is not kept, and what is read is the caller's.
func fileCopies(t *tester) {
	sb, data := t.sandbox(nil), []byte("data")
	require.NoError(t, sb.Filesystem().WriteFile(t.ctx(), "f", data, 0o644), "WriteFile")
	data[0] = 'X'
	got, err := sb.Filesystem().ReadFile(t.ctx(), "f")
	require.NoError(t, err, "ReadFile")
	assert.Equal(t, "data", string(got), "WriteFile kept its caller's bytes")
	got[0] = 'Y'
	assert.Equal(t, "data", t.read(sb, "f"), "ReadFile handed out its own bytes")
}

// requirePath wants an error about a name, as package io/fs has them.
func (t *tester) requirePath(what string, err, kind error) {
	t.Helper()
	_, ok := errors.AsType[*fs.PathError](err)
	assert.True(t, ok, "%s: error is a %T (%v); want a *fs.PathError", what, err, err)
	assert.ErrorIs(t, err, kind, what)
	assert.NotErrorIs(t, err, compute.ErrNotFound, "%s: the sandbox is there", what)
}

func fileErrors(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "f", "")
	t.mkdir(sb, "d")
	for name, kind := range map[string]error{"none": fs.ErrNotExist, "d/none": fs.ErrNotExist, "none/none": fs.ErrNotExist,
		"": fs.ErrInvalid, "\x00": fs.ErrInvalid, "f\x00": fs.ErrInvalid} {
		t.requireFileErrors(sb.Filesystem(), name, kind)
	}
	_, err := sb.Filesystem().ReadFile(t.ctx(), "d")
	assert.Error(t, err, "reading a directory")
	_, err = sb.Filesystem().ReadDir(t.ctx(), "f")
	assert.Error(t, err, "listing a file")
	_, err = sb.Filesystem().Stat(t.ctx(), "f/below")
	assert.Error(t, err, "a name below a file")
}

// requireFileErrors asks for name in every way; only an invalid one cannot be
// written or removed.
func (t *tester) requireFileErrors(fsys compute.Filesystem, name string, kind error) {
	t.Helper()
	ctx := t.ctx()
	_, rerr := fsys.ReadFile(ctx, name)
	_, serr := fsys.Stat(ctx, name)
	_, derr := fsys.ReadDir(ctx, name)
	_, oerr := compute.OpenFile(ctx, fsys, name)
	errs := map[string]error{"ReadFile": rerr, "Stat": serr, "ReadDir": derr, "OpenFile": oerr}
	if strings.Contains(name, "\x00") || name == "" {
		errs["WriteFile"] = fsys.WriteFile(ctx, name, nil, 0o644)
		errs["MkdirAll"] = fsys.MkdirAll(ctx, name, 0o755)
		errs["RemoveAll"] = fsys.RemoveAll(ctx, name)
	}
	for what, err := range errs {
		t.requirePath(what+" "+strings.ReplaceAll(name, "\x00", "NUL"), err, kind)
	}
}
