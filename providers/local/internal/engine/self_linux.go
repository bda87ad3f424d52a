package engine

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// self is a copy of this program's executable in memory that can no longer
// be changed, made once. A sandbox's init runs it rather than the file, so
// that no way from inside leads to the host's file, and so that init's
// program stays what it was when the file is replaced.
var self = sync.OnceValues(func() (string, error) {
	fd, err := sealedCopy(program)
	if err != nil {
		return "", &UnavailableError{Facility: "copying the program into sealed memory (memfd_create; see sysctl vm.memfd_noexec)", Err: err}
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd), nil
})

// program is the executable that inits run. Tests with the race detector set it,
// by the linker, to one without: it would make each process slow, and what it
// says in a sandbox nobody hears.
var program = "/proc/self/exe"

// highFd is above the descriptors that a child gets, where putting those in
// place would overwrite the program's.
const highFd = 1000

func sealedCopy(path string) (int, error) {
	src, err := os.Open(path)
	if err != nil {
		return -1, err
	}
	defer src.Close()
	fd, err := memfd()
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	if err := fill(fd, src); err != nil {
		return -1, err
	}
	// Nobody inside needs to read the program that runs as init. But newuidmap
	// serves processes only whose programs their user may read.
	mode := uint32(0o111)
	if os.Geteuid() != 0 {
		mode = 0o555
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return -1, err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return -1, os.NewSyscallError("F_ADD_SEALS", err)
	}
	return reopen(fd)
}

func memfd() (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("compute-init", flags|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3 all are executable
		fd, err = unix.MemfdCreate("compute-init", flags)
	}
	return fd, os.NewSyscallError("memfd_create", err)
}

func fill(fd int, src *os.File) error {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	dst := os.NewFile(uintptr(dup), "memfd")
	defer dst.Close()
	_, err = io.Copy(dst, src)
	return err
}

// reopen gives a descriptor of the copy that cannot write, since a file that
// is open for writing cannot be executed.
func reopen(fd int) (int, error) {
	path, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(path)
	for _, low := range []int{highFd, 100} { // the limit of descriptors may be low
		high, err := unix.FcntlInt(uintptr(path), unix.F_DUPFD_CLOEXEC, low)
		if err == nil {
			return high, nil
		}
	}
	return -1, unix.EMFILE
}
