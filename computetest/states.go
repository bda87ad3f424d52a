package computetest

import (
	"context"
	"iter"
	"maps"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var suspend = group{"Suspend", []check{
	{"KeepsFiles", suspendKeeps},
	{"Status", suspendStatus},
	{"Idempotent", suspendTwice},
	{"GetDoesNotWake", getDoesNotWake},
	{"ThroughOtherHandle", suspendElsewhere},
	{"Destroy", suspendDestroy},
	{"Listed", suspendListed},
}}

// asleep is a sandbox that was suspended.
func (t *tester) asleep() compute.Sandbox {
	t.Helper()
	sb := t.sandbox(nil)
	t.write(sb, "f", "kept")
	t.able("Suspender", compute.Suspend(t.ctx(), sb))
	return sb
}

// reach waits for a status: Suspend may return while the machine goes down.
func (t *tester) reach(sb compute.Sandbox, want compute.Status) {
	t.Helper()
	info, err := compute.WaitForStatus(t.ctx(), sb, want)
	require.NoError(t, err, "WaitForStatus")
	assert.Equal(t, want, info.Status)
}

func (t *tester) wake(sb compute.Sandbox) {
	t.Helper()
	require.NoError(t, compute.Resume(t.ctx(), sb), "Resume")
}

func suspendKeeps(t *tester) {
	sb := t.asleep()
	t.wake(sb)
	assert.Equal(t, "kept", t.read(sb, "f"))
	assert.Equal(t, "kept", t.out(sb, compute.Exec("cat", "f")), "Resume returns once commands can run")
}

func suspendStatus(t *tester) {
	sb := t.asleep()
	t.reach(sb, compute.StatusSuspended)
	t.wake(sb)
	t.reach(sb, compute.StatusRunning)
}

func suspendTwice(t *tester) {
	sb := t.asleep()
	require.NoError(t, compute.Suspend(t.ctx(), sb), "Suspend of what sleeps")
	t.wake(sb)
	t.wake(sb)
	t.out(sb, compute.Exec("true"))
}

func getDoesNotWake(t *tester) {
	sb := t.asleep()
	t.reach(sb, compute.StatusSuspended)
	again, err := t.c.GetSandbox(t.ctx(), sb.ID())
	require.NoError(t, err, "GetSandbox in whatever state")
	assert.Equal(t, compute.StatusSuspended, t.info(again).Status, "GetSandbox or Info woke it")
	assert.Equal(t, []string{sb.ID()}, t.listed())
	assert.Equal(t, compute.StatusSuspended, t.info(sb).Status, "ListSandboxes woke it")
}

func suspendElsewhere(t *tester) {
	sb := t.asleep()
	again, err := t.c.GetSandbox(t.ctx(), sb.ID())
	require.NoError(t, err, "GetSandbox")
	t.wake(again)
	assert.Equal(t, "kept", t.read(sb, "f"))
}

func suspendDestroy(t *tester) {
	sb := t.asleep()
	require.NoError(t, sb.Destroy(t.ctx()), "Destroy of what sleeps")
	assert.Empty(t, t.listed())
	err := compute.Resume(t.ctx(), sb)
	t.requireNotFound("Resume", sb.ID(), err)
}

func suspendListed(t *tester) {
	sb := t.asleep()
	t.reach(sb, compute.StatusSuspended)
	t.sandbox(nil)
	opts := t.labelFilter()
	opts.Status = []compute.Status{compute.StatusSuspended}
	assert.Equal(t, []string{sb.ID()}, t.list(opts))
}

var events = group{"Events", []check{
	{"BeginWithStatus", eventsBegin},
	{"EndWithSandbox", eventsEnd},
	{"EndWithContext", eventsContext},
	{"Suspending", eventsSuspend},
}}

// pulled makes a sequence into a pull iterator that ends with the check.
func pulled[V any](t *tester, seq iter.Seq2[V, error]) func() (V, error, bool) {
	next, stop := iter.Pull2(seq)
	t.Cleanup(stop)
	return next
}

// events pulls the first event, or skips the check.
func (t *tester) events(ctx context.Context, sb compute.Sandbox) func() (compute.Event, error, bool) {
	t.Helper()
	next := pulled(t, compute.Events(ctx, sb))
	e, err, ok := next()
	require.True(t, ok, "Events yields nothing")
	t.able("EventWatcher", err)
	assert.Equal(t, compute.EventStatus, e.Type, "the first event is the present status")
	assert.Equal(t, compute.StatusRunning, e.Status, "the first event is the present status")
	return next
}

func eventsBegin(t *tester) {
	t.events(t.ctx(), t.sandbox(nil))
}

func eventsEnd(t *tester) {
	sb := t.sandbox(nil)
	next := t.events(t.ctx(), sb)
	require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
	for {
		_, err, ok := next()
		if !ok {
			return
		}
		require.NotErrorIs(t, err, context.DeadlineExceeded, "Events go on after the sandbox")
	}
}

func eventsContext(t *tester) {
	ctx, cancel := context.WithCancel(t.ctx())
	defer cancel()
	next := t.events(ctx, t.sandbox(nil))
	cancel()
	for range 100 {
		if _, err, ok := next(); err != nil || !ok {
			return
		}
	}
	assert.Fail(t, "Events go on after their context")
}

func eventsSuspend(t *tester) {
	sb := t.sandbox(nil)
	next := t.events(t.ctx(), sb)
	t.able("Suspender", compute.Suspend(t.ctx(), sb))
	for {
		e, err, ok := next()
		require.NoError(t, err, "Events")
		require.True(t, ok, "Events ended")
		if e.Type == compute.EventStatus && e.Status == compute.StatusSuspended {
			return
		}
	}
}

var metadata = group{"Metadata", []check{
	{"Update", metadataUpdate},
	{"Invalid", metadataInvalid},
	{"Extend", extend},
	{"ExtendInvalid", extendInvalid},
}}

func metadataUpdate(t *tester) {
	sb := t.sandbox(&compute.CreateSandboxOptions{Metadata: map[string]string{"old": "v"}})
	meta := map[string]string{label: t.id, "new": "it's"}
	given := maps.Clone(meta)
	t.able("MetadataUpdater", compute.UpdateMetadata(t.ctx(), sb, given))
	given["new"] = "changed by the caller"
	info := t.info(sb)
	assert.Equal(t, "it's", info.Metadata["new"])
	assert.NotContains(t, info.Metadata, "old", "the metadata is replaced")
	assert.Equal(t, []string{sb.ID()}, t.list(t.filter(map[string]string{"new": "it's"})))
	assert.Empty(t, t.list(t.filter(map[string]string{"old": "v"})))
}

func metadataInvalid(t *tester) {
	sb := t.sandbox(nil)
	for _, meta := range []map[string]string{{"": "v"}, {"k": "\x00"}} {
		assert.ErrorIs(t, compute.UpdateMetadata(t.ctx(), sb, meta), compute.ErrInvalid)
	}
	assert.Equal(t, t.id, t.info(sb).Metadata[label])
}

func extend(t *tester) {
	sb := t.sandbox(nil)
	t.able("Extender", compute.Extend(t.ctx(), sb, 3*time.Hour))
	expires := t.info(sb).Expires
	if !expires.IsZero() {
		assert.Greater(t, expires, time.Now().Add(3*time.Hour-t.slow(clocks)), "Info.Expires")
	}
	require.NoError(t, compute.Extend(t.ctx(), sb, time.Minute), "Extend")
	assert.False(t, t.info(sb).Expires.Before(expires), "Extend by less does not shorten a life")
}

func extendInvalid(t *tester) {
	sb := t.sandbox(nil)
	for _, d := range []time.Duration{0, -time.Second} {
		assert.ErrorIs(t, compute.Extend(t.ctx(), sb, d), compute.ErrInvalid)
	}
}
