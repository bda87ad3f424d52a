package engine

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// The IDs of sandboxes on a host where they can have a range of their own:
// above those of containers, users and services by the conventions of
// systemd, so that they belong to nobody else.
const (
	rangeBase = 0x70000000
	rangeSize = 1 << 16
)

// An idMap says which host IDs the sandbox's IDs are.
type idMap struct {
	uid, gid int // of root inside
	size     int
	sub      sub // what others than root are, if newuidmap makes the map
}

func (m idMap) ranged() bool { return m.size > 1 }

// currentMap chooses the map that this process can have: as root a range
// without the host's root, else only its own ID.
func currentMap() (idMap, error) {
	if os.Geteuid() != 0 {
		return userMap(), nil
	}
	first, count, err := ownRange()
	switch {
	case err != nil:
		return idMap{}, err
	case first <= rangeBase && first+count >= rangeBase+rangeSize:
		return idMap{uid: rangeBase, gid: rangeBase, size: rangeSize}, nil
	case count >= 2*rangeSize: // root of a container with users to spare
		base := int(first + count - rangeSize)
		return idMap{uid: base, gid: base, size: rangeSize}, nil
	case count > 1:
		return idMap{}, &UnavailableError{Facility: fmt.Sprintf("this root user has only %d user IDs, %d are needed", count, 2*rangeSize)}
	}
	return idMap{size: 1}, nil // root of a user namespace of one: not the host's
}

// ownRange returns the last range of IDs that exist in this process's own
// user namespace.
func ownRange() (first, count int64, err error) {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return 0, 0, err
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	var outside int64
	_, err = fmt.Sscan(lines[len(lines)-1], &first, &outside, &count)
	return first, count, err
}

// attributes are those of a process that is root in a new user namespace.
func (m idMap) attributes(flags uintptr) *syscall.SysProcAttr {
	if m.helped() {
		return helpedAttributes(flags)
	}
	mapping := func(host int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: host, Size: m.size}}
	}
	return &syscall.SysProcAttr{
		Cloneflags:                 flags | syscall.CLONE_NEWUSER,
		UidMappings:                mapping(m.uid),
		GidMappings:                mapping(m.gid),
		GidMappingsEnableSetgroups: m.ranged(),
		Credential:                 &syscall.Credential{NoSetGroups: !m.ranged()},
		Setsid:                     true,
	}
}

// give makes root inside the owner of a file.
func (m idMap) give(path string) error {
	if !m.shifted() {
		return nil
	}
	return os.Lchown(path, m.uid, m.gid)
}
