//go:build linux

package local_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

func newVolume(t *testing.T, p *local.Provider, sizeMiB int) string {
	t.Helper()
	v, err := p.CreateVolume(t.Context(), &compute.CreateVolumeOptions{SizeMiB: sizeMiB})
	if sizeMiB > 0 && errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.DeleteVolume(context.Background(), v.ID)) })
	return v.ID
}

func withMounts(t *testing.T, p *local.Provider, mounts ...compute.Mount) compute.Sandbox {
	t.Helper()
	return computetest.NewSandbox(t, p, &compute.CreateSandboxOptions{Mounts: mounts})
}

func script(t *testing.T, sb compute.Sandbox, script string) *compute.Result {
	t.Helper()
	return runIn(t, sb, compute.Shell(script))
}

// forEachKind runs a test with a volume without a size and with one.
func forEachKind(t *testing.T, f func(t *testing.T, p *local.Provider, volume string)) {
	for name, size := range map[string]int{"directory": 0, "disk": 16} {
		t.Run(name, func(t *testing.T) {
			p := newLocal(t, t.TempDir(), local.Namespaces)
			f(t, p, newVolume(t, p, size))
		})
	}
}

func TestVolumeIsSharedAndOutlivesSandboxes(t *testing.T) {
	forEachKind(t, func(t *testing.T, p *local.Provider, v string) {
		a := withMounts(t, p, compute.Mount{Volume: v, Path: "/data"})
		b := withMounts(t, p, compute.Mount{Volume: v, Path: "/deep/below/d", ReadOnly: true})
		assert.Empty(t, script(t, a, "ls -A /data").Stdout, "a new volume is empty")
		require.NoError(t, script(t, a, "echo kept >/data/f && chmod 600 /data/f").Err())
		assert.Equal(t, "kept\n", script(t, b, "cat /deep/below/d/f").Stdout)
		res := script(t, b, "rm /deep/below/d/f; echo x >/deep/below/d/g")
		assert.NotZero(t, res.ExitCode)
		assert.Contains(t, res.Stderr, "Read-only file system")
		assert.Error(t, b.Filesystem().WriteFile(t.Context(), "/deep/below/d/f", nil, 0o644))
		assert.ErrorIs(t, p.DeleteVolume(t.Context(), v), compute.ErrConflict)
		require.NoError(t, a.Destroy(t.Context()))
		err := p.DeleteVolume(t.Context(), v)
		assert.ErrorIs(t, err, compute.ErrConflict)
		assert.ErrorContains(t, err, b.ID(), "it says who")
		require.NoError(t, b.Destroy(t.Context()))
		c := withMounts(t, p, compute.Mount{Volume: v, Path: "/workspace"})
		assert.Equal(t, "kept\n", script(t, c, "cat f").Stdout)
		require.NoError(t, c.Destroy(t.Context()))
		require.NoError(t, p.DeleteVolume(t.Context(), v))
	})
}

func TestVolumeSurvives(t *testing.T) {
	forEachKind(t, func(t *testing.T, p *local.Provider, v string) {
		ctx := t.Context()
		sb := withMounts(t, p, compute.Mount{Volume: v, Path: "/v"})
		script(t, sb, "echo 1 >/v/f; echo 1 >/f")
		require.NoError(t, compute.Suspend(ctx, sb))
		assert.ErrorIs(t, p.DeleteVolume(ctx, v), compute.ErrConflict, "a suspended sandbox has it mounted")
		require.NoError(t, compute.Resume(ctx, sb))
		assert.Equal(t, "1\n", script(t, sb, "cat /v/f").Stdout)
		snap, err := p.CreateSnapshot(ctx, sb.ID(), nil)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, p.DeleteSnapshot(context.Background(), snap.ID)) })
		again := computetest.NewSandbox(t, p, &compute.CreateSandboxOptions{Snapshot: snap.ID})
		assert.Equal(t, "/f\n", script(t, again, "ls /f; ls -A /v").Stdout, "a snapshot has no volumes")
		script(t, sb, "echo 2 >/v/f; echo 2 >/f")
		require.NoError(t, compute.Rollback(ctx, sb, snap.ID))
		assert.Equal(t, "1\n2\n", script(t, sb, "cat /f /v/f").Stdout, "a volume is no part of the state")
		_, _ = sb.RunCommand(ctx, compute.Shell("echo 3 >/v/f; sync"))
	})
}

