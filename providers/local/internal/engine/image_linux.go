package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An image is a file system in a file, which holds what one run of a sandbox
// writes, so that the kernel bounds it. It is mounted nowhere: its mount is
// passed on as a descriptor and lives as long as whoever holds it, and so does
// the loop device.

// imageName is the file, in a sandbox's directory.
const imageName = "disk"

// minImage is the least that a file system of its own is made for.
const minImage = 4 << 20

// imageOf returns the image that holds the upper directory of a path, if there
// is one.
func imageOf(upper string) (string, bool) {
	image := filepath.Join(filepath.Dir(filepath.Dir(upper)), imageName)
	if filepath.Base(upper) != upperName || filepath.Base(filepath.Dir(upper)) != fsName {
		return "", false
	}
	_, err := os.Lstat(image)
	return image, err == nil
}

// makeImage makes the image for a sandbox, and mounts it. An error is that of
// a system that lacks a part of that.
func makeImage(dir string, l Limits, ids idMap) (mount int, err error) {
	mkfs, err := lookMkfs()
	if err != nil {
		return -1, err
	}
	path := filepath.Join(dir, imageName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return -1, err
	}
	defer f.Close()
	err = errors.Join(f.Truncate(l.Disk+overhead(l)), f.Chown(ids.uid, ids.gid))
	if err == nil {
		err = format(mkfs, f, l, ids)
	}
	if err == nil {
		mount, err = mountImage(path)
	}
	if err != nil {
		return -1, errors.Join(err, os.Remove(path))
	}
	return mount, nil
}

// inodeBytes is what the file system takes for each file, and others what it
// takes for itself.
const (
	inodeBytes = 256
	others     = 1 << 20
)

// overhead is how much larger than what it holds the image has to be.
func overhead(l Limits) int64 { return l.inodes()*inodeBytes + l.Disk/100 + others }

func lookMkfs() (string, error) {
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, "mkfs.ext4")); err == nil {
			return path, nil
		}
	}
	return exec.LookPath("mkfs.ext4")
}

// format makes the file system, as the user to whom the file was given, who
// can reach nothing else.
func format(mkfs string, f *os.File, l Limits, ids idMap) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	cmd := exec.CommandContext(ctx, mkfs, "-q", "-F", "-m", "0", "-b", "4096", "-I", strconv.Itoa(inodeBytes), "-N", strconv.FormatInt(l.inodes(), 10),
		"-O", "^has_journal,^resize_inode", "-E", fmt.Sprintf("nodiscard,lazy_itable_init=1,root_owner=%d:%d", ids.uid, ids.gid), "/proc/self/fd/3")
	cmd.Env, cmd.Dir, cmd.ExtraFiles = []string{}, "/", []*os.File{f}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true,
		Credential: &syscall.Credential{Uid: uint32(ids.uid), Gid: uint32(ids.gid)}}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.ext4: %w: %.200s", err, out)
	}
	return nil
}

// mountImage mounts an image as a detached mount. That of an image which is
// mounted already is another of the same file system.
func mountImage(path string) (mount int, err error) {
	for wait := time.Millisecond; wait < time.Second; wait *= 2 {
		var loop *os.File
		if loop, err = attachLoop(path); err == nil {
			mount, err = mountLoop(loop)
			_ = loop.Close()
		}
		if err == nil {
			return mount, nil
		}
		// The loop device was just being given back, or taken by another.
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENXIO) && !errors.Is(err, unix.EINVAL) {
			break
		}
		time.Sleep(wait)
	}
	return -1, fmt.Errorf("mounting %s: %w", path, err)
}

