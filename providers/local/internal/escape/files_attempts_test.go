//go:build linux && (amd64 || arm64)

package escape

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const secretText = "a secret of the machine"

// reads attempts to read a file of the machine.
func reads(name func(*world) string) func(*world) error {
	return func(w *world) error {
		_, err := text(name(w))
		return err
	}
}

// opens attempts to open a file, without reading or writing.
func opens(flags int, name string) func(*world) error {
	return func(*world) error {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
}

func noEntry() []syscall.Errno { return []syscall.Errno{unix.ENOENT} }

var fileAttempts = []attempt{
	{class: "files", name: "read a file of the machine", by: byMounts, errnos: noEntry(), control: same,
		do: reads(func(w *world) string { return w.Secret })},
	{class: "files", name: "read a file of the machine through ..", by: byMounts, errnos: noEntry(), control: same,
		do: reads(func(w *world) string { return strings.Repeat("../", 64) + w.Secret })},
	{class: "files", name: "read the machine's /etc/shadow", by: byMounts, errnos: noEntry(), control: host,
		do: reads(func(*world) string { return "/etc/shadow" })},
	{class: "files", name: "list the sandbox's own directory on the machine", by: byMounts, errnos: noEntry(), control: same,
		do: func(w *world) error { _, err := os.ReadDir(w.State); return err }},
	{class: "files", name: "leave a chroot, and the root with it", by: byMounts, errnos: noEntry(), control: host, alone: true,
		rooted: true, do: leaveChroot},
	{class: "files", name: "leave the root by a symbolic link", by: byMounts, errnos: noEntry(), control: same, do: func(w *world) error {
		link := filepath.Join(os.TempDir(), fmt.Sprintf("escape-link-%d", os.Getpid()))
		if err := os.Symlink(strings.Repeat("../", 64)+w.Secret, link); err != nil {
			panic(err)
		}
		defer os.Remove(link)
		_, err := text(link)
		return err
	}},
	{class: "files", name: "open_by_handle_at", by: bySeccomp, errnos: eperm, control: host.to(errDiffers), do: openByHandle},
	{class: "files", name: "name_to_handle_at", by: bySeccomp, errnos: eperm, control: same, do: func(*world) error {
		_, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/", 0)
		return err
	}},
	{class: "files", name: "find an inherited descriptor", by: byInit, control: bare, do: func(*world) error {
		if len(inheritedFds) == 0 {
			return errNone
		}
		return nil
	}},
	{class: "files", name: "give a file capabilities", by: byCapability, errnos: eperm, control: bare.to(nil, unix.EOPNOTSUPP), rooted: true,
		do: fileCapability},
	{class: "files", name: "gain root by a setuid file", by: byNNP, control: host, alone: true, ranged: true, user: true, do: setuidFile},
	{class: "files", name: "make a file immutable", by: byUsers, errnos: []syscall.Errno{unix.EPERM, unix.ENOTTY, unix.EOPNOTSUPP}, control: host.to(nil, unix.ENOTTY, unix.EOPNOTSUPP),
		do: immutable},
	{class: "files", name: "leave the quota's project", by: byUsers, errnos: []syscall.Errno{unix.EINVAL, unix.EPERM, unix.ENOTTY, unix.EOPNOTSUPP},
		control: none("takes a file system with project quotas"), do: otherProject},
}

// leaveChroot is the classic: a root below the working directory holds nobody.
func leaveChroot(w *world) error {
	dir, err := os.MkdirTemp("", "escape-")
	if err != nil {
		panic(err)
	}
	defer os.Remove(dir)
	up, err := os.Open("/")
	if err != nil {
		panic(err)
	}
	defer up.Close()
	if err := unix.Chroot(dir); err != nil {
		return err
	}
	if err := unix.Fchdir(int(up.Fd())); err != nil {
		return err
	}
	for range 64 {
		_ = unix.Chdir("..")
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	_, err = text(w.Secret)
	return err
}

func openByHandle(w *world) error {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, w.Secret, 0)
	if err != nil {
		// As one who guesses the number of the machine's root directory.
		handle = unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0})
	}
	dir, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		panic(err)
	}
	defer unix.Close(dir)
	fd, err := unix.OpenByHandleAt(dir, handle, unix.O_RDONLY)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// inheritedFds are the descriptors that came through exec: Go's own are closed
// by it.
var inheritedFds []int

func openFds() (fds []int) {
	for fd := 3; fd < 1024; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

func tempFile() *os.File {
	f, err := os.CreateTemp("", "escape-")
	if err != nil {
		panic(err)
	}
	return f
}

func fileCapability(*world) error {
	f := tempFile()
	defer os.Remove(f.Name())
	defer f.Close()
	// struct vfs_cap_data, revision 2: CAP_SYS_ADMIN, permitted and effective.
	data := make([]byte, 20)
	data[0], data[3] = 1, 2
	data[6] = 0x20
	return unix.Setxattr(f.Name(), "security.capability", data, 0)
}

// setuidFile runs a setuid copy of id. Inside it was put there by root.
func setuidFile(*world) error {
	for _, name := range []string{"/workspace/setuid-id", os.Getenv("COMPUTE_ESCAPE_SETUID")} {
		if name == "" {
			continue
		}
		out, err := runAs(1000, name, "-u")
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if strings.TrimSpace(out) == "0" {
			return nil
		}
		return errors.New("it ran as user " + strings.TrimSpace(out))
	}
	panic("no setuid file")
}

func immutable(*world) error {
	f := tempFile()
	defer os.Remove(f.Name())
	defer f.Close()
	const fsImmutable = 0x10
	err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, fsImmutable)
	if err == nil {
		_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0)
	}
	return err
}

func otherProject(*world) error {
	f := tempFile()
	defer os.Remove(f.Name())
	defer f.Close()
	attr := struct {
		xflags, extsize, nextents, projid, cowextsize uint32
		pad                                           [8]byte
	}{projid: 4711}
	const setXAttr = 0x401c5820 // FS_IOC_FSSETXATTR
	return sys(unix.SYS_IOCTL, f.Fd(), setXAttr, uintptr(unsafe.Pointer(&attr)))
}
