package tree

import "golang.org/x/sys/unix"

// Below is what lies under a directory of a layer: directories of the same
// name in the layers below it, the highest first.
type Below struct {
	Dirs []int
	// Hosts are directories of the host that are the lowest, by the name of
	// the tree that they are under. Only at the top of layers.
	Hosts map[string]int

	unknown bool // there is more that cannot be seen
}

func (b Below) empty() bool { return len(b.Dirs) == 0 && !b.unknown }

// sub returns what lies under the directory name. As in the kernel's look-up,
// whatever is no directory hides what is under it, and so does one that is
// marked so.
func (b Below) sub(name string) Below {
	under := Below{unknown: b.unknown}
	for _, dir := range b.Dirs {
		fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		switch err {
		case nil:
			under.Dirs = append(under.Dirs, fd)
			if opaque(fd) {
				under.unknown = false
				return under
			}
		case unix.ENOENT:
		case unix.ENOTDIR, unix.ELOOP:
			under.unknown = false
			return under
		default: // one that is closed to us may be anything
			under.unknown = true
			return under
		}
	}
	if fd, ok := b.Hosts[name]; ok {
		if dup, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			under.Dirs = append(under.Dirs, dup)
		} else {
			under.unknown = true
		}
	}
	return under
}

func (b Below) close() {
	for _, fd := range b.Dirs {
		_ = unix.Close(fd)
	}
}
