package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

func (u *unpacker) file(dir int, base string, h *tar.Header, content io.Reader) error {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(dir, base, flags, 0o600)
	if err == unix.EEXIST {
		if err := u.replace(dir, base); err != nil {
			return err
		}
		fd, err = unix.Openat(dir, base, flags, 0o600)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := u.contents(fd, content); err != nil {
		return err
	}
	if err := u.settle(fd, h); err != nil {
		return err
	}
	t := timeOf(h)
	return unix.UtimesNanoAt(unix.AT_FDCWD, procFd(fd), []unix.Timespec{t, t}, 0)
}

const block = 4096

// contents writes a file, leaving holes where there are only zeros.
func (u *unpacker) contents(fd int, r io.Reader) error {
	if u.buf == nil {
		u.buf = make([]byte, 32*block)
	}
	var at int64
	for {
		n, err := io.ReadFull(r, u.buf)
		if err := u.writeAt(fd, u.buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			// The tar reader has its own word for a cut archive only on a
			// further read.
			if _, err := r.Read(u.buf[:1]); err != nil && err != io.EOF {
				return err
			}
			return unix.Ftruncate(fd, at)
		}
		if err != nil {
			return err
		}
	}
}

func (u *unpacker) writeAt(fd int, p []byte, at int64) error {
	for start := 0; start < len(p); {
		end := start
		for end < len(p) && !zero(p[end:min(end+block, len(p))]) {
			end = min(end+block, len(p))
		}
		for start < end {
			n, err := unix.Pwrite(fd, p[start:end], at+int64(start))
			if err != nil {
				return err
			}
			start += n
			if u.written += int64(n); u.written > maxBytes {
				return ErrTooLarge
			}
		}
		for start < len(p) && zero(p[start:min(start+block, len(p))]) {
			start = min(start+block, len(p))
		}
	}
	return nil
}

var zeros [block]byte

func zero(p []byte) bool { return string(p) == string(zeros[:len(p)]) }

func (u *unpacker) symlink(dir int, base string, h *tar.Header) error {
	if err := u.replace(dir, base); err != nil {
		return err
	}
	if err := unix.Symlinkat(h.Linkname, dir, base); err != nil {
		return err
	}
	return settleName(dir, base, h)
}

// link makes another name of a file of the same archive.
func (u *unpacker) link(dir int, base string, h *tar.Header) error {
	target, err := Inside(h.Linkname)
	if err != nil {
		return err
	}
	from := u.root
	if d := path.Dir(target); d != "." {
		if from, err = openDir(u.root, d); err != nil {
			return fmt.Errorf("link to %q: %w", h.Linkname, err)
		}
		defer unix.Close(from)
	}
	if isDirAt(from, path.Base(target)) || isWhiteout(from, path.Base(target)) {
		return fmt.Errorf("link to %q: %w", h.Linkname, unix.EPERM)
	}
	if same(from, path.Base(target), dir, base) {
		return nil
	}
	if err := u.replace(dir, base); err != nil {
		return err
	}
	if err := unix.Linkat(from, path.Base(target), dir, base, 0); err != nil {
		return fmt.Errorf("link to %q: %w", h.Linkname, err)
	}
	return nil
}

func same(dirA int, a string, dirB int, b string) bool {
	var sa, sb unix.Stat_t
	return unix.Fstatat(dirA, a, &sa, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		unix.Fstatat(dirB, b, &sb, unix.AT_SYMLINK_NOFOLLOW) == nil && sa.Dev == sb.Dev && sa.Ino == sb.Ino
}

func (u *unpacker) node(dir int, base string, kind uint32, h *tar.Header) error {
	if err := u.replace(dir, base); err != nil {
		return err
	}
	if err := unix.Mknodat(dir, base, kind|uint32(h.Mode)&0o7777, 0); err != nil {
		return err
	}
	if kind == unix.S_IFIFO {
		if err := unix.Fchmodat(dir, base, uint32(h.Mode)&0o7777, 0); err != nil {
			return err
		}
	}
	return settleName(dir, base, h)
}

func settleName(dir int, base string, h *tar.Header) error {
	if err := ignoreUnmapped(unix.Fchownat(dir, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW)); err != nil {
		return err
	}
	t := timeOf(h)
	return unix.UtimesNanoAt(dir, base, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
}

// settle gives a file or directory its owner, mode and attributes.
func (u *unpacker) settle(fd int, h *tar.Header) error {
	if err := ignoreUnmapped(unix.Fchown(fd, h.Uid, h.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, uint32(h.Mode)&0o7777); err != nil {
		return err
	}
	for record, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(record, xattrRecord)
		if !ok || !u.keeps(name, value) {
			continue
		}
		if err := unix.Fsetxattr(fd, name, []byte(value), 0); err != nil {
			return fmt.Errorf("attribute %q: %w", name, err)
		}
	}
	return nil
}

// keeps reports whether an attribute means something in a layer. Others than
// users' have no power there; those of overlays are none of an image's.
func (u *unpacker) keeps(name, value string) bool {
	switch {
	case !strings.HasPrefix(name, "user."):
		return false
	case name == opaqueAttr:
		return u.kind == Native && value == "y"
	case strings.HasPrefix(name, "user.overlay.overlay."): // one that a sandbox has set
		return u.kind == Native
	}
	return !strings.HasPrefix(name, "user.overlay.")
}

// ignoreUnmapped lets root be the owner where the archive's does not exist.
func ignoreUnmapped(err error) error {
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

func timeOf(h *tar.Header) unix.Timespec { return unix.NsecToTimespec(h.ModTime.UnixNano()) }

func procFd(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }
