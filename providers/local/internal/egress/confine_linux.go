package egress

import (
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/seccomp"
)

// confine gives up what exec does not give back, and starts the program again.
func confine() int {
	steps := []func() error{
		// All but the standard files and the first orders.
		func() error { return unix.CloseRange(ControlFd+1, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC) },
		func() error { return unix.Chdir("/") },
		func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) },
		limits,
		landlock,
	}
	for _, step := range steps {
		if step() != nil {
			return 2
		}
	}
	_ = unix.Exec("/proc/self/exe", []string{ProcessName, confined}, []string{})
	return 2
}

// descriptors are enough for all connections, and those of lookups.
const descriptors = 4096

func limits() error {
	for resource, most := range map[int]uint64{unix.RLIMIT_NOFILE: descriptors, unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: 0} {
		var r unix.Rlimit
		if err := unix.Getrlimit(resource, &r); err != nil {
			return err
		}
		r.Max = min(r.Max, most)
		r.Cur = r.Max
		if err := unix.Setrlimit(resource, &r); err != nil {
			return err
		}
	}
	return nil
}

// What Landlock's versions can restrict. Executing is not among it, because of
// what confine does last; the filter on system calls forbids it afterwards.
const (
	fsVersion1 = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1 - unix.LANDLOCK_ACCESS_FS_EXECUTE
	fsVersion2 = fsVersion1 | unix.LANDLOCK_ACCESS_FS_REFER
	fsVersion3 = fsVersion2 | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	fsVersion5 = fsVersion3 | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	netBind    = 1 // LANDLOCK_ACCESS_NET_BIND_TCP, of version 4
	scopes     = 3 // abstract sockets and signals, of version 6
)

// readable is what finding names needs.
var readable = []string{"/etc", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager"}

// landlock leaves this thread, and what it executes, the right to read a few
// directories, if the kernel can do that.
func landlock() error {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return nil // it is an addition to what a user without rights cannot do
	}
	attr := struct{ fs, net, scoped uint64 }{fs: fsVersion1}
	size := unsafe.Sizeof(attr.fs)
	switch {
	case version >= 6:
		attr.fs, attr.net, attr.scoped, size = fsVersion5, netBind, scopes, unsafe.Sizeof(attr)
	case version >= 5:
		attr.fs, attr.net, size = fsVersion5, netBind, 2*size
	case version >= 4:
		attr.fs, attr.net, size = fsVersion3, netBind, 2*size
	case version >= 3:
		attr.fs = fsVersion3
	case version >= 2:
		attr.fs = fsVersion2
	}
	set, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(set))
	dirs := readable
	if target, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
		dirs = append(dirs[:len(dirs):len(dirs)], filepath.Dir(target))
	}
	for _, path := range append(dirs, libraries()...) {
		if err := allowReading(int(set), path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// libraries are the files that this program consists of, beside itself: what
// it was linked with, which it needs once more.
func libraries() []string {
	data, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		const path = 5 // the field
		if f := strings.Fields(line); len(f) > path && strings.HasPrefix(f[path], "/") && !strings.HasPrefix(f[path], "/memfd:") {
			seen[f[path]] = true
		}
	}
	return slices.Collect(maps.Keys(seen))
}

func allowReading(set int, path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	rights := uint64(unix.LANDLOCK_ACCESS_FS_READ_FILE)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		rights |= unix.LANDLOCK_ACCESS_FS_READ_DIR
	}
	var rule [12]byte // as the kernel has it, packed
	binary.NativeEndian.PutUint64(rule[:], rights)
	binary.NativeEndian.PutUint32(rule[8:], uint32(fd))
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule[0])), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// restrict refuses all threads the system calls that sandboxes are refused,
// and to start or touch other processes.
func restrict() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	return seccomp.InstallAlone()
}
