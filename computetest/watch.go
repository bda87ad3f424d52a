package computetest

import (
	"context"
	"io/fs"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var watch = group{"Watch", []check{
	{"Changes", watchChanges},
	{"EndsWithContext", watchEnds},
	{"NotThere", watchNothing},
}}

// watched turns a watch on, or skips the check.
func (t *tester) watched(ctx context.Context, sb compute.Sandbox, dir string) func() (compute.FileEvent, error, bool) {
	t.Helper()
	seq, err := compute.WatchFiles(ctx, sb.Filesystem(), dir)
	t.able("FileWatcher", err)
	return pulled(t, seq)
}

// await pulls events until one is about the name.
func awaitEvent(t *tester, next func() (compute.FileEvent, error, bool), typ compute.FileEventType, name string) {
	t.Helper()
	for {
		e, err, ok := next()
		require.NoError(t, err, "no event that says that %s was %s", name, typ)
		require.True(t, ok, "no event that says that %s was %s", name, typ)
		if e.Type == typ && e.Name == name {
			return
		}
	}
}

func watchChanges(t *tester) {
	sb := t.sandbox(nil)
	here := t.here(sb)
	t.mkdir(sb, "dir/sub")
	next := t.watched(t.ctx(), sb, "dir")
	t.write(sb, "dir/it's", "a")
	awaitEvent(t, next, compute.FileCreated, here+"/dir/it's")
	t.write(sb, "dir/sub/f", "b")
	awaitEvent(t, next, compute.FileCreated, here+"/dir/sub/f")
	if !t.cfg.NoShell {
		t.sh(sb, "echo more >> dir/sub/f")
		awaitEvent(t, next, compute.FileWritten, here+"/dir/sub/f")
	}
	require.NoError(t, sb.Filesystem().RemoveAll(t.ctx(), "dir/it's"), "RemoveAll")
	awaitEvent(t, next, compute.FileRemoved, here+"/dir/it's")
}

func watchEnds(t *tester) {
	sb := t.sandbox(nil)
	t.mkdir(sb, "dir")
	ctx, cancel := context.WithCancel(t.ctx())
	defer cancel()
	next := t.watched(ctx, sb, "dir")
	cancel()
	for {
		_, err, ok := next()
		if err != nil {
			assert.ErrorIs(t, err, context.Canceled, "a watch ends with its context's error")
		}
		if !ok || err != nil {
			assert.Error(t, err, "a watch ends with its context's error")
			return
		}
	}
}

func watchNothing(t *tester) {
	_, err := compute.WatchFiles(t.ctx(), t.sandbox(nil).Filesystem(), "none")
	if !t.lacks(err) {
		assert.ErrorIs(t, err, fs.ErrNotExist, "watching what is not there")
	}
}
