package host

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/engine"
)

func openTerminal(size engine.Size) (*stdio, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.SyscallError{Syscall: "open /dev/ptmx", Err: err}
	}
	master := os.NewFile(uintptr(fd), "terminal")
	slave, err := openSlave(fd)
	if err == nil {
		err = resize(master, size)
	}
	if err != nil {
		return nil, errors.Join(err, master.Close())
	}
	return &stdio{theirs: []*os.File{slave, slave, slave}, in: nil, out: []*os.File{master}, tty: true}, nil
}

// openSlave opens the command's side.
func openSlave(master int) (*os.File, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return nil, os.NewSyscallError("TIOCSPTLCK", err)
	}
	n, err := unix.IoctlGetUint32(master, unix.TIOCGPTN)
	if err != nil {
		return nil, os.NewSyscallError("TIOCGPTN", err)
	}
	fd, err := unix.Open("/dev/pts/"+strconv.FormatUint(uint64(n), 10), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.SyscallError{Syscall: "open /dev/pts", Err: err}
	}
	return os.NewFile(uintptr(fd), "terminal"), nil
}

func resize(master *os.File, size engine.Size) error {
	if size.Rows <= 0 || size.Cols <= 0 {
		size = engine.Size{Rows: 24, Cols: 80}
	}
	const most = 1 << 15
	ws := unix.Winsize{Row: uint16(min(size.Rows, most)), Col: uint16(min(size.Cols, most))}
	raw, err := master.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &ws) })
	return errors.Join(err, failed)
}
