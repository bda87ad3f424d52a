package computetest

import (
	"context"
	"io/fs"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// run runs a command that must have a result.
func (t *tester) run(sb compute.Runner, cmd *compute.Command) *compute.Result {
	t.Helper()
	res, err := sb.RunCommand(t.ctx(), cmd)
	require.NoError(t, err, "RunCommand")
	require.NotNil(t, res, "RunCommand returned neither result nor error")
	return res
}

// out runs a command that must succeed and returns what it printed.
func (t *tester) out(sb compute.Runner, cmd *compute.Command) string {
	t.Helper()
	res := t.run(sb, cmd)
	require.NoError(t, res.Err())
	return res.Stdout
}

func (t *tester) sh(sb compute.Runner, script string) string {
	t.Helper()
	t.needShell()
	return t.out(sb, compute.Shell(script))
}

func (t *tester) write(sb compute.Sandbox, name, data string) {
	t.Helper()
	require.NoError(t, sb.Filesystem().WriteFile(t.ctx(), name, []byte(data), 0o644), "WriteFile %q", name)
}

func (t *tester) read(sb compute.Sandbox, name string) string {
	t.Helper()
	data, err := sb.Filesystem().ReadFile(t.ctx(), name)
	require.NoError(t, err, "ReadFile %q", name)
	return string(data)
}

func (t *tester) mkdir(sb compute.Sandbox, name string) {
	t.Helper()
	require.NoError(t, sb.Filesystem().MkdirAll(t.ctx(), name, 0o755), "MkdirAll %q", name)
}

func (t *tester) stat(sb compute.Sandbox, name string) fs.FileInfo {
	t.Helper()
	info, err := sb.Filesystem().Stat(t.ctx(), name)
	require.NoError(t, err, "Stat %q", name)
	return info
}

func (t *tester) exists(sb compute.Sandbox, name string) bool {
	t.Helper()
	ok, err := compute.Exists(t.ctx(), sb.Filesystem(), name)
	require.NoError(t, err, "Exists %q", name)
	return ok
}

// here returns the absolute name of the default working directory.
func (t *tester) here(sb compute.Sandbox) string {
	t.Helper()
	return trimLine(t.out(sb, compute.Exec("pwd")))
}

func trimLine(s string) string {
	if n := len(s); n > 0 && s[n-1] == '\n' {
		return s[:n-1]
	}
	return s
}

// beat is a loop that shows in a file that it is alive.
const beat = "while :; do echo >> beat; sleep 0.02; done"

// cut runs a script until the loop in it beats, ends its context, and returns
// what came of it.
func (t *tester) cut(sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.ctx())
	defer cancel()
	ended := t.beside(ctx, sb, cmd)
	t.eventually("the command beats", func() bool { return t.exists(sb, "beat") })
	cancel()
	return t.await(ended)
}

type outcome struct {
	res *compute.Result
	err error
}

// beside runs cmd beside the check.
func (t *tester) beside(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) <-chan outcome {
	ended := make(chan outcome, 1)
	go func() {
		var o outcome
		o.err = caught(func() (err error) {
			o.res, err = sb.RunCommand(ctx, cmd)
			return err
		})
		ended <- o
	}()
	return ended
}

func (t *tester) await(ended <-chan outcome) (*compute.Result, error) {
	t.Helper()
	select {
	case o := <-ended:
		return o.res, o.err
	case <-time.After(t.slow(patience / 4)):
		require.Fail(t, "RunCommand does not return")
		return nil, nil
	}
}

// requireQuiet fails if something still beats after a fair time to die.
func (t *tester) requireQuiet(sb compute.Sandbox) {
	t.Helper()
	assert.True(t, t.within(second, func() bool {
		before := t.stat(sb, "beat").Size()
		time.Sleep(t.slow(quiet))
		return t.stat(sb, "beat").Size() == before
	}), "a process that should have been killed lives on")
}
