package computetest

import (
	"context"
	"errors"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var leftBehind = group{"NothingIsLeftBehind", []check{
	{"CreateUnderDeadContext", createDead},
	{"CreateCutShort", createCut},
	{"DestroyTwice", destroyTwice},
	{"DestroyUnknown", destroyUnknown},
	{"DestroyIsHonest", destroyHonest},
	{"DestroyEndsCommands", destroyEndsCommands},
	{"CommandCutShort", cutProgram},
	{"ChildrenOfCutCommand", cutChildren},
	{"OrphansOfCutCommand", cutOrphans},
	{"OtherSessionOfCutCommand", cutSession},
	{"CutCommandThatIgnoresSignals", cutStubborn},
	{"OutputOfCutCommand", cutOutput},
	{"WrittenOutputOfCutCommand", cutWritten},
	{"SandboxOutlivesCutCommand", aliveAfterCut},
	{"ChildrenOfEndedCommandLive", childrenLive},
	{"ChildrenDoNotHoldUpTheEnd", childrenDoNotHoldUp},
	{"FailedSnapshot", failedSnapshot},
	{"FailedTemplate", failedTemplate},
}}

func createDead(t *tester) {
	_, err := t.create(t.dead(), nil)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, t.listed(), "a sandbox of a create whose context was over")
}

// createCut ends contexts at various moments of a create; afterwards there is
// what succeeded and nothing else, not even late.
func createCut(t *tester) {
	var made []string
	for _, d := range []time.Duration{1, 100_000, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond} {
		sb, err := t.create(t.timeout(d), nil)
		if err == nil {
			made = append(made, sb.ID())
			continue
		}
		assert.ErrorIs(t, err, context.DeadlineExceeded, "create with %v", d)
	}
	assert.ElementsMatch(t, made, t.listed())
	time.Sleep(t.slow(quiet))
	assert.ElementsMatch(t, made, t.listed(), "a sandbox came late")
}

func destroyTwice(t *tester) {
	sb := t.sandbox(nil)
	for range 2 {
		require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
	}
	require.NoError(t, t.c.DestroySandbox(t.ctx(), sb.ID()), "DestroySandbox")
	assert.Empty(t, t.listed())
}

func destroyUnknown(t *tester) {
	sb := t.sandbox(nil)
	for _, id := range []string{"no-such-sandbox-42", sb.ID() + "x"} {
		err := t.c.DestroySandbox(t.ctx(), id)
		if !errors.Is(err, compute.ErrInvalid) { // some know by its form that an ID was never theirs
			assert.NoError(t, err, "DestroySandbox(%q)", id)
		}
	}
	assert.Equal(t, []string{sb.ID()}, t.listed(), "destroying an unknown sandbox destroyed another")
}

// destroyHonest: if Destroy says that it worked, it did; under a dead context
// either is fine, a lie is not.
func destroyHonest(t *tester) {
	sb := t.sandbox(nil)
	if err := sb.Destroy(t.dead()); err != nil {
		assert.ErrorIs(t, err, context.Canceled)
		require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
	}
	_, err := t.c.GetSandbox(t.ctx(), sb.ID())
	assert.ErrorIs(t, err, compute.ErrNotFound, "Destroy said that it was done")
	assert.Empty(t, t.listed(), "Destroy said that it was done")
}

func destroyEndsCommands(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	ended := t.beside(t.ctx(), sb, compute.Shell(beat))
	t.eventually("the command beats", func() bool { return t.exists(sb, "beat") })
	require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
	res, err := t.await(ended)
	if err == nil {
		assert.NotZero(t, res.ExitCode, "a command whose sandbox was destroyed succeeded")
	}
}

// requireCut cuts the script and wants all of it dead.
func (t *tester) requireCut(script string) {
	t.Helper()
	t.needShell()
	sb := t.sandbox(nil)
	res, err := t.cut(sb, compute.Shell(script))
	assert.ErrorIs(t, err, context.Canceled)
	if assert.NotNil(t, res, "the result of a cut command has the output so far") {
		assert.Equal(t, -1, res.ExitCode)
	}
	t.requireQuiet(sb)
}

