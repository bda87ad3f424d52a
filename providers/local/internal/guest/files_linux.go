package guest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/tree"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// read passes the open file to the host: it is a regular file, opened here
// for reading only, and so no more than its bytes.
func (s *server) read(c wire.Conn, r *wire.Request) {
	f, err := block(func() (*os.File, error) { return s.root.openRegular(r.Path, unix.O_RDONLY) })
	if err != nil {
		reply(c, err)
		return
	}
	defer f.Close()
	e, err := entryOf(rawFd(f), "")
	if err != nil {
		reply(c, err)
		return
	}
	_ = pass(c, &wire.Reply{Entries: []wire.Entry{e}}, rawFd(f))
}

// write gives the host a new file to fill, and puts it in the place of the
// old one when the host says that it is complete.
func (s *server) write(c wire.Conn, r *wire.Request) {
	s.gate.enter()
	w, err := block(func() (*newFile, error) { return s.root.create(r.Path) })
	s.gate.leave()
	if err != nil {
		reply(c, err)
		return
	}
	defer w.close()
	if !pass(c, &wire.Reply{}, rawFd(w.file)) {
		return
	}
	var commit wire.Request
	files, err := c.Receive(&commit, wire.MaxRequest)
	wire.CloseAll(files)
	if err != nil || commit.Op != wire.OpCommit {
		return
	}
	s.gate.enter()
	defer s.gate.leave()
	if err := s.limits.fits(w.file); err != nil {
		reply(c, &os.PathError{Op: "write", Path: r.Path, Err: err})
		return
	}
	reply(c, w.commit(commit.Mode))
}

// A newFile is a file under a temporary name beside its place.
type newFile struct {
	dir  *os.File
	file *os.File
	temp string
	base string
	old  *unix.Stat_t // what it will replace, or nil
}

// create prepares the replacement of a file. Symbolic links to the file are
// followed, and keep pointing to it.
func (r *root) create(name string) (*newFile, error) {
	w := &newFile{}
	if p, err := r.open(name, unix.O_PATH, 0); err == nil {
		defer p.Close()
		if err := requireRegular(int(p.Fd())); err != nil {
			return nil, err
		}
		w.old = &unix.Stat_t{}
		if err := unix.Fstat(int(p.Fd()), w.old); err != nil {
			return nil, err
		}
		name = realName(int(p.Fd()))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if strings.HasSuffix(name, "/") {
		return nil, unix.EISDIR
	}
	if dir := path.Dir(absolute(name)); w.old == nil {
		if err := r.mkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	var err error
	if w.dir, w.base, err = r.split(name); err != nil {
		return nil, err
	}
	return w, w.open()
}

func (w *newFile) open() error {
	w.temp = tempPrefix + rand.Text()
	flags := unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(int(w.dir.Fd()), w.temp, flags, 0o600)
	if err != nil {
		_ = w.dir.Close()
		return err
	}
	w.file = os.NewFile(uintptr(fd), w.temp)
	return nil
}

func (w *newFile) commit(mode uint32) error {
	fd := int(w.file.Fd())
	if w.old != nil {
		// As far as it can be kept; a new file belongs to root.
		_ = unix.Fchown(fd, int(w.old.Uid), int(w.old.Gid))
	}
	if err := unix.Fchmod(fd, mode&0o7777); err != nil {
		return err
	}
	// Before it has its name: a program that is open for writing cannot be run.
	if err := w.file.Close(); err != nil {
		return err
	}
	if err := unix.Renameat(int(w.dir.Fd()), w.temp, int(w.dir.Fd()), w.base); err != nil {
		return err
	}
	w.temp = ""
	return nil
}

func (w *newFile) close() {
	if w.temp != "" {
		_ = unix.Unlinkat(int(w.dir.Fd()), w.temp, 0)
	}
	_ = w.file.Close()
	_ = w.dir.Close()
}

func (s *server) stat(c wire.Conn, r *wire.Request) {
	flags := unix.O_PATH
	if r.Op == wire.OpLstat {
		flags |= unix.O_NOFOLLOW
	}
	e, err := block(func() (wire.Entry, error) {
		f, err := s.root.open(r.Path, flags, 0)
		if err != nil {
			return wire.Entry{}, err
		}
		defer f.Close()
		return entryOf(int(f.Fd()), "")
	})
	_ = c.Send(&wire.Reply{Fault: fault(err), Entries: []wire.Entry{e}})
}

// entryOf describes the name in the directory fd, or fd itself for "".
func entryOf(fd int, name string) (wire.Entry, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH); err != nil {
		return wire.Entry{}, err
	}
	e := wire.Entry{Name: name, Mode: st.Mode, Size: st.Size, MTime: st.Mtim.Nano(), UID: st.Uid, GID: st.Gid}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		buf := make([]byte, unix.PathMax)
		if n, err := unix.Readlinkat(fd, name, buf); err == nil {
			e.Link = string(buf[:n])
		}
	}
	return e, nil
}