func TestVolumeIsFull(t *testing.T) {
	p := newLocal(t, t.TempDir(), local.Namespaces)
	v := newVolume(t, p, 5)
	sb := withMounts(t, p, compute.Mount{Volume: v, Path: "/v"})
	res := script(t, sb, "head -c 8000000 /dev/zero >/v/f; echo $?; [ $(wc -c </v/f) -gt 3000000 ] && echo most; head -c 8000000 /dev/zero >/f; rm /v/f; echo x >/v/g")
	assert.Equal(t, "1\nmost\n", res.Stdout)
	assert.Contains(t, res.Stderr, "No space left on device")
	assert.NoError(t, res.Err(), "the sandbox has room")
	info, err := p.GetVolume(t.Context(), v)
	require.NoError(t, err)
	assert.Equal(t, 5, info.SizeMiB)
	small, err := p.CreateVolume(t.Context(), &compute.CreateVolumeOptions{SizeMiB: 1})
	require.NoError(t, err)
	assert.Equal(t, 4, small.SizeMiB, "a size is rounded up")
	require.NoError(t, p.DeleteVolume(t.Context(), small.ID))
}

func TestVolumeWithoutRoot(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root can have volumes with a size")
	}
	p := newLocal(t, t.TempDir(), local.Namespaces)
	_, err := p.CreateVolume(t.Context(), &compute.CreateVolumeOptions{SizeMiB: 16})
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	assert.ErrorContains(t, err, "loop device")
	assert.True(t, compute.NothingDone(err))
}

func TestSeveralVolumes(t *testing.T) {
	p := newLocal(t, t.TempDir(), local.Namespaces)
	outer, inner := newVolume(t, p, 0), newVolume(t, p, 0)
	sb := withMounts(t, p, compute.Mount{Volume: inner, Path: "/a/b"}, compute.Mount{Volume: outer, Path: "/a/"})
	require.NoError(t, script(t, sb, "echo 1 >/a/f && mv /a/f /a/b/g && mkdir /a/d").Err())
	assert.Equal(t, "b\nd\n", script(t, sb, "ls /a").Stdout)
	require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "/a/b/h", []byte("x"), 0o600))
	assert.NotZero(t, script(t, sb, "rmdir /a/b").ExitCode, "a mounted volume is no plain directory")
	only := withMounts(t, p, compute.Mount{Volume: inner, Path: "/x"}, compute.Mount{Volume: inner, Path: "/y"})
	assert.Equal(t, "g\nh\ng\nh\n", script(t, only, "ls /x; ls /y").Stdout)
}

func TestMountsRefused(t *testing.T) {
	p := newLocal(t, t.TempDir(), local.Namespaces)
	v := newVolume(t, p, 0)
	for what, c := range map[string]struct {
		mounts []compute.Mount
		kind   error
	}{
		"no such volume":     {[]compute.Mount{{Volume: "vol-none", Path: "/x"}}, compute.ErrNotFound},
		"not an ID":          {[]compute.Mount{{Volume: "../../etc", Path: "/x"}}, compute.ErrNotFound},
		"the root":           {[]compute.Mount{{Volume: v, Path: "/a/.."}}, compute.ErrInvalid},
		"devices":            {[]compute.Mount{{Volume: v, Path: "/dev/x"}}, compute.ErrInvalid},
		"processes":          {[]compute.Mount{{Volume: v, Path: "/proc"}}, compute.ErrInvalid},
		"devices, by a link": {[]compute.Mount{{Volume: v, Path: "/var/run/../../dev/shm"}}, compute.ErrInvalid},
		"a file":             {[]compute.Mount{{Volume: v, Path: "/etc/passwd"}}, compute.ErrInvalid},
		"twice":              {[]compute.Mount{{Volume: v, Path: "/x"}, {Volume: v, Path: "/x/"}}, compute.ErrInvalid},
	} {
		_, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Mounts: c.mounts})
		assert.ErrorIs(t, err, c.kind, what)
		assert.NotErrorIs(t, err, errors.ErrUnsupported, what)
	}
	all, err := compute.Collect(p.ListSandboxes(t.Context(), nil), 0)
	require.NoError(t, err)
	assert.Empty(t, all)
}

