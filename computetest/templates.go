package computetest

import (
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var templates = group{"Templates", []check{
	{"Build", templateBuild},
	{"Contents", templateContents},
	{"ByName", templateByName},
	{"List", templateList},
	{"Delete", templateDelete},
	{"Log", templateLog},
	{"Dockerfile", templateDockerfile},
	{"UnknownImage", templateImage},
}}

// template builds one, or skips the check where its options are too much.
func (t *tester) template(opts compute.CreateTemplateOptions) *compute.Template {
	t.Helper()
	if !t.cfg.Templates {
		t.Skip("no templates")
	}
	if opts.Name == "" {
		opts.Name = "computetest-" + t.id
	}
	tpl, err := t.c.CreateTemplate(t.ctx(), &opts)
	if t.lacks(err) {
		t.Skipf("not supported: %v", err)
	}
	require.NoError(t, err, "CreateTemplate")
	t.Cleanup(func() { assert.NoError(t, t.c.DeleteTemplate(t.background(), tpl.ID), "DeleteTemplate") })
	return tpl
}

func templateBuild(t *tester) {
	tpl := t.template(compute.CreateTemplateOptions{})
	assert.NotEmpty(t, tpl.ID)
	assert.Equal(t, "computetest-"+t.id, tpl.Name)
	assert.Equal(t, t.c.Name(), tpl.Provider)
	assert.Equal(t, compute.TemplateReady, tpl.Status, "CreateTemplate returns once it is ready")
	assert.False(t, tpl.Created.IsZero())
	again, err := t.c.GetTemplate(t.ctx(), tpl.ID)
	require.NoError(t, err, "GetTemplate")
	assert.Equal(t, tpl.ID, again.ID)
	t.out(t.sandbox(&compute.CreateSandboxOptions{Template: tpl.ID}), compute.Exec("true"))
}

func templateContents(t *tester) {
	tpl := t.template(compute.CreateTemplateOptions{
		Files: map[string]string{"/tmp/it's": everyByte(1000)},
		Setup: []string{"echo 'it is set up' > /tmp/setup", "cat /tmp/setup > /tmp/second"},
		Env:   map[string]string{"V": "it's"},
	})
	sb := t.sandbox(&compute.CreateSandboxOptions{Template: tpl.ID})
	t.requireSame(everyByte(1000), t.read(sb, "/tmp/it's"), "file of a template")
	assert.Equal(t, "it is set up\n", t.read(sb, "/tmp/second"))
	if !t.cfg.NoShell {
		assert.Equal(t, "it's\n", t.sh(sb, `echo "$V"`))
	}
	assert.False(t, t.exists(t.sandbox(nil), "/tmp/setup"), "the build reached other sandboxes")
}

func templateByName(t *tester) {
	old := t.template(compute.CreateTemplateOptions{})
	tpl := t.template(compute.CreateTemplateOptions{Files: map[string]string{"/tmp/new": ""}})
	found, err := t.c.GetTemplate(t.ctx(), tpl.Name)
	require.NoError(t, err, "GetTemplate by name")
	assert.Equal(t, tpl.ID, found.ID, "the newest of that name")
	assert.NotEqual(t, old.ID, tpl.ID)
	assert.True(t, t.exists(t.sandbox(&compute.CreateSandboxOptions{Template: tpl.Name}), "/tmp/new"))
}

func templateList(t *tester) {
	old := t.template(compute.CreateTemplateOptions{Metadata: map[string]string{"k": "it's"}})
	tpl := t.template(compute.CreateTemplateOptions{})
	for what, opts := range map[string]*compute.ListTemplatesOptions{
		"both": {Name: tpl.Name}, "old": {Name: tpl.Name, Metadata: map[string]string{"k": "it's"}},
		"new": {Name: tpl.Name, Limit: 1}, "none": {Name: tpl.Name + "-other"},
	} {
		found, err := compute.Collect(t.c.ListTemplates(t.ctx(), opts), 0)
		require.NoError(t, err, "ListTemplates")
		var ids []string
		for _, f := range found {
			ids = append(ids, f.ID)
		}
		assert.Equal(t, map[string][]string{"both": {tpl.ID, old.ID}, "old": {old.ID}, "new": {tpl.ID}, "none": nil}[what], ids, what)
	}
	for _, err := range t.c.ListTemplates(t.dead(), nil) {
		assert.Error(t, err, "a listing that cannot be made")
	}
}

func templateDelete(t *tester) {
	tpl := t.template(compute.CreateTemplateOptions{})
	sb := t.sandbox(&compute.CreateSandboxOptions{Template: tpl.ID})
	for range 2 {
		require.NoError(t, t.c.DeleteTemplate(t.ctx(), tpl.ID), "DeleteTemplate")
	}
	t.out(sb, compute.Exec("true"))
	_, err := t.c.GetTemplate(t.ctx(), tpl.ID)
	t.requireNotFound("GetTemplate", tpl.ID, err)
	_, err = t.create(t.ctx(), &compute.CreateSandboxOptions{Template: tpl.ID})
	t.requireNotFound("CreateSandbox", tpl.ID, err)
}

func templateLog(t *tester) {
	log := &buffer{}
	tpl := t.template(compute.CreateTemplateOptions{Setup: []string{"echo built it"}, Log: log})
	assert.Contains(t, log.String(), "built it", "CreateTemplateOptions.Log")
	kept := &buffer{}
	t.able("TemplateLogger", compute.TemplateLog(t.ctx(), t.c, tpl.ID, kept))
	assert.Contains(t, kept.String(), "built it", "TemplateLog")
}

func templateDockerfile(t *tester) {
	tpl := t.template(compute.CreateTemplateOptions{
		Dockerfile: "FROM scratch\nCOPY f /tmp/copied\n",
		Context:    fstest.MapFS{"f": {Data: []byte("from the context")}},
	})
	assert.Equal(t, "from the context", t.read(t.sandbox(&compute.CreateSandboxOptions{Template: tpl.ID}), "/tmp/copied"))
}

func templateImage(t *tester) {
	if !t.cfg.Templates {
		t.Skip("no templates")
	}
	_, err := t.c.CreateTemplate(t.ctx(), &compute.CreateTemplateOptions{Name: "computetest-" + t.id, Image: "computetest.invalid/no/such:image"})
	assert.Error(t, err, "an image that does not exist")
}

var snapshots = group{"Snapshots", []check{
	{"Restore", snapshotRestore},
	{"Info", snapshotInfo},
	{"List", snapshotList},
	{"Delete", snapshotDelete},
	{"OutlivesItsSandbox", snapshotOutlives},
	{"Branch", branch},
	{"BranchIsApart", branchInvalid},
}}

// snapshot takes one, deleted at the end of the check.
func (t *tester) snapshot(sb compute.Sandbox, opts *compute.CreateSnapshotOptions) *compute.Snapshot {
	t.Helper()
	if !t.cfg.Snapshots {
		t.Skip("no snapshots")
	}
	snap, err := t.c.CreateSnapshot(t.ctx(), sb.ID(), opts)
	require.NoError(t, err, "CreateSnapshot")
	t.deleteSnapshotAtEnd(snap)
	return snap
}

func (t *tester) deleteSnapshotAtEnd(snap *compute.Snapshot) {
	t.Cleanup(func() { assert.NoError(t, t.c.DeleteSnapshot(t.background(), snap.ID), "DeleteSnapshot") })
}

func snapshotRestore(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "f", "before")
	require.NoError(t, sb.Filesystem().WriteFile(t.ctx(), "it's", []byte(everyByte(1000)), 0o600), "WriteFile")
	snap := t.snapshot(sb, nil)
	t.write(sb, "f", "after")
	a, b := t.sandbox(&compute.CreateSandboxOptions{Snapshot: snap.ID}), t.sandbox(&compute.CreateSandboxOptions{Snapshot: snap.ID})
	assert.Equal(t, "before", t.read(a, "f"))
	t.requireSame(everyByte(1000), t.read(a, "it's"), "restored file")
	assert.EqualValues(t, 0o600, t.stat(a, "it's").Mode())
	t.write(a, "f", "in one")
	assert.Equal(t, "before", t.read(b, "f"), "what starts from a snapshot does not change it")
	assert.Equal(t, "after", t.read(sb, "f"), "the sandbox goes on")
	assert.Equal(t, compute.StatusRunning, t.info(sb).Status)
}

