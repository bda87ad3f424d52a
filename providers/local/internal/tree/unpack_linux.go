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
func openDir(dir int, name string) (int, error) { return openBelow(dir, name, unix.O_RDONLY) }

func openBelow(dir int, name string, flags uint64) (int, error) {
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
			Flags: flags | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: beneath})
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
	// A copy: the name may be a part of a text of megabytes.
	u.dirs = append(u.dirs, dirTime{strings.Clone(name), timeOf(h)})
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