// What a sandbox has put in the way leads a mount nowhere but inside.
func TestMountOverHostileFiles(t *testing.T) {
	p := newLocal(t, t.TempDir(), local.Namespaces)
	v := newVolume(t, p, 0)
	trap := t.TempDir()
	first := computetest.NewSandbox(t, p, nil)
	script(t, first, "ln -s "+trap+" /out; ln -s ../../../../../.. /up; ln -s /proc/1/root /magic; ln -s /dev /device; ln -s loop /loop; ln -s / /top; ln -s none/x /dangling")
	snap, err := p.CreateSnapshot(t.Context(), first.ID(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.DeleteSnapshot(context.Background(), snap.ID)) })
	for at, seen := range map[string]string{"/out/in": trap + "/in", "/up/in": "/in"} {
		if at == "/out/in" {
			script(t, first, "mkdir -p "+trap)
		}
		sb, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Snapshot: snap.ID, Mounts: []compute.Mount{{Volume: v, Path: at}}})
		if err != nil {
			assert.ErrorIs(t, err, compute.ErrInvalid)
			continue
		}
		require.NoError(t, script(t, sb, "echo x >"+seen+"/f").Err())
		require.NoError(t, sb.Destroy(t.Context()))
	}
	for _, at := range []string{"/magic/in", "/device/in", "/device", "/loop/in", "/top", "/dangling"} {
		_, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Snapshot: snap.ID, Mounts: []compute.Mount{{Volume: v, Path: at}}})
		assert.ErrorIs(t, err, compute.ErrInvalid, at)
	}
	entries, err := os.ReadDir(trap)
	require.NoError(t, err)
	assert.Empty(t, entries, "it led out")
	assert.NoDirExists(t, "/in")
}

func TestVolumeOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root's sandboxes have users")
	}
	forEachKind(t, func(t *testing.T, p *local.Provider, v string) {
		sb := withMounts(t, p, compute.Mount{Volume: v, Path: "/v"})
		write := &compute.Command{Script: "echo x >/v/f", User: "user"}
		assert.NotZero(t, runIn(t, sb, write).ExitCode, "it belongs to root inside")
		script(t, sb, "chown user /v")
		require.NoError(t, sb.Destroy(t.Context()))
		sb = withMounts(t, p, compute.Mount{Volume: v, Path: "/v"})
		assert.Zero(t, runIn(t, sb, write).ExitCode, "owners last")
		assert.Equal(t, "user\n", script(t, sb, "stat -c %U /v/f").Stdout)
	})
}

// A program that is killed leaves nothing of a volume but the volume.
func TestVolumeAfterCrash(t *testing.T) {
	dir := t.TempDir()
	p := newLocal(t, dir, local.Namespaces)
	half := filepath.Join(dir, "volumes", "vol-half")
	require.NoError(t, os.MkdirAll(filepath.Join(half, "data"), 0o700))
	forEach := map[string]int{"directory": 0}
	if os.Geteuid() == 0 {
		forEach["disk"] = 8
	}
	for name, size := range forEach {
		t.Run(name, func(t *testing.T) {
			v := newVolume(t, p, size)
			sb := withMounts(t, p, compute.Mount{Volume: v, Path: "/v"})
			script(t, sb, "echo kept >/v/f")
			pid := initOf(t, dir, sb.ID())
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			require.Eventually(t, func() bool {
				info, err := sb.Info(t.Context())
				return err == nil && info.Status == compute.StatusFailed
			}, 5*time.Second, 10*time.Millisecond)
			assert.ErrorIs(t, p.DeleteVolume(t.Context(), v), compute.ErrConflict, "it can be resumed")
			require.NoError(t, compute.Resume(t.Context(), sb))
			assert.Equal(t, "kept\n", script(t, sb, "cat /v/f").Stdout)
			require.NoError(t, os.Remove(filepath.Join(dir, "sandboxes", sb.ID(), "meta.json")), "as if it were half destroyed")
			require.NoError(t, p.DeleteVolume(t.Context(), v))
			requireNoLoop(t, v)
		})
	}
	newLocal(t, dir, local.Namespaces)
	_, err := os.Stat(half)
	assert.ErrorIs(t, err, fs.ErrNotExist, "a volume that was half made")
}

func requireNoLoop(t *testing.T, volume string) {
	t.Helper()
	require.Eventually(t, func() bool {
		list, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
		for _, name := range list {
			if data, err := os.ReadFile(name); err == nil && strings.Contains(string(data), volume) {
				return false
			}
		}
		return true
	}, 10*time.Second, 10*time.Millisecond, "a loop device is left")
}
