package tree

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// flattenDepth is how many directories deep Remove goes before it moves what
// is below up to the top: a tree can be deeper than a process may have files
// open. It stays inside the tree, so that a removal that is cut short leaves
// nothing anywhere else.
const flattenDepth = 100

// Remove removes the directory entry name of the directory dirfd and all
// below it. Modes do not matter where the caller may change them. That
// nothing is there is not an error.
func Remove(dirfd int, name string) error {
	r := remover{top: -1}
	return r.remove(dirfd, name, 0)
}

// RemovePath is Remove by path.
func RemovePath(dir, name string) error {
	d, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	return Remove(int(d.Fd()), name)
}

type remover struct{ top int }

func (r *remover) remove(dirfd int, name string, depth int) error {
	switch err := unix.Unlinkat(dirfd, name, 0); err {
	case nil, unix.ENOENT:
		return nil
	case unix.EISDIR, unix.EPERM:
	default:
		return pathError("unlinkat", name, err)
	}
	// An empty directory goes without being opened, whatever its mode.
	if err := unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR); err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if depth >= flattenDepth && r.moveUp(dirfd, name) {
		return nil
	}
	if err := r.empty(dirfd, name, depth); err != nil {
		return err
	}
	return pathError("unlinkat", name, unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR))
}

// moveUp moves a directory to the top, where it will be found. The name is
// none that a hostile program could have put there before.
func (r *remover) moveUp(dirfd int, name string) bool {
	to := ".compute-removing-" + rand.Text()
	if unix.Renameat(dirfd, name, r.top, to) == nil {
		return true
	}
	// A directory that changes its parent is written to, so its mode matters.
	dir, err := openForRemoval(dirfd, name)
	if err != nil {
		return false
	}
	_ = dir.Close()
	return unix.Renameat(dirfd, name, r.top, to) == nil
}

func (r *remover) empty(dirfd int, name string, depth int) error {
	dir, err := openForRemoval(dirfd, name)
	if err != nil {
		return err
	}
	defer dir.Close()
	if depth == 0 {
		r.top = int(dir.Fd())
	}
	for {
		names, _ := dir.Readdirnames(1000)
		if len(names) == 0 {
			return nil
		}
		for _, n := range names {
			if err := r.remove(int(dir.Fd()), n, depth+1); err != nil {
				return err
			}
		}
		// What was removed may have moved the position in the directory.
		if _, err := dir.Seek(0, 0); err != nil {
			return err
		}
	}
}

// openForRemoval opens a directory in which names can be removed, giving
// itself the permission first where it is the owner and lacks it.
func openForRemoval(dirfd int, name string) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	path, err := unix.Openat(dirfd, name, unix.O_PATH|flags, 0)
	if err != nil {
		return nil, pathError("openat", name, err)
	}
	defer unix.Close(path)
	var st unix.Stat_t
	if err := unix.Fstat(path, &st); err == nil && st.Mode&0o700 != 0o700 {
		// Through /proc, since an O_PATH descriptor cannot be changed itself
		// and the name may have become another file by now.
		_ = unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", path), 0o700)
	}
	fd, err := unix.Openat(path, ".", flags, 0)
	if err != nil {
		return nil, pathError("openat", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func pathError(op, name string, err error) error {
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return &os.PathError{Op: op, Path: name, Err: err}
}