func cutProgram(t *tester)  { t.requireCut(beat) }
func cutChildren(t *tester) { t.requireCut("(" + beat + ") & sh -c 'sleep 60' & wait") }
func cutOrphans(t *tester)  { t.requireCut("( ( " + beat + " ) & ) & sleep 60") }

func cutStubborn(t *tester) {
	t.requireCut("trap '' TERM INT HUP QUIT; " + beat)
}

func cutSession(t *tester) {
	sb := t.sandbox(nil)
	if t.sh(sb, "command -v setsid || true") == "" {
		t.Skip("no setsid in the sandbox")
	}
	t.requireCut("setsid sh -c '" + beat + "' & setsid sleep 60")
}

func cutOutput(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	res, err := t.cut(sb, compute.Shell("printf 'so far'; printf oops >&2; "+beat))
	assert.ErrorIs(t, err, context.Canceled)
	require.NotNil(t, res, "the result of a cut command has the output so far")
	assert.Equal(t, "so far", res.Stdout)
	assert.Equal(t, "oops", res.Stderr)
	assert.Equal(t, -1, res.ExitCode)
}

func cutWritten(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	cmd, out := compute.Shell("printf 'so far'; "+beat), &buffer{}
	cmd.Stdout = out
	_, err := t.cut(sb, cmd)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, "so far", out.String())
}

func aliveAfterCut(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	_, err := t.cut(sb, compute.Shell(beat))
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, "fine\n", t.sh(sb, "echo fine"))
	assert.Equal(t, compute.StatusRunning, t.info(sb).Status)
}

func childrenLive(t *tester) {
	sb := t.sandbox(nil)
	t.sh(sb, "("+beat+") >/dev/null 2>&1 &")
	t.eventually("the child beats", func() bool { return t.exists(sb, "beat") })
	before := t.stat(sb, "beat").Size()
	t.eventually("the child beats on", func() bool { return t.stat(sb, "beat").Size() > before })
}

// childrenDoNotHoldUp leaves a child that holds the command's output open.
func childrenDoNotHoldUp(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	ended := t.beside(t.ctx(), sb, compute.Shell("echo now; (sleep 60; echo late) &"))
	res, err := t.await(ended)
	require.NoError(t, err, "RunCommand")
	assert.Equal(t, "now\n", res.Stdout)
	assert.Zero(t, res.ExitCode)
}

func failedSnapshot(t *tester) {
	if !t.cfg.Snapshots {
		t.Skip("no snapshots")
	}
	sb := t.sandbox(nil)
	opts := &compute.CreateSnapshotOptions{Name: t.id}
	_, err := t.c.CreateSnapshot(t.dead(), sb.ID(), opts)
	assert.ErrorIs(t, err, context.Canceled)
	_, err = t.c.CreateSnapshot(t.ctx(), "no-such-sandbox-42", opts)
	t.requireNotFound("CreateSnapshot", "no-such-sandbox-42", err)
	left, err := compute.Collect(t.c.ListSnapshots(t.ctx(), &compute.ListSnapshotsOptions{Name: t.id}), 0)
	require.NoError(t, err, "ListSnapshots")
	assert.Empty(t, left, "snapshots that failed")
}

func failedTemplate(t *tester) {
	if !t.cfg.Templates {
		t.Skip("no templates")
	}
	opts := &compute.CreateTemplateOptions{Name: "computetest-" + t.id, Setup: []string{"exit 3"}}
	_, err := t.c.CreateTemplate(t.ctx(), opts)
	assert.Error(t, err, "a build whose setup fails")
	opts.Setup = nil
	_, err = t.c.CreateTemplate(t.dead(), opts)
	assert.ErrorIs(t, err, context.Canceled)
	left, err := compute.Collect(t.c.ListTemplates(t.ctx(), &compute.ListTemplatesOptions{Name: opts.Name}), 0)
	require.NoError(t, err, "ListTemplates")
	assert.Empty(t, left, "templates that failed")
}
