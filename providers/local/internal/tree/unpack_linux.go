package tree

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// A Kind of archive says how it tells what an overlay removes.
type Kind int

const (
	// Image is an archive as images are made of: a name that begins with
	// ".wh." removes what the layers below have under the rest of the name.
	// Devices and attributes of overlays in it mean nothing.
	Image Kind = iota
	// Native is what Pack writes: character devices 0:0 remove names.
	Native
)

// What an archive may ask for at most.
const (
	maxEntries  = 4 << 20
	maxBytes    = 256 << 30 // on the disk: holes are free
	maxDirNames = 128 << 20 // bytes of names that are kept until the end
)

// ErrTooLarge reports an archive that asks for more than a layer may have.
var ErrTooLarge = errors.New("the archive is too large for a layer")

const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
	opaqueAttr     = "user.overlay.opaque"
	xattrRecord    = "SCHILY.xattr."
)

// Unpack unpacks an archive into the directory dst, which should be empty. It
// creates files there and nowhere else, follows no link, and makes no device.
// Owners that are not mapped here become root.
func Unpack(dst int, r io.Reader, kind Kind) error {
	u := unpacker{root: dst, kind: kind, parentFd: -1}
	defer u.forget()
	tr := tar.NewReader(bufio.NewReaderSize(r, 256<<10))
	for range maxEntries {
		h, err := tr.Next()
		if err == io.EOF {
			return u.finish()
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if err := u.entry(h, tr); err != nil {
			return fmt.Errorf("archive entry %q: %w", h.Name, err)
		}
	}
	return ErrTooLarge
}

type unpacker struct {
	root int
	kind Kind

	parentName string // the directory that was last used
	parentFd   int    // -1 if none

	written int64
	names   int
	dirs    []dirTime // set when all is in them
	buf     []byte
}

type dirTime struct {
	name string
	time unix.Timespec
}

var errEscapes = fmt.Errorf("leads out of the archive: %w", unix.EINVAL)

// Inside cleans a name of an archive. A leading "/" means nothing.
func Inside(name string) (string, error) {
	if name == "" || strings.IndexByte(name, 0) >= 0 {
		return "", errEscapes
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == ".." {
			return "", errEscapes
		}
	}
	return path.Clean(strings.TrimLeft(name, "/")), nil
}

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := Inside(h.Name)
	if err != nil {
		return err
	}
	if name == "." {
		if h.Typeflag != tar.TypeDir {
			return unix.EISDIR
		}
		return u.directoryAttributes(u.root, name, h)
	}
	base := path.Base(name)
	dir, err := u.parent(path.Dir(name))
	if err != nil {
		return err
	}
	if u.kind == Image && strings.HasPrefix(base, whiteoutPrefix) {
		return u.whiteout(dir, path.Dir(name), base)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.directory(dir, base, name, h)
	case tar.TypeReg, '\x00': // as old archives have it
		return u.file(dir, base, h, content)
	case tar.TypeSymlink:
		return u.symlink(dir, base, h)
	case tar.TypeLink:
		return u.link(dir, base, h)
	case tar.TypeFifo:
		return u.node(dir, base, unix.S_IFIFO, h)
	case tar.TypeChar:
		if u.kind == Native && h.Devmajor|h.Devminor == 0 {
			return u.node(dir, base, unix.S_IFCHR, h)
		}
		return nil // sandboxes have a /dev of their own
	case tar.TypeBlock:
		return nil
	}
	return fmt.Errorf("unknown kind %q: %w", h.Typeflag, unix.EINVAL)
}

const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// openDir opens a directory below dir. Its name may be longer than the kernel
// takes at once.
func openDir(dir int, name string) (int, error) {
	at := -1
	for {
		part, rest := name, ""
		if len(name) > unix.PathMax/2 {
			cut := strings.LastIndexByte(name[:unix.PathMax/2], '/')
			if cut < 0 {
				return -1, unix.ENAMETOOLONG
			}
			part, rest = name[:cut], name[cut+1:]
		}
		from := dir
		if at >= 0 {
			from = at
		}
		fd, err := unix.Openat2(from, part, &unix.OpenHow{
			Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: beneath})
		if at >= 0 {
			_ = unix.Close(at)
		}
		if err != nil || rest == "" {
			return fd, err
		}
		at, name = fd, rest
	}
}

