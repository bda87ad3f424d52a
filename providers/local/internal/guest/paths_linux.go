package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// A root opens files by names that hostile programs have prepared. Init has
// more rights than they, and /proc has links that lead past every name, so
// all names go through openat2, which follows none of those.
type root struct {
	dir    *os.File
	tables tables
}

func openRoot() (*root, error) {
	dir, err := os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
	return &root{dir: dir}, err
}

const resolve = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// absolute makes a name absolute as commands would see it.
func absolute(name string) string {
	if !path.IsAbs(name) {
		name = workDir + "/" + name
	}
	return name
}

func (r *root) open(name string, flags int, mode uint32) (*os.File, error) {
	fd, err := r.openFd(name, flags, mode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openFd is open for those who only look and close.
func (r *root) openFd(name string, flags int, mode uint32) (int, error) {
	if strings.IndexByte(name, 0) >= 0 || name == "" {
		return -1, unix.EINVAL
	}
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Mode: uint64(mode), Resolve: resolve}
	for range 64 {
		fd, err := unix.Openat2(int(r.dir.Fd()), absolute(name), &how)
		if err == unix.EAGAIN || err == unix.EINTR { // something on the way was renamed
			continue
		}
		if err != nil {
			return -1, err
		}
		if ofProcess(fd) {
			_ = unix.Close(fd)
			return -1, unix.EACCES
		}
		return fd, nil
	}
	return -1, unix.EAGAIN
}

// ofProcess reports whether fd is in some process's directory of /proc. For
// init, "self" there is init: its memory and descriptors are no files.
func ofProcess(fd int) bool {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil || st.Type != unix.PROC_SUPER_MAGIC {
		return false
	}
	name := strings.TrimPrefix(realName(fd), "/proc/")
	return name != "" && name[0] >= '0' && name[0] <= '9'
}

// realName is the name by which the kernel knows an open file.
func realName(fd int) string {
	name, _ := os.Readlink(procFd(fd))
	return name
}

func procFd(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// openRegular opens a regular file. It looks before it opens, because opening
// a FIFO would wait for its other end and opening a device can do anything.
func (r *root) openRegular(name string, flags int) (*os.File, error) {
	p, err := r.open(name, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if err := requireRegular(int(p.Fd())); err != nil {
		return nil, err
	}
	fd, err := unix.Open(procFd(int(p.Fd())), flags|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

var errIrregular = fmt.Errorf("not a regular file: %w", unix.EINVAL)

func requireRegular(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFDIR:
		return unix.EISDIR
	}
	return errIrregular
}

// split returns the opened directory of a name and the name in it, which
// stays unfollowed.
func (r *root) split(name string) (*os.File, string, error) {
	clean := path.Clean(absolute(name))
	base := path.Base(clean)
	if base == "" || strings.IndexByte(name, 0) >= 0 || lastIsDots(name) {
		return nil, "", unix.EINVAL
	}
	// The directory's part is not cleaned: "link/.." means what it means to
	// the kernel. Only the last element was looked at.
	full := strings.TrimRight(absolute(name), "/")
	dir := full[:strings.LastIndexByte(full, '/')+1]
	f, err := r.open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	return f, base, err
}

func lastIsDots(name string) bool {
	base := path.Base(strings.TrimRight(name, "/"))
	return name == "" || base == "." || base == ".." || base == "/"
}

// mkdirAll makes a directory and those above it that are missing.
func (r *root) mkdirAll(name string, mode uint32) error {
	d, err := r.open(name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err == nil {
		return d.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	full := absolute(name)
	for i := 1; i <= len(full); i++ {
		if i < len(full) && full[i] != '/' {
			continue
		}
		if err := r.mkdir(full[:i], mode); err != nil {
			return err
		}
	}
	return nil
}

func (r *root) mkdir(name string, mode uint32) error {
	if d, err := r.open(name, unix.O_PATH|unix.O_DIRECTORY, 0); err == nil {
		return d.Close()
	}
	dir, base, err := r.split(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	err = unix.Mkdirat(int(dir.Fd()), base, mode&0o7777)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	// Something is there: another maker's directory will do.
	d, err := r.open(name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return d.Close()
}
