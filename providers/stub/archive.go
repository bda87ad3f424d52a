package stub

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

// pack writes the entries of root/rel, and all below.
func pack(fsys *memfs.FS, root, rel string, tw *tar.Writer) error {
	entries, err := fsys.ReadDir(path.Join(root, rel))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(rel, e.Name())
		if err := packOne(fsys, path.Join(root, name), name, tw); err != nil {
			return err
		}
		if e.IsDir() {
			if err := pack(fsys, root, name, tw); err != nil {
				return err
			}
		}
	}
	return nil
}

func packOne(fsys *memfs.FS, full, name string, tw *tar.Writer) error {
	info, err := fsys.Lstat(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed since it was listed
	}
	if err != nil {
		return err
	}
	target, data := "", []byte(nil)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err = fsys.Readlink(full)
	case info.Mode().IsRegular():
		data, err = fsys.ReadFile(full)
	case !info.IsDir():
		return nil // a device: every sandbox has them
	}
	if err != nil {
		return err
	}
	hdr, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	hdr.Name = name
	if info.IsDir() {
		hdr.Name += "/"
	}
	if info.Mode().IsRegular() {
		hdr.Size = int64(len(data)) // it may have grown since Lstat
	}
	if err := tw.WriteHeader(hdr); err != nil {
		return err
	}
	_, err = tw.Write(data)
	return err
}

// WriteArchive implements [compute.Archiver].
func (f filesystem) WriteArchive(ctx context.Context, dir string, r io.Reader) error {
	fsys, full, t, err := f.begin(ctx, "write archive", "unpack", dir)
	if err != nil {
		return err
	}
	if err := fsys.MkdirAll(full, 0o755); err != nil {
		return fix("unpack", dir, err)
	}
	if full, err = fsys.RealPath(full); err != nil {
		return fix("unpack", dir, err)
	}
	for tr := tar.NewReader(&reader{ctx: ctx, r: t.reader(r)}); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return t.after()
		}
		if err == nil {
			err = unpack(fsys, full, hdr, tr)
		}
		if err != nil {
			return err
		}
	}
}

func unpack(fsys *memfs.FS, root string, hdr *tar.Header, r io.Reader) error {
	name := path.Clean(hdr.Name)
	if !fs.ValidPath(name) || !inside(fsys, root, path.Dir(name)) {
		return fix("unpack", hdr.Name, fs.ErrInvalid)
	}
	full, perm := path.Join(root, name), fs.FileMode(hdr.Mode).Perm() //nolint:gosec // nine bits of it
	switch hdr.Typeflag {
	case tar.TypeDir:
		return fix("unpack", hdr.Name, errors.Join(fsys.MkdirAll(full, perm), fsys.Chmod(full, perm)))
	case tar.TypeReg:
		var buf bytes.Buffer
		if _, err := io.Copy(&buf, r); err != nil {
			return err
		}
		if info, err := fsys.Lstat(full); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			_ = fsys.Remove(full) // replace the link, do not follow it
		}
		return fix("unpack", hdr.Name, put(fsys, full, buf.Bytes(), perm))
	case tar.TypeSymlink:
		//nolint:gosec // this is the check for links that lead out
		if path.IsAbs(hdr.Linkname) || !fs.ValidPath(path.Join(path.Dir(name), hdr.Linkname)) {
			return fix("unpack", hdr.Name, fs.ErrInvalid)
		}
		_ = fsys.Remove(full)
		return fix("unpack", hdr.Name, errors.Join(fsys.MkdirAll(path.Dir(full), 0o755), fsys.Symlink(hdr.Linkname, full)))
	}
	return fix("unpack", hdr.Name, fs.ErrInvalid)
}

// inside reports whether the directory rel, as far as it exists, is below root
// when all links are followed.
func inside(fsys *memfs.FS, root, rel string) bool {
	for ; rel != "."; rel = path.Dir(rel) {
		real, err := fsys.RealPath(path.Join(root, rel))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return err == nil && (real == root || strings.HasPrefix(real, strings.TrimSuffix(root, "/")+"/"))
	}
	return true
}
