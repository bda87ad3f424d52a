package computetest

import (
	"context"
	"io/fs"
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

var usage = group{"Usage", []check{{"Plausible", usagePlausible}}}

func usagePlausible(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "f", everyByte(1<<20))
	u, err := compute.GetUsage(t.ctx(), sb)
	t.able("UsageReporter", err)
	assert.GreaterOrEqual(t, u.CPU, time.Duration(0))
	assert.Less(t, u.CPU, time.Hour, "processor time since it was created")
	assert.GreaterOrEqual(t, u.Uptime, time.Duration(0))
	assert.Less(t, u.Uptime, t.slow(time.Minute)+clocks, "Uptime")
	if u.DiskBytes != 0 {
		assert.GreaterOrEqual(t, u.DiskBytes, int64(1<<20), "bytes, not blocks or MiB")
		assert.Less(t, u.DiskBytes, int64(64<<20), "what the sandbox itself has written")
	}
	assert.GreaterOrEqual(t, u.MemoryBytes, int64(0))
}

var volumes = group{"Volumes", []check{
	{"CreateAndDelete", volumeLifecycle},
	{"Mounted", volumeMounted},
	{"ReadOnly", volumeReadOnly},
	{"InUse", volumeInUse},
	{"Invalid", volumeInvalid},
}}

func (t *tester) volume(opts *compute.CreateVolumeOptions) *compute.Volume {
	t.Helper()
	v, err := compute.CreateVolume(t.ctx(), t.c, opts)
	t.able("Volumes", err)
	t.Cleanup(func() { assert.NoError(t, compute.DeleteVolume(t.background(), t.c, v.ID), "DeleteVolume") })
	return v
}

func volumeLifecycle(t *tester) {
	old, v := t.volume(nil), t.volume(&compute.CreateVolumeOptions{Name: "it's"})
	assert.Equal(t, "it's", v.Name)
	assert.Equal(t, t.c.Name(), v.Provider)
	assert.False(t, v.Created.IsZero())
	again, err := compute.GetVolume(t.ctx(), t.c, v.ID)
	require.NoError(t, err, "GetVolume")
	assert.Equal(t, v.ID, again.ID)
	var ids []string
	for v, err := range compute.ListVolumes(t.ctx(), t.c) {
		require.NoError(t, err, "ListVolumes")
		if v.ID == old.ID || v.ID == again.ID {
			ids = append(ids, v.ID)
		}
	}
	assert.Equal(t, []string{v.ID, old.ID}, ids, "newest first")
	for range 2 {
		require.NoError(t, compute.DeleteVolume(t.ctx(), t.c, v.ID), "DeleteVolume")
	}
	_, err = compute.GetVolume(t.ctx(), t.c, v.ID)
	t.requireNotFound("GetVolume", v.ID, err)
}

// mounted is a sandbox with the volume, or skips the check.
func (t *tester) mounted(v *compute.Volume, readOnly bool) compute.Sandbox {
	t.Helper()
	sb, err := t.create(t.ctx(), &compute.CreateSandboxOptions{
		Mounts: []compute.Mount{{Volume: v.ID, Path: "/mnt/it's", ReadOnly: readOnly}}})
	if t.lacks(err) {
		t.Skipf("not supported: %v", err)
	}
	require.NoError(t, err, "CreateSandbox")
	return sb
}

func volumeMounted(t *tester) {
	v := t.volume(nil)
	sb := t.mounted(v, false)
	t.write(sb, "/mnt/it's/f", "kept")
	require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
	again := t.mounted(v, false)
	assert.Equal(t, "kept", t.read(again, "/mnt/it's/f"), "a volume outlives sandboxes")
	assert.Equal(t, "kept", t.out(again, compute.Exec("cat", "/mnt/it's/f")))
}

func volumeReadOnly(t *tester) {
	v := t.volume(nil)
	sb := t.mounted(v, false)
	t.write(sb, "/mnt/it's/f", "kept")
	require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
	sb = t.mounted(v, true)
	assert.Error(t, sb.Filesystem().WriteFile(t.ctx(), "/mnt/it's/f", nil, 0o644), "writing where it is read-only")
	assert.Equal(t, "kept", t.read(sb, "/mnt/it's/f"))
}

func volumeInUse(t *tester) {
	v := t.volume(nil)
	sb := t.mounted(v, false)
	assert.ErrorIs(t, compute.DeleteVolume(t.ctx(), t.c, v.ID), compute.ErrConflict)
	require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
}

func volumeInvalid(t *tester) {
	_, err := compute.CreateVolume(t.ctx(), t.c, &compute.CreateVolumeOptions{SizeMiB: -1})
	if !t.lacks(err) {
		t.requireInvalid("CreateVolume", err)
	}
}
