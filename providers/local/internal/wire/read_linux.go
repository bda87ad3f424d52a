package wire

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ReadNow reads what a pipe holds, whatever the file's deadline. It fails when
// there is nothing.
func ReadNow(f *os.File, buf []byte) (n int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), buf) })
	if n <= 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), errors.Join(failed, err)
}

// Pending is how many bytes of a pipe or a terminal wait to be read.
func Pending(f *os.File) (n int64) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if got, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ); err == nil {
			n = int64(got)
		}
	})
	return n
}
