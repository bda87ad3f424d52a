package computetest

import (
	"context"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var processes = group{"Processes", []check{
	{"StartAndWait", startAndWait},
	{"ReturnsWithoutWaiting", startReturns},
	{"Info", processInfo},
	{"ContextCoversTheStartOnly", startContext},
	{"DeadContext", startDead},
	{"WaitAgain", waitAgain},
	{"WaitGivenUp", waitGivenUp},
	{"Kill", killProcess},
	{"KillsChildren", killChildren},
	{"Signal", signalProcess},
	{"SignalOfEnded", signalEnded},
	{"Writers", processWriters},
	{"Attach", attach},
	{"AttachAfterTheEnd", attachLate},
	{"AttachGivenUp", attachGivenUp},
	{"FoundAgain", processFound},
	{"Listed", processListed},
	{"Failures", processFailures},
	{"NotFound", processNotFound},
	{"DirAndEnv", processDirEnv},
	{"DestroyEndsThem", destroyEndsProcess},
}}

// start starts a command, or skips the check where that is not possible.
func (t *tester) start(sb compute.Sandbox, cmd *compute.Command) compute.Process {
	t.Helper()
	p, err := compute.Start(t.ctx(), sb, cmd)
	t.able("Starter", err)
	require.NotNil(t, p, "Start returned neither process nor error")
	return p
}

// startShell starts a script.
func (t *tester) startShell(sb compute.Sandbox, script string) compute.Process {
	t.Helper()
	t.needShell()
	return t.start(sb, compute.Shell(script))
}

func (t *tester) wait(p compute.Process) *compute.Result {
	t.Helper()
	res, err := p.Wait(t.ctx())
	require.NoError(t, err, "Wait")
	require.NotNil(t, res, "Wait returned neither result nor error")
	return res
}

func startAndWait(t *tester) {
	sb := t.sandbox(nil)
	assert.NotEmpty(t, t.start(sb, compute.Exec("true")).ID())
	res := t.wait(t.startShell(sb, "echo out; echo err >&2; exit 3"))
	assert.Equal(t, "out\n", res.Stdout)
	assert.Equal(t, "err\n", res.Stderr)
	assert.Equal(t, 3, res.ExitCode)
	assert.False(t, res.Truncated)
}

func startReturns(t *tester) {
	sb := t.sandbox(nil)
	begin := time.Now()
	p := t.start(sb, compute.Exec("sleep", "60"))
	assert.Less(t, time.Since(begin), t.slow(patience), "Start waited")
	require.NoError(t, p.Kill(t.ctx()), "Kill")
}

func processInfo(t *tester) {
	sb := t.sandbox(nil)
	p := t.startShell(sb, "while [ ! -e go ]; do sleep 0.02; done; exit 3")
	info, err := p.Info(t.ctx())
	require.NoError(t, err, "Info")
	assert.Equal(t, p.ID(), info.ID)
	assert.True(t, info.Running)
	assert.Contains(t, info.Script, "while [")
	assert.True(t, info.Ended.IsZero(), "Ended of what runs")
	assert.WithinDuration(t, time.Now(), info.Started, t.slow(clocks))
	t.write(sb, "go", "")
	t.wait(p)
	info, err = p.Info(t.ctx())
	require.NoError(t, err, "Info")
	assert.False(t, info.Running)
	assert.Equal(t, 3, info.ExitCode)
	assert.False(t, info.Ended.Before(info.Started), "Ended")
	q := t.start(sb, compute.Exec("echo", "it's"))
	info, err = q.Info(t.ctx())
	require.NoError(t, err, "Info")
	assert.Equal(t, []string{"echo", "it's"}, info.Args)
	assert.NotEqual(t, p.ID(), q.ID())
}

func startContext(t *tester) {
	sb := t.sandbox(nil)
	t.needShell()
	ctx, cancel := context.WithCancel(t.ctx())
	p, err := compute.Start(ctx, sb, compute.Shell("while [ ! -e go ]; do sleep 0.02; done; echo lived"))
	cancel()
	t.able("Starter", err)
	time.Sleep(t.slow(quiet / 3))
	t.write(sb, "go", "")
	assert.Equal(t, "lived\n", t.wait(p).Stdout, "the process ended with the context of its start")
}

func startDead(t *tester) {
	sb := t.sandbox(nil)
	_, err := compute.Start(t.dead(), sb, compute.Exec("sh", "-c", "echo > ran"))
	if t.lacks(err) {
		t.Skip("no Starter")
	}
	assert.ErrorIs(t, err, context.Canceled)
	time.Sleep(t.slow(quiet / 3))
	assert.False(t, t.exists(sb, "ran"), "a process ran whose context was over")
}

func waitAgain(t *tester) {
	p := t.start(t.sandbox(nil), compute.Exec("echo", "once"))
	for range 2 {
		assert.Equal(t, "once\n", t.wait(p).Stdout)
	}
	ctx := t.ctx()
	require.NoError(t, all(4, func(int) error { _, err := p.Wait(ctx); return err }), "Wait at once")
}

func waitGivenUp(t *tester) {
	sb := t.sandbox(nil)
	p := t.startShell(sb, beat)
	_, err := p.Wait(t.timeout(t.slow(quiet)))
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	t.eventually("the process runs", func() bool { return t.exists(sb, "beat") })
	before := t.stat(sb, "beat").Size()
	t.eventually("the process runs on", func() bool { return t.stat(sb, "beat").Size() > before })
	require.NoError(t, p.Kill(t.ctx()), "Kill")
}

func killProcess(t *tester) {
	p := t.start(t.sandbox(nil), compute.Exec("sleep", "60"))
	for range 2 {
		require.NoError(t, p.Kill(t.ctx()), "Kill is idempotent")
	}
	res := t.wait(p)
	assert.NotZero(t, res.ExitCode)
	info, err := p.Info(t.ctx())
	require.NoError(t, err, "Info")
	assert.False(t, info.Running)
	assert.Equal(t, res.ExitCode, info.ExitCode)
}

func killChildren(t *tester) {
	sb := t.sandbox(nil)
	p := t.startShell(sb, "trap '' TERM; ("+beat+") & wait")
	t.eventually("the child beats", func() bool { return t.exists(sb, "beat") })
	require.NoError(t, p.Kill(t.ctx()), "Kill")
	t.wait(p)
	t.requireQuiet(sb)
}

func signalProcess(t *tester) {
	sb := t.sandbox(nil)
	p := t.startShell(sb, "trap 'echo caught; exit 5' USR1; echo > ready; while :; do sleep 0.02; done")
	t.eventually("the trap is set", func() bool { return t.exists(sb, "ready") })
	t.able("Signaler", compute.SendSignal(t.ctx(), p, compute.SIGUSR1))
	res := t.wait(p)
	assert.Equal(t, 5, res.ExitCode)
	assert.Equal(t, "caught\n", res.Stdout)
	p = t.start(sb, compute.Exec("sleep", "60"))
	require.NoError(t, compute.SendSignal(t.ctx(), p, compute.SIGTERM), "SendSignal")
	res = t.wait(p)
	assert.Equal(t, 143, res.ExitCode)
	assert.Contains(t, []compute.Signal{0, compute.SIGTERM}, res.Signal)
}

func signalEnded(t *tester) {
	p := t.start(t.sandbox(nil), compute.Exec("true"))
	t.wait(p)
	err := compute.SendSignal(t.ctx(), p, compute.SIGTERM)
	if !t.lacks(err) {
		assert.ErrorIs(t, err, compute.ErrConflict, "a signal to what has ended")
	}
	assert.NoError(t, p.Kill(t.ctx()), "Kill of what has ended")
}

func processWriters(t *tester) {
	t.needShell()
	out, errs := &buffer{}, &buffer{}
	cmd := compute.Shell("cat; echo err >&2")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("through"), out, errs
	res := t.wait(t.start(t.sandbox(nil), cmd))
	assert.Equal(t, "through", out.String(), "Wait waits for the output")
	assert.Equal(t, "err\n", errs.String(), "Wait waits for the output")
	assert.Empty(t, res.Stdout+res.Stderr, "output that had a writer")
}
