//go:build unix

package host

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxEntries bounds an archive that comes in: names cost inodes, whatever
// the size of the files.
const maxEntries = 1 << 20

// TarIn unpacks an archive into a directory, which it makes if need be. It
// refuses entries that are devices or that lead out of the directory by their
// names or by links; what came before such an entry is there then. The files
// belong to who runs this program, and none runs as its owner.
func (m *Machine) TarIn(ctx context.Context, name string, r io.Reader) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	in := ctxReader{ctx, r}
	err := unpack(m.resolve(name), in)
	if err == nil {
		_, err = io.Copy(io.Discard, in) // padding after the archive
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return pathError("unarchive", name, err)
}

func unpack(dir string, in io.Reader) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	u := unpacker{root: root}
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
			return fmt.Errorf("archive entry %q: %w", h.Name, bare(err))
		}
	}
	return fmt.Errorf("the archive has more than %d entries: %w", maxEntries, unix.E2BIG)
}

// An unpacker creates files below its root and nowhere else. No link is
// followed, neither one of the archive nor one that was there; if others put
// links there at the same time, the root still cannot be left.
type unpacker struct {
	root *os.Root
	dirs []*tar.Header // whose modes and times are set when all is in them
}

var errEscapes = fmt.Errorf("leads out of the archive: %w", fs.ErrInvalid)

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	name, err := inside(h.Name)
	if err != nil {
		return err
	}
	if name == "." {
		return nil
	}
	if err := u.mkdirs(path.Dir(name)); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		u.dirs = append(u.dirs, h)
		return u.mkdirs(name)
	case tar.TypeReg:
		return u.file(name, h, content)
	case tar.TypeSymlink:
		return u.symlink(name, h.Linkname)
	case tar.TypeLink:
		return u.link(name, h.Linkname)
	case tar.TypeXGlobalHeader:
		return nil
	}
	return fmt.Errorf("a device, FIFO or unknown kind %q: %w", h.Typeflag, fs.ErrInvalid)
}

// inside cleans a name of the archive.
func inside(name string) (string, error) {
	if path.IsAbs(name) || name == "" || strings.IndexByte(name, 0) >= 0 ||
		slices.Contains(strings.Split(name, "/"), "..") {
		return "", errEscapes
	}
	return path.Clean(name), nil
}

// mkdirs makes the directories of a name, none of which may be a link.
func (u *unpacker) mkdirs(name string) error {
	if name == "." {
		return nil
	}
	if err := u.mkdirs(path.Dir(name)); err != nil {
		return err
	}
	err := u.root.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return u.requireDir(name)
	}
	return err
}

func (u *unpacker) requireDir(name string) error {
	info, err := u.root.Lstat(name)
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return unix.ELOOP
	case !info.IsDir():
		return unix.ENOTDIR
	}
	return nil
}

func (u *unpacker) file(name string, h *tar.Header, content io.Reader) error {
	if err := u.replace(name); err != nil {
		return err
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(h.FileInfo().Mode().Perm())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return u.root.Chtimes(name, h.ModTime, h.ModTime)
}

// replace makes room for a file or link.
func (u *unpacker) replace(name string) error {
	info, err := u.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.IsDir() {
		err = unix.EISDIR
	}
	if err != nil {
		return err
	}
	return u.root.Remove(name)
}

func (u *unpacker) symlink(name, target string) error {
	if path.IsAbs(target) || !localLink(path.Dir(name), target) {
		return errEscapes
	}
	if err := u.replace(name); err != nil {
		return err
	}
	return u.root.Symlink(target, name)
}

// localLink reports whether a link's target, taken by its text, stays inside.
func localLink(dir, target string) bool {
	joined := path.Join(dir, target)
	return joined != ".." && !strings.HasPrefix(joined, "../") && target != ""
}

func (u *unpacker) link(name, to string) error {
	target, err := inside(to)
	if err != nil {
		return err
	}
	for dir := path.Dir(target); dir != "."; dir = path.Dir(dir) {
		if err := u.requireDir(dir); err != nil {
			return err
		}
	}
	if err := u.replace(name); err != nil {
		return err
	}
	return u.root.Link(target, name)
}

func (u *unpacker) finish() error {
	for _, h := range slices.Backward(u.dirs) {
		name := path.Clean(h.Name)
		if u.requireDir(name) != nil {
			continue // replaced by a later entry
		}
		if err := u.root.Chmod(name, h.FileInfo().Mode().Perm()); err != nil {
			return err
		}
		if err := u.root.Chtimes(name, h.ModTime, h.ModTime); err != nil {
			return err
		}
	}
	return nil
}