func snapshotInfo(t *tester) {
	sb := t.sandbox(nil)
	snap := t.snapshot(sb, nil)
	assert.NotEmpty(t, snap.ID)
	assert.Equal(t, sb.ID(), snap.SandboxID)
	assert.Equal(t, t.c.Name(), snap.Provider)
	assert.False(t, snap.Created.IsZero())
	again, err := t.c.GetSnapshot(t.ctx(), snap.ID)
	require.NoError(t, err, "GetSnapshot")
	assert.Equal(t, snap.ID, again.ID)
	assert.True(t, snap.Created.Equal(again.Created), "Created")
}

func snapshotList(t *tester) {
	sb, other := t.sandbox(nil), t.sandbox(nil)
	old, snap := t.snapshot(sb, nil), t.snapshot(sb, nil)
	t.snapshot(other, nil)
	for limit, want := range map[int][]string{0: {snap.ID, old.ID}, 1: {snap.ID}} {
		opts := &compute.ListSnapshotsOptions{SandboxID: sb.ID(), Limit: limit}
		found, err := compute.Collect(t.c.ListSnapshots(t.ctx(), opts), 0)
		require.NoError(t, err, "ListSnapshots")
		var ids []string
		for _, f := range found {
			ids = append(ids, f.ID)
		}
		assert.Equal(t, want, ids)
	}
	for _, err := range t.c.ListSnapshots(t.dead(), nil) {
		assert.Error(t, err, "a listing that cannot be made")
	}
}

