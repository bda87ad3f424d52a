package computetest

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var contextTimeout = group{"TheContextIsTheOnlyTimeout", []check{
	{"NilStdinIsClosed", nilStdin},
	{"StdinEnds", stdinEnds},
	{"StdinThatIsNotRead", stdinNotRead},
	{"StdinThatBlocks", stdinBlocks},
	{"StdinThatFails", stdinFails},
	{"WriterThatFails", writerFails},
	{"DeadlineEndsCommand", deadline},
	{"DeadContextRunsNothing", deadCommand},
	{"DeadContextTouchesNoFile", deadFiles},
	{"DeadContextAsksNothing", deadQuestions},
	{"NothingElseEndsCommand", noOtherTimeout},
}}

// nilStdin hangs if the input is left open.
func nilStdin(t *tester) {
	sb := t.sandbox(nil)
	res, err := t.await(t.beside(t.ctx(), sb, compute.Exec("cat")))
	require.NoError(t, err, "RunCommand")
	assert.Empty(t, res.Stdout)
	if t.cfg.NoShell {
		return
	}
	res, err = t.await(t.beside(t.ctx(), sb, compute.Shell("cat; echo end")))
	require.NoError(t, err, "RunCommand")
	assert.Equal(t, "end\n", res.Stdout)
}

func stdinEnds(t *tester) {
	t.needShell()
	cmd := compute.Shell(`while read -r line; do echo "<$line>"; done; echo end`)
	cmd.Stdin = strings.NewReader("a\nb\n")
	res, err := t.await(t.beside(t.ctx(), t.sandbox(nil), cmd))
	require.NoError(t, err, "RunCommand")
	assert.Equal(t, "<a>\n<b>\nend\n", res.Stdout)
}

func stdinNotRead(t *tester) {
	cmd := compute.Exec("true")
	cmd.Stdin = strings.NewReader(strings.Repeat("x", 1<<20))
	res, err := t.await(t.beside(t.ctx(), t.sandbox(nil), cmd))
	require.NoError(t, err, "a command need not read its input")
	assert.Zero(t, res.ExitCode)
}

// stdinBlocks holds up nothing but itself; the check lets go of it at its end,
// so that no goroutine stays.
func stdinBlocks(t *tester) {
	sb, release := t.sandbox(nil), make(chan struct{})
	t.Cleanup(func() { close(release) })
	cmd := compute.Exec("echo", "done")
	cmd.Stdin = readerFunc(func([]byte) (int, error) { <-release; return 0, io.EOF })
	res, err := t.await(t.beside(t.ctx(), sb, cmd))
	require.NoError(t, err, "RunCommand")
	assert.Equal(t, "done\n", res.Stdout)
}

// stdinFails: half an input must not pass for a whole one.
func stdinFails(t *tester) {
	boom := errors.New("boom")
	cmd := compute.Exec("cat")
	cmd.Stdin = io.MultiReader(strings.NewReader("half"), readerFunc(func([]byte) (int, error) { return 0, boom }))
	_, err := t.await(t.beside(t.ctx(), t.sandbox(nil), cmd))
	assert.ErrorIs(t, err, boom, "the failure of Stdin")
}

func writerFails(t *tester) {
	t.needShell()
	sb, boom := t.sandbox(nil), errors.New("boom")
	fail := writerFunc(func([]byte) (int, error) { return 0, boom })
	for _, script := range []string{"echo out; " + beat, "echo err >&2; " + beat} {
		cmd := compute.Shell(script)
		cmd.Stdout, cmd.Stderr = fail, fail
		_, err := t.await(t.beside(t.ctx(), sb, cmd))
		assert.ErrorIs(t, err, boom, "the failure of a writer")
		t.write(sb, "beat", "")
		t.requireQuiet(sb)
	}
}

func deadline(t *tester) {
	sb := t.sandbox(nil)
	ctx, start := t.timeout(t.slow(quiet)), time.Now()
	res, err := t.await(t.beside(ctx, sb, compute.Exec("sleep", "60")))
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.NotErrorIs(t, err, compute.ErrNotFound)
	assert.Less(t, time.Since(start), t.slow(2*second), "RunCommand returned late")
	if res != nil {
		assert.Equal(t, -1, res.ExitCode)
	}
}

func deadCommand(t *tester) {
	sb := t.sandbox(nil)
	_, err := sb.RunCommand(t.dead(), compute.Exec("sh", "-c", "echo > ran"))
	assert.ErrorIs(t, err, context.Canceled)
	time.Sleep(t.slow(quiet / 3))
	assert.False(t, t.exists(sb, "ran"), "a command ran whose context was over")
}

func deadFiles(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "f", "old")
	fsys, dead := sb.Filesystem(), t.dead()
	_, rerr := fsys.ReadFile(dead, "f")
	_, derr := fsys.ReadDir(dead, ".")
	_, serr := fsys.Stat(dead, "f")
	for name, err := range map[string]error{
		"ReadFile": rerr, "ReadDir": derr, "Stat": serr,
		"WriteFile": fsys.WriteFile(dead, "f", []byte("new"), 0o644),
		"MkdirAll":  fsys.MkdirAll(dead, "made", 0o755),
		"RemoveAll": fsys.RemoveAll(dead, "f"),
	} {
		assert.ErrorIs(t, err, context.Canceled, name)
		assert.False(t, isAny(err, compute.ErrNotFound), "%s: %v", name, err)
	}
	assert.Equal(t, "old", t.read(sb, "f"), "a file changed under a context that was over")
	assert.False(t, t.exists(sb, "made"), "a directory came under a context that was over")
}

// deadQuestions: not being able to ask is not "not found", and no empty list.
func deadQuestions(t *tester) {
	sb, dead := t.sandbox(nil), t.dead()
	_, gerr := t.c.GetSandbox(dead, sb.ID())
	_, ierr := sb.Info(dead)
	found, lerr := compute.Collect(t.c.ListSandboxes(dead, t.labelFilter()), 0)
	for name, err := range map[string]error{"GetSandbox": gerr, "Info": ierr, "ListSandboxes": lerr} {
		assert.ErrorIs(t, err, context.Canceled, name)
		assert.NotErrorIs(t, err, compute.ErrNotFound, name)
	}
	assert.Empty(t, found)
	if _, err := sb.GetURL(dead, 8080); !t.lacks(err) {
		assert.Error(t, err, "GetURL")
	}
}

// noOtherTimeout runs as long as the suite can afford.
func noOtherTimeout(t *tester) {
	t.needShell()
	assert.Equal(t, "end\n", t.sh(t.sandbox(nil), "sleep 0.7; echo end"))
}
