package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/quota"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// MakeVolume makes an empty directory that sandboxes can mount, and whose owner
// is their root. The directories above it must keep others out.
func MakeVolume(dir string) error {
	ids, err := currentMap()
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
		return err
	}
	return ids.give(dir)
}

// FlushDisk writes back what the file system of MakeDisk holds.
func FlushDisk(image string) error {
	mount, err := quota.Open(image)
	if err != nil {
		return err
	}
	defer mount.Close()
	return flush(fmt.Sprintf("/proc/self/fd/%d", mount.Fd()))
}

// MakeDisk is MakeVolume for one of a size, which is kept in a file. The error
// matches errors.ErrUnsupported if this system cannot do that.
func MakeDisk(ctx context.Context, image string, sizeMiB int) error {
	ids, err := currentMap()
	if err != nil {
		return err
	}
	if err := quota.Available(); err != nil {
		return unavailableDisk(err)
	}
	if !ids.ranged() {
		return &UnavailableError{Facility: "a size is kept by a file system on a loop device, which only the machine's own root can mount"}
	}
	return unavailableDisk(quota.Make(ctx, image, sizeMiB, ids.uid, ids.gid))
}

func unavailableDisk(err error) error {
	if lack, ok := errors.AsType[*quota.UnavailableError](err); ok {
		return &UnavailableError{Facility: lack.Facility, Err: lack.Err}
	}
	return err
}

// absoluteMounts makes paths absolute, since init has another directory.
func absoluteMounts(mounts []Mount) ([]Mount, error) {
	list := slices.Clone(mounts)
	for i, m := range list {
		var err error
		if m.Dir == "" {
			continue
		}
		if list[i].Dir, err = filepath.Abs(m.Dir); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// volumeConfig describes the mounts to init.
func (l *launcher) volumeConfig() []wire.MountConfig {
	var list []wire.MountConfig
	for _, m := range l.spec.Mounts {
		list = append(list, wire.MountConfig{Source: m.Dir, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	return list
}

// volumes makes the mounts of volumes, after those of the root, where init as
// another user could not.
func (l *launcher) volumes(config *wire.Config) ([]int, error) {
	if !config.Fds {
		for _, m := range l.spec.Mounts {
			if m.Image != "" {
				return nil, &UnavailableError{Facility: "mounting a volume that has a size (only root can)"}
			}
		}
		return nil, nil
	}
	var fds []int
	for _, m := range l.spec.Mounts {
		fd, err := openVolume(m)
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func openVolume(m Mount) (int, error) {
	fd, err := detached(m)
	if err != nil {
		return -1, err
	}
	attr := unix.MountAttr{Propagation: unix.MS_PRIVATE, Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if m.ReadOnly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		_ = unix.Close(fd)
		return -1, &UnavailableError{Facility: "changing a mount (mount_setattr)", Err: err}
	}
	return fd, nil
}

func detached(m Mount) (int, error) {
	if m.Image == "" {
		fd, err := unix.OpenTree(unix.AT_FDCWD, m.Dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
		if err != nil {
			return -1, &os.PathError{Op: "open_tree", Path: m.Dir, Err: err}
		}
		return fd, nil
	}
	disk, err := quota.Open(m.Image)
	if err != nil {
		return -1, unavailableDisk(err)
	}
	defer disk.Close()
	return unix.FcntlInt(disk.Fd(), unix.F_DUPFD_CLOEXEC, 3)
}
