package computetest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

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
