package quota

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Available returns what this system lacks, or nil. It is quick, and so looks
// at what is there without trying it.
func Available() error {
	if os.Geteuid() != 0 {
		return &UnavailableError{Facility: "a size is kept by a file system on a loop device, which only root can mount " +
			"(this program is user " + fmt.Sprint(os.Geteuid()) + ")"}
	}
	if _, err := mkfs(); err != nil {
		return err
	}
	ctl, err := openControl()
	if err != nil {
		return err
	}
	return ctl.Close()
}

func openControl() (*os.File, error) {
	f, err := os.OpenFile("/dev/loop-control", os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &UnavailableError{Facility: "loop devices (modprobe loop; a container needs /dev/loop-control and /dev/loop*)", Err: err}
	}
	return f, nil
}

// mkfs finds the program that makes file systems, also for those whose PATH
// has no directories for root.
func mkfs() (string, error) {
	const program = "mkfs.ext4"
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", &UnavailableError{Facility: program + " (install e2fsprogs)", Err: fs.ErrNotExist}
}

// Make makes a file system of the size in an image, which must not exist. The
// file takes room as it is written to. Its top directory is empty, and belongs
// to the user and the group. If Make fails, or ctx ends, the image is not there.
func Make(ctx context.Context, image string, sizeMiB, uid, gid int) (err error) {
	if sizeMiB < MinMiB || sizeMiB > MaxMiB {
		return fmt.Errorf("a file system has %d to %d MiB: %w", MinMiB, MaxMiB, unix.EINVAL)
	}
	if err := Available(); err != nil {
		return err
	}
	f, err := os.OpenFile(image, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(image))
		}
	}()
	err = f.Truncate(int64(sizeMiB) << 20)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := format(ctx, image, uid, gid); err != nil {
		return err
	}
	return empty(image)
}

func format(ctx context.Context, image string, uid, gid int) error {
	program, err := mkfs()
	if err != nil {
		return err
	}
	options := fmt.Sprintf("root_owner=%d:%d,lazy_itable_init=1,lazy_journal_init=1,nodiscard", uid, gid)
	cmd := exec.CommandContext(ctx, program, "-q", "-F", "-m", "0", "-E", options, image)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%s: %s: %w", filepath.Base(program), strings.TrimSpace(string(out[:min(len(out), 512)])), err)
	}
	return nil
}

// empty removes what mkfs leaves in the top directory.
func empty(image string) error {
	mount, err := Open(image)
	if err != nil {
		return err
	}
	defer mount.Close()
	err = unix.Unlinkat(int(mount.Fd()), "lost+found", unix.AT_REMOVEDIR)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "rmdir", Path: "lost+found", Err: err}
	}
	return nil
}

// Open mounts the file system of an image and returns the mount, which is
// nowhere in the tree of files: it can be used like a directory, and moved to a
// place with Place, or by whoever gets the descriptor. It goes when its last
// user does. An image can be opened any number of times at once, by any number
// of programs of this machine; all see the same files.
func Open(image string) (*os.File, error) {
	f, err := os.OpenFile(image, os.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Two loop devices with one file would destroy what is in it.
	if err := flock(f); err != nil {
		return nil, &os.PathError{Op: "lock", Path: image, Err: err}
	}
	loop, err := attach(f)
	if err != nil {
		return nil, err
	}
	defer loop.Close() // from then on the mount keeps it
	return mount(loop.Name())
}

func flock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			return err
		}
	}
}

// mount mounts a device without giving the mount a place.
func mount(device string) (*os.File, error) {
	fail := func(what string, err error) (*os.File, error) {
		return nil, &UnavailableError{Facility: "mounting ext4 (" + what + "; Linux 5.2 or newer, CAP_SYS_ADMIN on the machine itself)", Err: err}
	}
	fsfd, err := unix.Fsopen("ext4", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fail("fsopen", err)
	}
	defer unix.Close(fsfd)
	if err := unix.FsconfigSetString(fsfd, "source", device); err != nil {
		return fail("fsconfig", err)
	}
	// What is deleted in it gives room back to the host.
	if err := unix.FsconfigSetFlag(fsfd, "discard"); err != nil {
		return fail("fsconfig", err)
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return fail("fsconfig", err)
	}
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return fail("fsmount", err)
	}
	return os.NewFile(uintptr(fd), device), nil
}

// Place puts a mount from Open at a directory, for all of this machine to see,
// until Remove.
func Place(mount *os.File, dir string) error {
	err := unix.MoveMount(int(mount.Fd()), "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err != nil {
		return &os.PathError{Op: "mount", Path: dir, Err: err}
	}
	return nil
}

// Remove takes a mount from its place, also while it is used there. That there
// is none is no error.
func Remove(dir string) error {
	err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return &os.PathError{Op: "unmount", Path: dir, Err: err}
	}
	return nil
}
