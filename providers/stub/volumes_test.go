package stub_test

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

func newVolume(t *testing.T, p *stub.Provider, sizeMiB int) string {
	t.Helper()
	v, err := p.CreateVolume(t.Context(), &compute.CreateVolumeOptions{SizeMiB: sizeMiB})
	require.NoError(t, err)
	return v.ID
}

func withMounts(t *testing.T, p *stub.Provider, mounts ...compute.Mount) compute.Sandbox {
	t.Helper()
	sb, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Mounts: mounts})
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return sb
}

func script(t *testing.T, sb compute.Sandbox, script string) *compute.Result {
	t.Helper()
	res, err := sb.RunCommand(t.Context(), compute.Shell(script))
	require.NoError(t, err)
	return res
}

func TestVolumeIsSharedAndOutlivesSandboxes(t *testing.T) {
	p := stub.New(stub.Config{})
	v := newVolume(t, p, 0)
	a := withMounts(t, p, compute.Mount{Volume: v, Path: "/data"})
	b := withMounts(t, p, compute.Mount{Volume: v, Path: "/mnt/d", ReadOnly: true})
	require.NoError(t, script(t, a, "echo kept >/data/f").Err())
	assert.Equal(t, "kept\n", script(t, b, "cat /mnt/d/f").Stdout)
	res := script(t, b, "rm /mnt/d/f; echo x >/mnt/d/g")
	assert.NotZero(t, res.ExitCode)
	assert.Contains(t, res.Stderr, "Read-only file system")
	assert.ErrorIs(t, b.Filesystem().WriteFile(t.Context(), "/mnt/d/f", nil, 0o644), fs.ErrPermission)
	assert.ErrorIs(t, p.DeleteVolume(t.Context(), v), compute.ErrConflict)
	require.NoError(t, a.Destroy(t.Context()))
	require.NoError(t, b.Destroy(t.Context()))
	c := withMounts(t, p, compute.Mount{Volume: v, Path: "/again"})
	assert.Equal(t, "kept\n", script(t, c, "cat /again/f").Stdout)
	require.NoError(t, c.Destroy(t.Context()))
	require.NoError(t, p.DeleteVolume(t.Context(), v))
}

func TestVolumeIsFull(t *testing.T) {
	p := stub.New(stub.Config{})
	sb := withMounts(t, p, compute.Mount{Volume: newVolume(t, p, 1), Path: "/v"})
	res := script(t, sb, "head -c 2000000 /dev/zero >/v/f; echo $?; wc -c </v/f; head -c 2000000 /dev/zero >/f")
	assert.Equal(t, "1\n1048576\n", res.Stdout)
	assert.Contains(t, res.Stderr, "No space left on device")
	assert.NoError(t, res.Err(), "the sandbox has room")
}

func TestSeveralVolumes(t *testing.T) {
	p := stub.New(stub.Config{})
	outer, inner := newVolume(t, p, 0), newVolume(t, p, 0)
	sb := withMounts(t, p, compute.Mount{Volume: inner, Path: "/a/b"}, compute.Mount{Volume: outer, Path: "/a"})
	require.NoError(t, script(t, sb, "echo 1 >/a/f && mv /a/f /a/b/g && mkdir /a/d && ln -s /a/b /a/l").Err())
	assert.Equal(t, "b\nd\nl\n", script(t, sb, "ls /a").Stdout)
	assert.Equal(t, "1\n", script(t, sb, "cat /a/l/g").Stdout)
	assert.Equal(t, "/a\n", script(t, sb, "find / -xdev -path '/a*'").Stdout)
	assert.Equal(t, "/a/b\n", script(t, sb, "df /a/b/g | tail -n 1 | sed 's/.* //'").Stdout)
	assert.Equal(t, 1, script(t, sb, "rm -rf /a").ExitCode)
	only := withMounts(t, p, compute.Mount{Volume: outer, Path: "/x"})
	assert.Empty(t, script(t, only, "ls /x/b").Stdout)
	_, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{
		Mounts: []compute.Mount{{Volume: outer, Path: "/x"}, {Volume: inner, Path: "/x/"}}})
	assert.ErrorIs(t, err, compute.ErrInvalid)
}

func TestVolumesAreNotInSnapshots(t *testing.T) {
	p := stub.New(stub.Config{})
	v := newVolume(t, p, 0)
	sb := withMounts(t, p, compute.Mount{Volume: v, Path: "/v"})
	require.NoError(t, script(t, sb, "echo 1 >/v/f; echo 1 >/f").Err())
	snap, err := p.CreateSnapshot(t.Context(), sb.ID(), nil)
	require.NoError(t, err)
	again, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Snapshot: snap.ID})
	require.NoError(t, err)
	assert.Equal(t, "/f\n", script(t, again, "ls /f; ls /v").Stdout)
	require.NoError(t, script(t, sb, "echo 2 >/v/f; echo 2 >/f").Err())
	require.NoError(t, compute.Rollback(t.Context(), sb, snap.ID))
	assert.Equal(t, "1\n2\n", script(t, sb, "cat /f /v/f").Stdout, "a volume is no part of the state")
}
