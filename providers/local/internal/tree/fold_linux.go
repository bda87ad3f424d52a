package tree

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Fold moves what is in the directory src into the directory dst, so that dst
// shows as a layer what both did, src over dst. What removes names is kept,
// since there may be layers below. Both must be of one file system, and dst
// nobody else's.
//
// below are the layers under dst, the highest first. They tell what need not
// be hidden any more: where a directory is in one layer only, the kernel would
// list what removes names as if it were names.
//
// It moves and does not copy, so it costs as much as src has names. At any
// moment src over dst shows the same: cut short, it can be begun again.
func Fold(dst, src int, below Below) error {
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	return fold(dst, src, &st, "", below)
}

func fold(dst, src int, st *unix.Stat_t, path string, below Below) error {
	fd, err := unix.Openat(src, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return foldError("open", path, err)
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := foldEntry(dst, src, name, path+"/"+name, below); err != nil {
			return err
		}
	}
	if err := removeAttributes(dst); err != nil {
		return err
	}
	return finish(dst, src, st)
}

func foldEntry(dst, src int, name, path string, below Below) error {
	var st, old unix.Stat_t
	if err := unix.Fstatat(src, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return foldError("lstat", path, err)
	}
	err := unix.Fstatat(dst, name, &old, unix.AT_SYMLINK_NOFOLLOW)
	if st.Mode&unix.S_IFMT == unix.S_IFCHR && below.empty() && path != "/"+name {
		if err := Remove(dst, name); err != nil {
			return err
		}
		return foldError("unlink", path, unix.Unlinkat(src, name, 0))
	}
	isDir, wasDir := st.Mode&unix.S_IFMT == unix.S_IFDIR, old.Mode&unix.S_IFMT == unix.S_IFDIR
	switch {
	case err == unix.ENOENT:
	case err != nil:
		return foldError("lstat", path, err)
	case isDir && wasDir:
		return foldDir(dst, src, name, path, &st, below)
	case isDir:
		// What was here hid what is below, and the directory must too.
		if err := hideBelow(src, name, path); err != nil {
			return err
		}
		if err := unix.Unlinkat(dst, name, 0); err != nil {
			return foldError("unlink", path, err)
		}
	case wasDir:
		if err := Remove(dst, name); err != nil {
			return err
		}
	}
	return foldError("rename", path, unix.Renameat(src, name, dst, name))
}

func foldDir(dst, src int, name, path string, st *unix.Stat_t, below Below) error {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	from, err := unix.Openat(src, name, flags, 0)
	if err != nil {
		return foldError("open", path, err)
	}
	defer unix.Close(from)
	if opaque(from) {
		if err := Remove(dst, name); err != nil {
			return err
		}
		return foldError("rename", path, unix.Renameat(src, name, dst, name))
	}
	to, err := unix.Openat(dst, name, flags, 0)
	if err != nil {
		return foldError("open", path, err)
	}
	defer unix.Close(to)
	under := Below{}
	if !opaque(to) {
		under = below.sub(name)
		defer under.close()
	}
	if err := fold(to, from, st, path, under); err != nil {
		return err
	}
	return foldError("rmdir", path, unix.Unlinkat(src, name, unix.AT_REMOVEDIR))
}

// foldError is the error of a step; unlike where trees are copied, nothing may
// be gone.
func foldError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}

func opaque(dir int) bool {
	value := make([]byte, 8)
	n, err := unix.Fgetxattr(dir, opaqueAttr, value)
	return err == nil && string(value[:n]) == "y"
}

func hideBelow(src int, name, path string) error {
	fd, err := unix.Openat(src, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return foldError("open", path, err)
	}
	defer unix.Close(fd)
	return foldError("setxattr", path, unix.Fsetxattr(fd, opaqueAttr, []byte("y"), 0))
}

// removeAttributes removes a directory's attributes: those of the one above
// take their place. That it hides what is below is not one of those.
func removeAttributes(fd int) error {
	names, err := listAttributes(fd)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == opaqueAttr {
			continue
		}
		if err := unix.Fremovexattr(fd, name); err != nil && err != unix.ENODATA {
			return fmt.Errorf("removing the attribute %q: %w", name, err)
		}
	}
	return nil
}

// listAttributes lists the attributes that users can set.
func listAttributes(fd int) ([]string, error) {
	list := make([]byte, 64<<10)
	n, err := unix.Flistxattr(fd, list)
	if err == unix.ENOTSUP {
		return nil, nil
	}
	if err != nil {
		return nil, os.NewSyscallError("flistxattr", err)
	}
	var names []string
	for name := range strings.SplitSeq(string(list[:n]), "\x00") {
		if strings.HasPrefix(name, "user.") {
			names = append(names, name)
		}
	}
	return names, nil
}

// mergeName is a directory that Merge uses for a while. No tree of a layer has
// that name.
const mergeName = ".merging"

// Merge copies layers into the directory dst, which shows what they do as a
// stack: the last of srcs is the highest.
func Merge(dst int, srcs []int, below Below) error {
	for _, src := range srcs {
		if err := mergeOne(dst, src, below); err != nil {
			return err
		}
	}
	return nil
}

func mergeOne(dst, src int, below Below) error {
	if err := unix.Mkdirat(dst, mergeName, 0o755); err != nil {
		return err
	}
	fd, err := openDir(dst, mergeName)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := Copy(fd, src); err != nil {
		return err
	}
	if err := Fold(dst, fd, below); err != nil {
		return err
	}
	return unix.Unlinkat(dst, mergeName, unix.AT_REMOVEDIR)
}
