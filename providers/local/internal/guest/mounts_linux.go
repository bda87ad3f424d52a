package guest

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// cutVolumes takes the volumes from the mounts that have come: they are last.
func cutVolumes(config *wire.Config, mounts []*os.File) (rest, volumes []*os.File, err error) {
	if len(config.Mounts) == 0 {
		return mounts, nil, nil
	}
	if !config.Fds {
		volumes, err = openVolumes(config)
		return mounts, volumes, err
	}
	at := len(mounts) - len(config.Mounts)
	if at < 0 {
		return nil, nil, fmt.Errorf("%d mounts came where %d volumes are needed", len(mounts), len(config.Mounts))
	}
	return mounts[:at:at], mounts[at:], nil
}

// openVolumes makes mounts of the host's directories before the host's files
// are out of reach.
func openVolumes(config *wire.Config) ([]*os.File, error) {
	var volumes []*os.File
	for _, m := range config.Mounts {
		fd, err := unix.OpenTree(unix.AT_FDCWD, m.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
		if err != nil {
			return nil, fmt.Errorf("open_tree of a volume: %w", err)
		}
		f := os.NewFile(uintptr(fd), m.Source)
		volumes = append(volumes, f)
		attr := unix.MountAttr{Propagation: unix.MS_PRIVATE, Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
		if m.ReadOnly {
			attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
		}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
			return nil, fmt.Errorf("mount_setattr of a volume: %w", err)
		}
	}
	return volumes, nil
}

// placeVolumes puts the volumes at their places in the new root, before there
// are commands. The names go through files that commands of an earlier life may
// have prepared, and so, like all such names, lead nowhere else.
func (s *server) placeVolumes(volumes []*os.File) error {
	defer wire.CloseAll(volumes)
	for i, m := range s.config.Mounts {
		if err := s.root.mount(volumes[i], m.Target); err != nil {
			return &opError{wire.CodeMount, fmt.Errorf("mounting a volume at %s: %w", m.Target, err)}
		}
	}
	return nil
}

func (r *root) mount(volume *os.File, target string) error {
	if err := r.mkdirAll(target, 0o755); err != nil {
		return err
	}
	dir, err := r.open(target, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	name := realName(rawFd(dir))
	for _, own := range []string{"/proc/", "/dev/"} {
		if name == "/" || strings.HasPrefix(name+"/", own) {
			return fmt.Errorf("it leads to %s: %w", name, unix.EBUSY)
		}
	}
	return unix.MoveMount(rawFd(volume), "", rawFd(dir), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}
