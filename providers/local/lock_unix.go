//go:build unix

package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// lock takes a lock on a file, which it makes if need be. The lock ends with
// unlock or with this program, however it ends. Without wait, it returns a nil
// unlock if somebody else has the lock.
func lock(file string, exclusive, wait bool) (unlock func(), err error) {
	return lockFile(file, os.O_CREATE, exclusive, wait)
}

// lockFile is lock with flags for opening the file.
func lockFile(file string, flags int, exclusive, wait bool) (unlock func(), err error) {
	f, err := openLocked(file, flags, exclusive, wait)
	if f == nil {
		return nil, err
	}
	return func() { closeLocked(f) }, nil
}

// closeLocked gives a lock back, also for what has inherited it. Closing alone
// would leave it to a process that this program is starting, which has the
// descriptor too until it executes its own.
func closeLocked(f *os.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	_ = f.Close()
}

// openLocked is lockFile for a lock that lasts until the file, and whatever has
// inherited it, is closed.
func openLocked(file string, flags int, exclusive, wait bool) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, &fs.PathError{Op: "lock", Path: file, Err: err}
	}
	return f, nil
}

// device tells file systems apart.
func device(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev) //nolint:unconvert // its type differs from system to system
	}
	return 0
}

// inode tells a file from others of its name, and from its earlier states.
func inode(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprint(st.Dev, " ", st.Ino)
	}
	return ""
}

// ownedByUs makes sure that a directory is this user's.
func ownedByUs(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d, not to this one", st.Uid)
	}
	return nil
}
