package tree

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Copy copies what is in the directory src into the directory dst: contents,
// owners, modes, times, extended attributes, hard links, symbolic links,
// FIFOs, and the character devices 0:0 by which an overlay marks removed
// files. Sockets and other devices are left out: they mean nothing in a copy.
func Copy(dst, src int) error {
	c := copier{links: firstNames{names: map[inode]string{}}, root: dst}
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if err := c.children(dst, src, ""); err != nil {
		return err
	}
	return finish(dst, src, &st)
}

// maxDepth is how deep a tree Copy copies: each level holds two descriptors.
const maxDepth = 1000

type copier struct {
	root  int
	depth int
	links firstNames // where a file with several names was copied to
	held  heldNames
}

func (c *copier) children(dst, src int, path string) error {
	names, free, err := c.held.read(src, path)
	if err != nil {
		return err
	}
	defer free()
	for _, name := range names {
		if err := c.entry(dst, src, name, path+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) entry(dst, src int, name, path string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(src, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return pathError("lstat", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, ok := c.links.names[id]; ok {
			err := linkAt(c.root, first, dst, name)
			if !errors.Is(err, unix.EMLINK) {
				return pathError("link", path, err)
			}
		}
		if err := c.links.add(id, strings.TrimPrefix(path, "/")); err != nil {
			return err
		}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return c.directory(dst, src, name, path, &st)
	case unix.S_IFREG:
		return file(dst, src, name, path, &st)
	case unix.S_IFLNK:
		return symlink(dst, src, name, path, &st)
	case unix.S_IFIFO:
		return node(dst, name, path, &st)
	case unix.S_IFCHR:
		if st.Rdev == 0 {
			return node(dst, name, path, &st)
		}
	}
	return nil
}

func (c *copier) directory(dst, src int, name, path string, st *unix.Stat_t) error {
	if c.depth++; c.depth > maxDepth {
		return fmt.Errorf("directories are nested more than %d deep: %w", maxDepth, unix.ENAMETOOLONG)
	}
	defer func() { c.depth-- }()
	if err := unix.Mkdirat(dst, name, 0o700); err != nil {
		return pathError("mkdir", path, err)
	}
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	from, err := unix.Openat(src, name, flags, 0)
	if err != nil {
		return pathError("open", path, err)
	}
	defer unix.Close(from)
	to, err := unix.Openat(dst, name, flags, 0)
	if err != nil {
		return pathError("open", path, err)
	}
	defer unix.Close(to)
	if err := c.children(to, from, path); err != nil {
		return err
	}
	return finish(to, from, st)
}

func file(dst, src int, name, path string, st *unix.Stat_t) error {
	from, err := unix.Openat(src, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return pathError("open", path, err)
	}
	defer unix.Close(from)
	to, err := unix.Openat(dst, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return pathError("create", path, err)
	}
	defer unix.Close(to)
	if err := contents(to, from, st); err != nil {
		return &os.PathError{Op: "copy", Path: path, Err: err}
	}
	return finish(to, from, st)
}

// contents copies a file's bytes: by sharing its blocks where the file system
// can, or else in the kernel, hole by hole.
func contents(to, from int, st *unix.Stat_t) error {
	if st.Size == 0 {
		return nil
	}
	if unix.IoctlFileClone(to, from) == nil {
		return nil
	}
	if err := unix.Ftruncate(to, st.Size); err != nil {
		return err
	}
	for at := int64(0); at < st.Size; {
		start, err := unix.Seek(from, at, unix.SEEK_DATA)
		if err == unix.ENXIO { // only a hole is left
			return nil
		}
		if err != nil {
			start = at
		}
		end, err := unix.Seek(from, start, unix.SEEK_HOLE)
		if err != nil {
			end = st.Size
		}
		if err := copyRange(to, from, start, end); err != nil {
			return err
		}
		at = end
	}
	return nil
}

func copyRange(to, from int, at, end int64) error {
	for at < end {
		in, out := at, at
		n, err := unix.CopyFileRange(from, &in, to, &out, int(min(end-at, 1<<30)), 0)
		if err != nil {
			return copyBytes(to, from, at, end)
		}
		if n == 0 { // it became shorter
			return nil
		}
		at += int64(n)
	}
	return nil
}

func copyBytes(to, from int, at, end int64) error {
	buf := make([]byte, 128<<10)
	for at < end {
		n, err := unix.Pread(from, buf[:min(end-at, int64(len(buf)))], at)
		if err != nil || n == 0 {
			return err
		}
		for done := 0; done < n; {
			w, err := unix.Pwrite(to, buf[done:n], at+int64(done))
			if err != nil {
				return err
			}
			if w == 0 {
				return io.ErrShortWrite
			}
			done += w
		}
		at += int64(n)
	}
	return nil
}

func symlink(dst, src int, name, path string, st *unix.Stat_t) error {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(src, name, buf)
	if err != nil {
		return pathError("readlink", path, err)
	}
	if err := unix.Symlinkat(string(buf[:n]), dst, name); err != nil {
		return pathError("symlink", path, err)
	}
	return finishName(dst, name, path, st)
}

func node(dst int, name, path string, st *unix.Stat_t) error {
	if err := unix.Mknodat(dst, name, st.Mode, int(st.Rdev)); err != nil {
		return pathError("mknod", path, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFIFO {
		if err := unix.Fchmodat(dst, name, st.Mode&0o7777, 0); err != nil {
			return pathError("chmod", path, err)
		}
	}
	return finishName(dst, name, path, st)
}

func finishName(dst int, name, path string, st *unix.Stat_t) error {
	if err := unix.Fchownat(dst, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return pathError("chown", path, err)
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	return pathError("utimes", path, unix.UtimesNanoAt(dst, name, times, unix.AT_SYMLINK_NOFOLLOW))
}

// finish gives a copied file or directory what the original has beside its
// contents. The owner goes first, because changing it clears mode bits.
func finish(to, from int, st *unix.Stat_t) error {
	if err := unix.Fchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return os.NewSyscallError("fchown", err)
	}
	if err := unix.Fchmod(to, st.Mode&0o7777); err != nil {
		return os.NewSyscallError("fchmod", err)
	}
	if err := attributes(to, from); err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	err := unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", to), times, 0)
	return os.NewSyscallError("utimensat", err)
}

// fileBound are attributes by which an overlay ties a file to the file it
// was copied up from, or counts its state: wrong in a copy.
var fileBound = map[string]bool{
	"user.overlay.origin": true, "user.overlay.impure": true, "user.overlay.nlink": true,
	"user.overlay.upper": true, "user.overlay.uuid": true, "user.overlay.protattr": true,
}

func attributes(to, from int) error {
	list := make([]byte, 64<<10)
	n, err := unix.Flistxattr(from, list)
	if err == unix.ENOTSUP {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("flistxattr", err)
	}
	value := make([]byte, 64<<10)
	for _, name := range strings.Split(string(list[:n]), "\x00") {
		if !strings.HasPrefix(name, "user.") || fileBound[name] {
			continue
		}
		size, err := unix.Fgetxattr(from, name, value)
		if err == nil {
			err = unix.Fsetxattr(to, name, value[:size], 0)
		}
		if err != nil {
			return fmt.Errorf("copying the attribute %q: %w", name, err)
		}
	}
	return nil
}
