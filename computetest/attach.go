package computetest

import (
	"context"
	"errors"
	"io"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// attach joins in while the process runs, and gets the beginning too.
func attach(t *tester) {
	sb, out, errs := t.sandbox(nil), &buffer{}, &buffer{}
	p := t.startShell(sb, "echo early; echo > ready; while [ ! -e go ]; do sleep 0.02; done; echo late; echo err >&2")
	t.eventually("the beginning is over", func() bool { return t.exists(sb, "ready") })
	ctx, ended := t.ctx(), make(chan error, 1)
	go func() { ended <- p.Attach(ctx, out, errs) }()
	t.eventually("the beginning is delivered", func() bool { return out.String() == "early\n" })
	t.write(sb, "go", "")
	require.NoError(t, <-ended, "Attach")
	assert.Equal(t, "early\nlate\n", out.String())
	assert.Equal(t, "err\n", errs.String())
}

func attachLate(t *tester) {
	sb, out := t.sandbox(nil), &buffer{}
	p := t.start(sb, compute.Exec("echo", "kept"))
	t.wait(p)
	for range 2 {
		err := p.Attach(t.ctx(), out, nil)
		if !errors.Is(err, compute.ErrTruncated) {
			require.NoError(t, err, "Attach")
		}
	}
	assert.Equal(t, "kept\nkept\n", out.String(), "what the provider has kept")
}

func attachGivenUp(t *tester) {
	sb := t.sandbox(nil)
	p := t.startShell(sb, beat)
	assert.ErrorIs(t, p.Attach(t.timeout(t.slow(quiet)), io.Discard, io.Discard), context.DeadlineExceeded)
	info, err := p.Info(t.ctx())
	require.NoError(t, err, "Info")
	assert.True(t, info.Running, "the process runs on")
	require.NoError(t, p.Kill(t.ctx()), "Kill")
}

// processFound goes through a second handle of the sandbox, as another
// program would.
func processFound(t *tester) {
	sb := t.sandbox(nil)
	p := t.startShell(sb, "echo out; while [ ! -e go ]; do sleep 0.02; done; exit 4")
	again, err := t.c.GetSandbox(t.ctx(), sb.ID())
	require.NoError(t, err, "GetSandbox")
	q, err := compute.GetProcess(t.ctx(), again, p.ID())
	t.able("ProcessGetter", err)
	assert.Equal(t, p.ID(), q.ID())
	t.write(sb, "go", "")
	res := t.wait(q)
	assert.Equal(t, 4, res.ExitCode)
	if !res.Truncated {
		assert.Equal(t, "out\n", res.Stdout)
	}
	q, err = compute.GetProcess(t.ctx(), again, p.ID())
	require.NoError(t, err, "GetProcess of what has ended")
	require.NoError(t, q.Kill(t.ctx()), "Kill of what has ended")
}

func processListed(t *tester) {
	sb := t.sandbox(nil)
	first, second := t.start(sb, compute.Exec("sleep", "60")), t.start(sb, compute.Exec("sleep", "61"))
	require.NoError(t, first.Kill(t.ctx()), "Kill")
	t.wait(first)
	found, err := compute.Collect(compute.ListProcesses(t.ctx(), sb), 0)
	t.able("ProcessLister", err)
	require.NotEmpty(t, found)
	assert.Equal(t, second.ID(), found[0].ID, "newest first")
	assert.True(t, found[0].Running)
	assert.Equal(t, []string{"sleep", "61"}, found[0].Args)
	for _, info := range found[1:] {
		assert.False(t, info.Running, "process %s has ended", info.ID)
	}
	require.NoError(t, second.Kill(t.ctx()), "Kill")
}

func processFailures(t *tester) {
	sb := t.sandbox(nil)
	for what, cmd := range map[string]*compute.Command{"nil": nil, "empty": {}, "nul": compute.Exec("\x00")} {
		_, err := compute.Start(t.ctx(), sb, cmd)
		assert.ErrorIs(t, err, compute.ErrInvalid, what)
	}
	cmd := compute.Exec("true")
	cmd.Dir = "no-such-dir"
	p, err := compute.Start(t.ctx(), sb, cmd)
	if err == nil { // it may come out at the start, or at the end
		_, err = p.Wait(t.ctx())
	}
	if !t.lacks(err) {
		assert.Error(t, err, "a directory that does not exist")
	}
}

func processNotFound(t *tester) {
	p, err := compute.Start(t.ctx(), t.sandbox(nil), compute.Exec("no-such-program-42"))
	t.able("Starter", err)
	assert.Equal(t, 127, t.wait(p).ExitCode)
}

func processDirEnv(t *tester) {
	sb := t.sandbox(nil)
	t.mkdir(sb, "it's")
	cmd := compute.Exec("sh", "-c", `echo "$V"; pwd`)
	cmd.Dir, cmd.Env = "it's", map[string]string{"V": "$(x)"}
	assert.Equal(t, "$(x)\n"+t.here(sb)+"/it's\n", t.wait(t.start(sb, cmd)).Stdout)
}

func destroyEndsProcess(t *tester) {
	sb := t.sandbox(nil)
	p := t.start(sb, compute.Exec("sleep", "60"))
	require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
	_, err := p.Info(t.ctx())
	assert.ErrorIs(t, err, compute.ErrNotFound, "a process of a sandbox that is gone")
}
