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
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a disk")
	}
	d := newDisk(t)
	newLocal(t, filepath.Join(d.dir, "warm"), local.Namespaces)
	for _, n := range someSteps(t, filepath.Join(d.dir, "warm"), 8) {
		t.Run(fmt.Sprintf("step %d", n), func(t *testing.T) {
			d := newDisk(t)
			dir := filepath.Join(d.dir, "state")
			newLocal(t, dir, local.Namespaces)
			after := disk{image: filepath.Join(t.TempDir(), "after")}
			copied := make(chan error, 1)
			told := perform(t, dir, &stepper{killAt: n, before: func() { copied <- d.copy(after.image) }})
			requireNothingLeft(t, newLocal(t, dir, local.Namespaces), dir)
			select {
			case err := <-copied:
				require.NoError(t, err)
			default:
				t.Skip("this run had fewer steps")
			}
			after = after.mount(t)
			dir = filepath.Join(after.dir, "state")
			c := newLocal(t, dir, local.Namespaces)
			verifyAfterPower(t, c, told)
			requireNothingLeft(t, c, dir)
		})
	}
}

// verifyAfterPower is verify, but for what a running sandbox has written: that
// need not be on the disk.
func verifyAfterPower(t *testing.T, c compute.Compute, told story) {
	t.Helper()
	if !told.done["suspend"] {
		told.done["write"], told.done["run"], told.done["rewrite"] = false, false, false
	}
	verify(t, c, told)
}
