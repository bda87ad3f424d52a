//go:build linux

package local_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// A disk is a file system in a file. The file has what the file system has
// given to the disk, and not what it still holds in memory: a copy of it is
// what the machine would find after it has lost power.
type disk struct{ image, dir string }

func newDisk(t *testing.T) disk {
	t.Helper()
	d := disk{image: filepath.Join(t.TempDir(), "disk")}
	require.NoError(t, os.WriteFile(d.image, nil, 0o600))
	require.NoError(t, os.Truncate(d.image, 96<<20))
	if out, err := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", d.image).CombinedOutput(); err != nil {
		t.Skipf("no mkfs.ext4: %v: %s", err, out)
	}
	return d.mount(t)
}

func (d disk) mount(t *testing.T) disk {
	t.Helper()
	d.dir = t.TempDir()
	out, err := exec.CommandContext(t.Context(), "mount", "-o", "loop", d.image, d.dir).CombinedOutput()
	if err != nil {
		t.Skipf("this user cannot mount a file: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

// copy copies the image as it is now.
func (d disk) copy(to string) (err error) {
	src, err := os.Open(d.image)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	for at := int64(0); ; {
		start, err := unix.Seek(int(src.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return dst.Truncate(info.Size())
		}
		end, herr := unix.Seek(int(src.Fd()), start, unix.SEEK_HOLE)
		if err := errors.Join(err, herr); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, start), io.NewSectionReader(src, start, end-start)); err != nil {
			return err
		}
		at = end
	}
}

// Whatever step the power fails at: what was acknowledged is there, and what
// was not leaves nothing.
func TestPowerLostAtEveryStep(t *testing.T) {
	powerLost(t, "acts", 8, verifyAfterPower, func(*testing.T, *local.Provider, string) {})
}

func TestPowerLostAtEveryStepOfThings(t *testing.T) {
	powerLost(t, "things", 8, func(t *testing.T, c *local.Provider, _ string, told story) {
		told.done["run"] = false // which need not be on the disk
		verifyThings(t, c, told)
	}, deleteThings)
}

// powerLost has the power fail at some steps of what a program does in a mode. Both
// the machine that goes on and the one that starts again are then tidied up.
func powerLost(t *testing.T, mode string, atMost int, verify func(*testing.T, *local.Provider, string, story), tidy func(*testing.T, *local.Provider, string)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a disk")
	}
	d := newDisk(t)
	newLocal(t, filepath.Join(d.dir, "warm"), local.Namespaces)
	for _, n := range someSteps(t, filepath.Join(d.dir, "warm"), mode, atMost) {
		t.Run(fmt.Sprintf("step %d", n), func(t *testing.T) {
			d := newDisk(t)
			dir := filepath.Join(d.dir, "state")
			newLocal(t, dir, local.Namespaces)
			after := disk{image: filepath.Join(t.TempDir(), "after")}
			copied := make(chan error, 1)
			told := perform(t, dir, &stepper{mode: mode, killAt: n, before: func() { copied <- d.copy(after.image) }})
			c := newLocal(t, dir, local.Namespaces)
			tidy(t, c, dir)
			requireNothingLeft(t, c, dir)
			select {
			case err := <-copied:
				require.NoError(t, err)
			default:
				t.Skip("this run had fewer steps")
			}
			after = after.mount(t)
			dir = filepath.Join(after.dir, "state")
			c = newLocal(t, dir, local.Namespaces)
			verify(t, c, dir, told)
			tidy(t, c, dir)
			requireNothingLeft(t, c, dir)
		})
	}
}

// verifyAfterPower is verify, but for what a running sandbox has written: that
// need not be on the disk.
func verifyAfterPower(t *testing.T, c *local.Provider, _ string, told story) {
	t.Helper()
	if !told.done["suspend"] {
		told.done["write"], told.done["run"], told.done["rewrite"] = false, false, false
	}
	verify(t, c, told)
}

// What is in file systems of their own is on the disk when the disk's own file
// system is: what a sandbox with a limit has written when it is suspended, and a
// volume with a size.
func TestPowerLostWithImages(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a disk")
	}
	ctx := t.Context()
	d := newDisk(t)
	dir := filepath.Join(d.dir, "state")
	c := newLocal(t, dir, local.Namespaces)
	vol, err := c.CreateVolume(ctx, &compute.CreateVolumeOptions{SizeMiB: 8})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	withVolume := disk{image: filepath.Join(t.TempDir(), "volume")}
	require.NoError(t, d.copy(withVolume.image))

	sb := limited(t, c, compute.CreateSandboxOptions{Resources: compute.Resources{DiskMiB: 16}}, local.Limits{})
	require.NoError(t, ran(sb.RunCommand(ctx, compute.Shell("for i in 1 2 3; do echo kept >f$i; done; head -c 3000000 /dev/zero >big; mkdir d; echo kept >d/f"))))
	require.NoError(t, compute.Suspend(ctx, sb))
	suspended := disk{image: filepath.Join(t.TempDir(), "suspended")}
	require.NoError(t, d.copy(suspended.image))

	// What a sandbox is made with is there when that is acknowledged.
	tpl, err := c.CreateTemplate(ctx, &compute.CreateTemplateOptions{Name: "t", Launch: []string{"echo kept >launched; echo kept >/v/launched"}})
	require.NoError(t, err)
	launched := limited(t, c, compute.CreateSandboxOptions{Template: tpl.ID, Mounts: []compute.Mount{{Volume: vol.ID, Path: "/v"}},
		Resources: compute.Resources{DiskMiB: 16}}, local.Limits{})
	made := disk{image: filepath.Join(t.TempDir(), "made")}
	require.NoError(t, d.copy(made.image))
	remade, err := newLocal(t, filepath.Join(made.mount(t).dir, "state"), local.Namespaces).GetSandbox(ctx, launched.ID())
	require.NoError(t, err)
	require.NoError(t, compute.Resume(ctx, remade))
	requireFile(t, remade, "launched", "kept\n")
	requireFile(t, remade, "/v/launched", "kept\n")
	require.NoError(t, remade.Destroy(ctx))

	// Of images in it, the disk has not been told that they are mounted.
	dir = filepath.Join(suspended.mount(t).dir, "state")
	again, err := newLocal(t, dir, local.Namespaces).GetSandbox(ctx, sb.ID())
	require.NoError(t, err)
	require.NoError(t, compute.Resume(ctx, again))
	for _, f := range []string{"f1", "f2", "f3", "d/f"} {
		requireFile(t, again, f, "kept\n")
	}
	require.NoError(t, ran(again.RunCommand(ctx, compute.Shell("[ $(cat big | wc -c) = 3000000 ]"))))
	require.NoError(t, again.Destroy(ctx))

	after := newLocal(t, filepath.Join(withVolume.mount(t).dir, "state"), local.Namespaces)
	user := computetest.NewSandbox(t, after, &compute.CreateSandboxOptions{Mounts: []compute.Mount{{Volume: vol.ID, Path: "/v"}}})
	require.NoError(t, ran(user.RunCommand(ctx, compute.Shell("echo kept >/v/f && cat /v/f"))))
	require.NoError(t, user.Destroy(ctx))
}