// readDir sends the entries, sorted, in portions.
func (s *server) readDir(c wire.Conn, r *wire.Request) {
	_, err := block(func() (struct{}, error) {
		dir, err := s.root.open(r.Path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return struct{}{}, err
		}
		defer dir.Close()
		names, err := namesIn(dir)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, sendEntries(c, int(dir.Fd()), names)
	})
	_ = c.Send(&wire.Reply{Done: true, Fault: fault(err)})
}

// namesIn returns the names in a directory, sorted. Init must hold them all, so
// there is a bound.
func namesIn(dir *os.File) ([]string, error) {
	names, err := dir.Readdirnames(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(names) > maxEntries {
		return nil, fmt.Errorf("a directory has more than %d entries: %w", maxEntries, unix.E2BIG)
	}
	slices.Sort(names)
	return names, nil
}

func sendEntries(c wire.Conn, dir int, names []string) error {
	const portion = 64 << 10
	send := func(r *wire.Reply) error { // the host may be slow to take them
		_, err := aside(func() (struct{}, error) { return struct{}{}, c.Send(r) })
		return err
	}
	var batch wire.Reply
	size := 0
	for _, name := range names {
		e, err := entryOf(dir, name)
		if errors.Is(err, unix.ENOENT) { // gone since
			continue
		}
		if err != nil {
			return err
		}
		batch.Entries = append(batch.Entries, e)
		if size += len(e.Name) + len(e.Link) + 40; size < portion {
			continue
		}
		if err := send(&batch); err != nil {
			return err
		}
		batch.Entries, size = batch.Entries[:0], 0
	}
	return send(&batch)
}

// change runs an operation that changes files and replies with its outcome.
func (s *server) change(c wire.Conn, f func() error) {
	s.gate.enter()
	defer s.gate.leave()
	_, err := block(func() (struct{}, error) { return struct{}{}, f() })
	reply(c, err)
}

func (s *server) mkdirAll(c wire.Conn, r *wire.Request) {
	s.change(c, func() error { return s.root.mkdirAll(r.Path, r.Mode) })
}

func (s *server) removeAll(c wire.Conn, r *wire.Request) {
	s.change(c, func() error { return s.root.removeAll(r.Path) })
}

func (s *server) rename(c wire.Conn, r *wire.Request) {
	s.change(c, func() error { return s.root.rename(r.Path, r.To) })
}

func (r *root) removeAll(name string) error {
	dir, base, err := r.split(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	full := path.Join(realName(int(dir.Fd())), base)
	if full == "/proc" || full == "/dev" {
		return unix.EBUSY
	}
	if plain != nil && plain.keeps(full) {
		return unix.EINVAL
	}
	return tree.Remove(int(dir.Fd()), base)
}

func (r *root) rename(from, to string) error {
	oldDir, oldBase, err := r.split(from)
	if err != nil {
		return err
	}
	defer oldDir.Close()
	if plain != nil && plain.keeps(path.Join(realName(int(oldDir.Fd())), oldBase)) {
		return unix.EINVAL
	}
	newDir, newBase, err := r.split(to)
	if err != nil {
		return err
	}
	defer newDir.Close()
	err = unix.Renameat(int(oldDir.Fd()), oldBase, int(newDir.Fd()), newBase)
	if errors.Is(err, unix.EXDEV) {
		return moveTree(int(oldDir.Fd()), oldBase, int(newDir.Fd()), newBase)
	}
	return err
}

// moveTree moves a directory by copying it. An overlay cannot rename one that
// comes from a layer.
func moveTree(oldDir int, oldBase string, newDir int, newBase string) error {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	src, err := unix.Openat(oldDir, oldBase, flags, 0)
	if err != nil {
		return unix.EXDEV // not a directory: then it is really another file system
	}
	defer unix.Close(src)
	temp := tempPrefix + rand.Text()
	if err := unix.Mkdirat(newDir, temp, 0o700); err != nil {
		return err
	}
	err = copyInto(newDir, temp, src)
	if err == nil {
		err = unix.Renameat(newDir, temp, newDir, newBase)
	}
	if err != nil {
		_ = tree.Remove(newDir, temp)
		return err
	}
	return tree.Remove(oldDir, oldBase)
}

func copyInto(dir int, name string, src int) error {
	dst, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dst)
	return tree.Copy(dst, src)
}