func snapshotDelete(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "f", "kept")
	snap := t.snapshot(sb, nil)
	from := t.sandbox(&compute.CreateSandboxOptions{Snapshot: snap.ID})
	for range 2 {
		require.NoError(t, t.c.DeleteSnapshot(t.ctx(), snap.ID), "DeleteSnapshot")
	}
	assert.Equal(t, "kept", t.read(from, "f"), "sandboxes made from it live on")
	_, err := t.c.GetSnapshot(t.ctx(), snap.ID)
	t.requireNotFound("GetSnapshot", snap.ID, err)
	_, err = t.create(t.ctx(), &compute.CreateSandboxOptions{Snapshot: snap.ID})
	t.requireNotFound("CreateSandbox", snap.ID, err)
}

func snapshotOutlives(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "f", "kept")
	snap := t.snapshot(sb, nil)
	require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
	assert.Equal(t, "kept", t.read(t.sandbox(&compute.CreateSandboxOptions{Snapshot: snap.ID}), "f"))
}

func branch(t *tester) {
	if !t.cfg.Snapshots {
		t.Skip("no snapshots")
	}
	sb := t.sandbox(nil)
	t.write(sb, "f", "before")
	b, err := compute.Branch(t.ctx(), t.c, sb.ID(), t.labelled(nil))
	require.NoError(t, err, "Branch")
	destroyAtEnd(t, b)
	t.write(sb, "f", "after")
	assert.Equal(t, "before", t.read(b, "f"))
	left, err := compute.Collect(t.c.ListSnapshots(t.ctx(), &compute.ListSnapshotsOptions{SandboxID: sb.ID()}), 0)
	require.NoError(t, err, "ListSnapshots")
	assert.Empty(t, left, "Branch left its snapshot")
}

func branchInvalid(t *tester) {
	sb := t.sandbox(nil)
	_, err := compute.Branch(t.ctx(), t.c, sb.ID(), t.labelled(&compute.CreateSandboxOptions{Image: "x"}))
	assert.ErrorIs(t, err, compute.ErrInvalid)
	assert.Equal(t, []string{sb.ID()}, t.listed())
}

var rollback = group{"Rollback", []check{
	{"Files", rollbackFiles},
	{"Unknown", rollbackUnknown},
}}

func rollbackFiles(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "f", "before")
	snap := t.snapshot(sb, nil)
	t.write(sb, "f", "after")
	t.write(sb, "new", "")
	t.able("Rollbacker", compute.Rollback(t.ctx(), sb, snap.ID))
	assert.Equal(t, "before", t.read(sb, "f"))
	assert.False(t, t.exists(sb, "new"))
	t.out(sb, compute.Exec("true"))
}

func rollbackUnknown(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "f", "kept")
	if err := compute.Rollback(t.ctx(), sb, unknown); !t.lacks(err) {
		t.requireNotFound("Rollback", unknown, err)
	}
	assert.Equal(t, "kept", t.read(sb, "f"), "a rollback that failed changed something")
}
