package guest

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// tarIn unpacks an archive that comes in data frames, ended by a message.
func (s *server) tarIn(c wire.Conn, r *wire.Request) {
	s.gate.enter()
	defer s.gate.leave()
	in := asideReader{&frameReader{conn: c, room: s.limits.room}}
	_, err := block(func() (int64, error) {
		if err := s.root.unpack(r.Path, in, r.Follow); err != nil {
			return 0, err
		}
		return io.Copy(io.Discard, in) // padding after the archive
	})
	reply(c, err)
}

type frameReader struct {
	conn wire.Conn
	rest []byte
	done bool
	room func() error // nil if there always is
}

func (r *frameReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.done {
			return 0, io.EOF
		}
		kind, data, files, err := r.conn.ReadFrame(wire.MaxChunk)
		wire.CloseAll(files)
		if err != nil {
			return 0, unexpectedEOF(err)
		}
		if r.room != nil {
			if err := r.room(); err != nil {
				return 0, err
			}
		}
		r.rest, r.done = data, kind != wire.KindData
		if r.done {
			r.rest = nil
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// unpack unpacks an archive; anyLinks takes symbolic links as they are.
func (r *root) unpack(name string, in io.Reader, anyLinks bool) error {
	if err := r.mkdirAll(name, 0o755); err != nil {
		return err
	}
	dir, err := r.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	u := unpacker{root: int(dir.Fd()), anyLinks: anyLinks}
	tr := tar.NewReader(in)
	for range maxEntries {
		h, err := tr.Next()
		if err == io.EOF {
			return u.finish()
		}
		if err != nil {
			return err
		}
		if err := u.entry(h, tr); err != nil {
			return fmt.Errorf("archive entry %q: %w", h.Name, err)
		}
	}
	return fmt.Errorf("the archive has more than %d entries: %w", maxEntries, unix.E2BIG)
}

// An unpacker creates files below its root and nowhere else. No link is ever
// followed, neither one of the archive nor one that was there.
type unpacker struct {
	root     int
	anyLinks bool          // links may lead anywhere
	dirs     []*tar.Header // whose modes and times are set when all is in them
	kept     int           // bytes of their names
}

// maxDirNames bounds the names of directories that are kept, in bytes.
const maxDirNames = 32 << 20

// keep remembers a directory, and nothing else that its header has: its name may
// be a part of a text of a megabyte.
func (u *unpacker) keep(name string, h *tar.Header) error {
	if u.kept += len(name); u.kept > maxDirNames {
		return fmt.Errorf("the names of the archive's directories have more than %d bytes: %w", maxDirNames, unix.E2BIG)
	}
	u.dirs = append(u.dirs, &tar.Header{Name: strings.Clone(name), Mode: h.Mode, Uid: h.Uid, Gid: h.Gid, ModTime: h.ModTime})
	return nil
}

var errEscapes = fmt.Errorf("leads out of the archive: %w", unix.EINVAL)

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	name, err := inside(h.Name)
	if err != nil {
		return err
	}
	if name == "." {
		return nil
	}
	dir, err := u.parent(path.Dir(name))
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	base := path.Base(name)
	switch h.Typeflag {
	case tar.TypeDir:
		if err := u.keep(name, h); err != nil {
			return err
		}
		return mkdirAt(dir, base)
	case tar.TypeReg:
		return u.file(dir, base, h, content)
	case tar.TypeSymlink:
		return u.symlink(dir, base, name, h)
	case tar.TypeLink:
		return u.link(dir, base, h)
	case tar.TypeXGlobalHeader:
		return nil
	}
	return fmt.Errorf("a device, FIFO or unknown kind %q: %w", h.Typeflag, unix.EINVAL)
}

// inside cleans a name of the archive.
func inside(name string) (string, error) {
	if path.IsAbs(name) || name == "" || strings.IndexByte(name, 0) >= 0 {
		return "", errEscapes
	}
	for _, element := range strings.Split(name, "/") {
		if element == ".." {
			return "", errEscapes
		}
	}
	return path.Clean(name), nil
}

const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

func (u *unpacker) openDir(name string) (int, error) {
	return unix.Openat2(u.root, name, &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: beneath})
}

func (u *unpacker) parent(name string) (int, error) {
	fd, err := u.openDir(name)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	above, err := u.parent(path.Dir(name))
	if err != nil {
		return -1, err
	}
	defer unix.Close(above)
	if err := mkdirAt(above, path.Base(name)); err != nil {
		return -1, err
	}
	return u.openDir(name)
}

func mkdirAt(dir int, name string) error {
	err := unix.Mkdirat(dir, name, 0o755)
	if err != unix.EEXIST {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return unix.ENOTDIR
	}
	return nil
}

func (u *unpacker) file(dir int, name string, h *tar.Header, content io.Reader) error {
	if err := replace(dir, name); err != nil {
		return err
	}
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	return settle(fd, h)
}

func replace(dir int, name string) error {
	if err := unix.Unlinkat(dir, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// settle gives an unpacked file its owner, mode and time. An owner that is
// not mapped here is left out.
func settle(fd int, h *tar.Header) error {
	err := unix.Fchown(fd, h.Uid, h.Gid)
	if err != nil && !errors.Is(err, unix.EINVAL) && plain == nil { // which has one user
		return err
	}
	if err := unix.Fchmod(fd, uint32(h.Mode)&0o7777); err != nil {
		return err
	}
	t := unix.NsecToTimespec(h.ModTime.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, procFd(fd), []unix.Timespec{t, t}, 0)
}

func (u *unpacker) symlink(dir int, base, name string, h *tar.Header) error {
	if !u.anyLinks && (path.IsAbs(h.Linkname) || !localLink(path.Dir(name), h.Linkname)) {
		return errEscapes
	}
	if err := replace(dir, base); err != nil {
		return err
	}
	return unix.Symlinkat(h.Linkname, dir, base)
}

// localLink reports whether a link's target, taken by its text, stays inside.
func localLink(dir, target string) bool {
	joined := path.Join(dir, target)
	return joined != ".." && !strings.HasPrefix(joined, "../") && target != ""
}

func (u *unpacker) link(dir int, base string, h *tar.Header) error {
	target, err := inside(h.Linkname)
	if err != nil {
		return err
	}
	from, err := u.openDir(path.Dir(target))
	if err != nil {
		return err
	}
	defer unix.Close(from)
	if err := replace(dir, base); err != nil {
		return err
	}
	return unix.Linkat(from, path.Base(target), dir, base, 0)
}

func (u *unpacker) finish() error {
	for _, h := range slices.Backward(u.dirs) {
		fd, err := u.openDir(h.Name)
		if err != nil {
			continue // replaced by a later entry
		}
		err = settle(fd, h)
		_ = unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}
