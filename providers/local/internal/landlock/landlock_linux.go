package landlock

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the versions of Landlock's interface added.
const (
	ABIRefer    = 2 // moving files between directories
	ABITruncate = 3 // emptying files, which older versions do not hold back
	ABINet      = 4 // TCP
	ABIIoctl    = 5 // control of devices
	ABIScope    = 6 // signals and abstract sockets
)

// ABI returns the version that the kernel has. The error says why there is
// none: ENOSYS where it is not built in or a filter hides it, EOPNOTSUPP where
// it was not enabled at boot.
func ABI() (int, error) {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, os.NewSyscallError("landlock_create_ruleset", errno)
	}
	return int(v), nil
}

// What may be done with files.
const (
	read    = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	execute = unix.LANDLOCK_ACCESS_FS_EXECUTE
	write   = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	change  = unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
	devices = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
	control = unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	// ofFiles are the rights that a rule for a file can have.
	ofFiles = unix.LANDLOCK_ACCESS_FS_READ_FILE | execute | write | control
)

// Rights are a set of what a rule allows.
type Rights uint64

// The rights that rules are made of.
const (
	Read   Rights = read
	Run    Rights = read | execute
	All    Rights = read | execute | write | change
	Device Rights = unix.LANDLOCK_ACCESS_FS_READ_FILE | write | control
)

// Rules are what a thread may do. Files that no rule names are closed.
type Rules struct {
	Files []File
	// NoConnect forbids TCP connections, where the kernel can (ABINet).
	NoConnect bool
	// Scope forbids signals to, and abstract sockets of, processes that are not
	// restricted by the same rules, where the kernel can (ABIScope).
	Scope bool
}

// A File is a file or directory with all below it, and what may be done there.
type File struct {
	Path   string
	Rights Rights
	// Optional files need not be there.
	Optional bool
}

// handled is what the rules speak of: as much as this version knows.
func (r Rules) handled(abi int) unix.LandlockRulesetAttr {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: (read | execute | write | change | devices | control) & fsRights(abi)}
	if r.NoConnect && abi >= ABINet {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if r.Scope && abi >= ABIScope {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return attr
}

// fsRights are those that a version knows.
func fsRights(abi int) uint64 {
	known := uint64(unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1)
	for version, right := range map[int]uint64{
		ABIRefer: unix.LANDLOCK_ACCESS_FS_REFER, ABITruncate: unix.LANDLOCK_ACCESS_FS_TRUNCATE, ABIIoctl: control,
	} {
		if abi >= version {
			known |= right
		}
	}
	return known
}

// Restrict restricts the calling thread, which the caller must have locked and
// should not use for anything else afterwards: there is no way back.
func (r Rules) Restrict() error {
	abi, err := ABI()
	if err != nil {
		return err
	}
	attr := r.handled(abi)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return os.NewSyscallError("landlock_create_ruleset", errno)
	}
	defer unix.Close(int(fd))
	for _, f := range r.Files {
		if err := f.allow(int(fd), attr.Handled_access_fs); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl(PR_SET_NO_NEW_PRIVS)", err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return os.NewSyscallError("landlock_restrict_self", errno)
	}
	return nil
}

func (f File) allow(ruleset int, handled uint64) error {
	fd, err := unix.Open(f.Path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if f.Optional && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOTDIR)) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: f.Path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: f.Path, Err: err}
	}
	rights := uint64(f.Rights) & handled
	if rights == 0 {
		return nil
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= ofFiles
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("landlock_add_rule for %s: %w", f.Path, errno)
	}
	return nil
}