func mountLoop(loop *os.File) (int, error) {
	fs, err := unix.Fsopen("ext4", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "source", loop.Name()); err != nil {
		return -1, os.NewSyscallError("fsconfig", err)
	}
	// What the sandbox removes is to be given back; what is not in the
	// inode tables need not be written.
	for _, option := range []string{"discard", "noinit_itable"} {
		if err := unix.FsconfigSetFlag(fs, option); err != nil {
			return -1, os.NewSyscallError("fsconfig", err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, os.NewSyscallError("fsconfig", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	return fd, os.NewSyscallError("fsmount", err)
}

// attachLoop returns the loop device of an image, which goes away with its
// last user.
func attachLoop(path string) (*os.File, error) {
	image, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(image.Fd()), &st); err != nil {
		return nil, err
	}
	if loop := findLoop(&st); loop != nil {
		return loop, nil
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return nil, os.NewSyscallError("LOOP_CTL_GET_FREE", err)
	}
	loop, err := os.OpenFile("/dev/loop"+strconv.Itoa(n), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	config := unix.LoopConfig{Fd: uint32(image.Fd()), Size: 4096}
	config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
	if err := unix.IoctlLoopConfigure(int(loop.Fd()), &config); err != nil {
		_ = loop.Close()
		return nil, os.NewSyscallError("LOOP_CONFIGURE", err)
	}
	return loop, nil
}

// findLoop returns the loop device that has a file, if one has.
func findLoop(image *unix.Stat_t) *os.File {
	devices, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, d := range devices {
		loop, err := os.OpenFile("/dev/"+strings.Split(d, "/")[3], os.O_RDWR, 0)
		if err != nil {
			continue
		}
		info, err := unix.IoctlLoopGetStatus64(int(loop.Fd()))
		if err == nil && info.Inode == image.Ino && info.Device == image.Dev {
			return loop
		}
		_ = loop.Close()
	}
	return nil
}

// openUpper opens the upper directory of a run, on its image if it has one.
func openUpper(upper string) (*os.File, error) {
	image, ok := imageOf(upper)
	if !ok {
		return os.OpenFile(upper, os.O_RDONLY|unix.O_DIRECTORY, 0)
	}
	mount, err := mountImage(image)
	if err != nil {
		return nil, err
	}
	defer unix.Close(mount)
	fd, err := unix.Openat(mount, upperName, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: upper, Err: err}
	}
	return os.NewFile(uintptr(fd), upper), nil
}

// Flush writes back what a file system holds that is the sandbox's own: the image
// of what it writes. What is in the state directory's file system is not flushed.
func (b *Box) Flush(context.Context) error {
	if _, ok := imageOf(b.Upper()); !ok {
		return nil
	}
	upper, err := openUpper(b.Upper())
	if err != nil {
		return err
	}
	defer upper.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(upper.Fd())))
}

// prepareImage makes the sandbox's image, where there can be one. Elsewhere
// init keeps the quota.
func (l *launcher) prepareImage() {
	limits := l.spec.Limits
	if limits.Disk == 0 || !l.ids.ranged() || os.Geteuid() != 0 {
		return
	}
	for _, layer := range l.spec.Layers[len(l.spec.Layers)-limits.Earlier:] {
		limits.Disk -= usedIn(layer)
	}
	limits.Disk = max(limits.Disk, minImage)
	if mount, err := makeImage(l.spec.Dir, limits, l.ids); err == nil {
		l.image = os.NewFile(uintptr(mount), imageName)
	}
}

// usedIn is what an earlier run has used of its image, 0 if it has none.
func usedIn(upper string) int64 {
	image, ok := imageOf(upper)
	if !ok {
		return 0
	}
	var st unix.Stat_t
	if unix.Lstat(image, &st) != nil {
		return 0
	}
	return st.Blocks * 512
}

// root is where the sandbox's own directories are made.
func (l *launcher) root() string {
	if l.image != nil {
		return fmt.Sprintf("/proc/self/fd/%d", l.image.Fd())
	}
	return filepath.Join(l.spec.Dir, fsName)
}

// source returns a mount of the i-th of the directories that init mounts.
func (l *launcher) source(i int, path string) (int, error) {
	const clone = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	if i == 0 && l.image != nil {
		return unix.FcntlInt(l.image.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	}
	if image, ok := imageOf(path); ok && l.inImage(path) {
		return mountImage(image)
	}
	return unix.OpenTree(unix.AT_FDCWD, path, clone)
}

func (l *launcher) inImage(path string) bool { return slices.Contains(l.spec.Layers, path) }

// images lists the layers of which init gets the whole image.
func (l *launcher) images(layers []string) (found []string) {
	for i, path := range layers {
		if _, ok := imageOf(path); ok {
			found = append(found, strconv.Itoa(i))
		}
	}
	return found
}
