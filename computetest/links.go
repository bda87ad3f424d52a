package computetest

import (
	"io/fs"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var links = group{"Links", []check{
	{"AreFollowed", linksFollowed},
	{"AreDescribedByReadDir", linksDescribed},
	{"AreRemovedNotFollowed", linksRemoved},
	{"StayInside", linksStayInside},
	{"InALoop", linksLoop},
	{"ThatLeadNowhere", linksDangling},
}}

// linked is a sandbox with a file, a directory, and a link to each.
func (t *tester) linked() compute.Sandbox {
	t.Helper()
	sb := t.sandbox(nil)
	t.write(sb, "dir/f", "the file")
	t.out(sb, compute.Exec("ln", "-s", "dir/f", "to-file"))
	t.out(sb, compute.Exec("ln", "-s", "dir", "to-dir"))
	return sb
}

func linksFollowed(t *tester) {
	sb := t.linked()
	assert.Equal(t, "the file", t.read(sb, "to-file"))
	assert.Equal(t, "the file", t.read(sb, "to-dir/f"))
	assert.True(t, t.stat(sb, "to-file").Mode().IsRegular(), "Stat describes what a link leads to")
	assert.True(t, t.stat(sb, "to-dir").IsDir(), "Stat describes what a link leads to")
	assert.Equal(t, []string{"f"}, t.names(sb, "to-dir"))
	t.write(sb, "to-dir/g", "through")
	assert.Equal(t, "through", t.read(sb, "dir/g"))
}

func linksDescribed(t *tester) {
	sb := t.linked()
	infos, err := sb.Filesystem().ReadDir(t.ctx(), ".")
	require.NoError(t, err, "ReadDir")
	found := 0
	for _, info := range infos {
		if info.Name() == "to-file" || info.Name() == "to-dir" {
			found++
			assert.Equal(t, fs.ModeSymlink, info.Mode().Type(), info.Name())
		}
	}
	assert.Equal(t, 2, found)
}

func linksRemoved(t *tester) {
	sb := t.linked()
	for _, name := range []string{"to-file", "to-dir"} {
		require.NoError(t, sb.Filesystem().RemoveAll(t.ctx(), name), "RemoveAll")
		assert.False(t, t.exists(sb, name))
	}
	assert.Equal(t, "the file", t.read(sb, "dir/f"))
	t.mkdir(sb, "tree")
	t.out(sb, compute.Exec("ln", "-s", "../dir", "tree/link"))
	require.NoError(t, sb.Filesystem().RemoveAll(t.ctx(), "tree"), "RemoveAll")
	assert.Equal(t, "the file", t.read(sb, "dir/f"), "RemoveAll went through a link")
}

// linksStayInside: an absolute link, or one with too many "..", leads to the
// sandbox's own root.
func linksStayInside(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "/tmp/computetest-target", "inside")
	for _, target := range []string{"/tmp/computetest-target", "../../../../../../../../../../tmp/computetest-target"} {
		t.out(sb, compute.Exec("ln", "-sf", target, "link"))
		assert.Equal(t, "inside", t.read(sb, "link"), "a link to %s", target)
		assert.Equal(t, "inside", t.out(sb, compute.Exec("cat", "link")), "a link to %s, as a command sees it", target)
	}
	require.NoError(t, sb.Filesystem().RemoveAll(t.ctx(), "/tmp/computetest-target"), "RemoveAll")
}

func linksLoop(t *tester) {
	sb := t.sandbox(nil)
	t.out(sb, compute.Exec("ln", "-s", "loop", "loop"))
	_, err := sb.Filesystem().ReadFile(t.ctx(), "loop")
	assert.Error(t, err, "a link to itself")
	require.NoError(t, sb.Filesystem().RemoveAll(t.ctx(), "loop"), "RemoveAll")
	assert.NotContains(t, t.names(sb, "."), "loop")
}

func linksDangling(t *tester) {
	sb := t.sandbox(nil)
	t.out(sb, compute.Exec("ln", "-s", "nowhere", "link"))
	_, err := sb.Filesystem().Stat(t.ctx(), "link")
	t.requirePath("Stat", err, fs.ErrNotExist)
	require.NoError(t, sb.Filesystem().RemoveAll(t.ctx(), "link"), "RemoveAll")
	assert.NotContains(t, t.names(sb, "."), "link")
}