// parent returns the directory of that name, making it if need be. The
// descriptor is good until the next call, or forget.
func (u *unpacker) parent(name string) (int, error) {
	if name == "." {
		return u.root, nil
	}
	if u.parentFd >= 0 && u.parentName == name {
		return u.parentFd, nil
	}
	fd, err := openDir(u.root, name)
	if errors.Is(err, unix.ENOENT) {
		fd, err = u.makeParent(name)
	}
	if err != nil {
		return -1, err
	}
	u.forget()
	u.parentName, u.parentFd = name, fd
	return fd, nil
}

// makeParent makes a directory that the archive has no entry for, or none yet.
// That one stands in the way which is none is an error: what is in it is
// meant for a directory that cannot be had here.
func (u *unpacker) makeParent(name string) (int, error) {
	above, err := u.parent(path.Dir(name))
	if err != nil {
		return -1, err
	}
	base := path.Base(name)
	if isWhiteout(above, base) {
		if err := u.emptyOver(above, base); err != nil {
			return -1, err
		}
	} else if err := unix.Mkdirat(above, base, 0o755); err != nil && err != unix.EEXIST {
		return -1, err
	}
	return openDir(above, base)
}

func (u *unpacker) forget() {
	if u.parentFd >= 0 {
		_ = unix.Close(u.parentFd)
	}
	u.parentFd = -1
}

func isWhiteout(dir int, name string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

func isDirAt(dir int, name string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// whiteout removes a name of the layers below, but not what this archive puts
// there, before or after.
func (u *unpacker) whiteout(dir int, dirName, base string) error {
	if base == opaqueName {
		if dirName == "." {
			return fmt.Errorf("removes the whole root: %w", unix.EINVAL)
		}
		return unix.Fsetxattr(dir, opaqueAttr, []byte("y"), 0)
	}
	name := strings.TrimPrefix(base, whiteoutPrefix)
	switch {
	case strings.HasPrefix(name, whiteoutPrefix): // notes of aufs to itself
		return nil
	case name == "" || name == "." || name == "..":
		return errEscapes
	case isDirAt(dir, name):
		fd, err := openDir(dir, name)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Fsetxattr(fd, opaqueAttr, []byte("y"), 0)
	}
	err := unix.Mknodat(dir, name, unix.S_IFCHR, 0)
	if err == unix.EEXIST {
		return nil
	}
	return err
}

// emptyOver puts an empty directory in the place of a whiteout, which goes on
// hiding what is below.
func (u *unpacker) emptyOver(dir int, base string) error {
	if err := unix.Unlinkat(dir, base, 0); err != nil {
		return err
	}
	if err := unix.Mkdirat(dir, base, 0o755); err != nil {
		return err
	}
	fd, err := openDir(dir, base)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fsetxattr(fd, opaqueAttr, []byte("y"), 0)
}

func (u *unpacker) directory(dir int, base, name string, h *tar.Header) error {
	var err error
	switch {
	case isDirAt(dir, base):
	case u.kind == Image && isWhiteout(dir, base):
		err = u.emptyOver(dir, base)
	default:
		if err = u.replace(dir, base); err == nil {
			err = unix.Mkdirat(dir, base, 0o755)
		}
	}
	if err != nil {
		return err
	}
	fd, err := openDir(dir, base)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return u.directoryAttributes(fd, name, h)
}

func (u *unpacker) directoryAttributes(fd int, name string, h *tar.Header) error {
	if u.names += len(name); u.names > maxDirNames {
		return ErrTooLarge
	}
	u.dirs = append(u.dirs, dirTime{name, timeOf(h)})
	return u.settle(fd, h)
}

// replace removes what an earlier entry has put there.
func (u *unpacker) replace(dir int, base string) error {
	err := unix.Unlinkat(dir, base, 0)
	switch {
	case err == nil || err == unix.ENOENT:
		return nil
	case isDirAt(dir, base):
		return Remove(dir, base) // the directory last used is dir, not one below
	}
	return err
}

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
	if err == unix.EINVAL {
		return nil
	}
	return err
}

func timeOf(h *tar.Header) unix.Timespec { return unix.NsecToTimespec(h.ModTime.UnixNano()) }

func procFd(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// finish sets the times of directories.
func (u *unpacker) finish() error {
	for _, d := range u.dirs {
		fd := u.root
		if d.name != "." {
			var err error
			if fd, err = openDir(u.root, d.name); err != nil {
				continue // replaced by a later entry
			}
		}
		err := unix.UtimesNanoAt(unix.AT_FDCWD, procFd(fd), []unix.Timespec{d.time, d.time}, 0)
		if fd != u.root {
			_ = unix.Close(fd)
		}
		if err != nil {
			return os.NewSyscallError("utimensat", err)
		}
	}
	return nil
}
