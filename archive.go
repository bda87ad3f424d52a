package compute

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Archiver is implemented by filesystems that move whole trees at once.
type Archiver interface {
	ReadArchive(ctx context.Context, dir string, w io.Writer) error
	WriteArchive(ctx context.Context, dir string, r io.Reader) error
}

// ReadArchive writes the tree at dir to w as a tar archive, with names relative
// to dir. Without an [Archiver] it reads file by file and a link is an error
// matching [errors.ErrUnsupported].
func ReadArchive(ctx context.Context, fsys Filesystem, dir string, w io.Writer) error {
	op := Op{Name: "read archive", Arg: dir}
	begun := &begunWriter{Writer: w}
	err := invoke(ctx, fsys, op, func(ctx context.Context, a Archiver) error { return a.ReadArchive(ctx, dir, begun) })
	if begun.yes || !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if info, err := fsys.Stat(ctx, dir); err != nil {
		return err
	} else if !info.IsDir() {
		return &fs.PathError{Op: "archive", Path: dir, Err: fs.ErrInvalid}
	}
	tw := tar.NewWriter(w)
	if err := archiveDir(ctx, fsys, dir, "", tw); err != nil {
		return err
	}
	return tw.Close()
}

func archiveDir(ctx context.Context, fsys Filesystem, dir, rel string, tw *tar.Writer) error {
	infos, err := fsys.ReadDir(ctx, path.Join(dir, rel))
	if err != nil {
		return err
	}
	for _, info := range infos {
		name := path.Join(rel, info.Name())
		if err := archiveEntry(ctx, fsys, dir, name, info, tw); err != nil {
			return err
		}
		if info.IsDir() {
			if err := archiveDir(ctx, fsys, dir, name, tw); err != nil {
				return err
			}
		}
	}
	return nil
}

func archiveEntry(ctx context.Context, fsys Filesystem, dir, name string, info fs.FileInfo, tw *tar.Writer) error {
	if !info.IsDir() && !info.Mode().IsRegular() {
		return &fs.PathError{Op: "archive", Path: name, Err: unsupported("archive a special file")}
	}
	hdr, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	hdr.Name = name
	if info.IsDir() {
		hdr.Name += "/"
		return tw.WriteHeader(hdr)
	}
	r, err := OpenFile(ctx, fsys, path.Join(dir, name))
	if err != nil {
		return err
	}
	defer r.Close()
	if err := tw.WriteHeader(hdr); err != nil {
		return err
	}
	_, err = io.Copy(tw, r)
	return err
}

// WriteArchive unpacks a tar archive into dir, which is created if need be.
// Existing files are replaced. Absolute names, names with "..", devices and
// links that lead out of dir are errors matching [fs.ErrInvalid]; what came
// before them has been unpacked. Without an [Archiver] it writes file by file
// and any link is an error matching [errors.ErrUnsupported].
func WriteArchive(ctx context.Context, fsys Filesystem, dir string, r io.Reader) error {
	op := Op{Name: "write archive", Arg: dir}
	begun := &begunReader{Reader: r}
	err := invoke(ctx, fsys, op, func(ctx context.Context, a Archiver) error { return a.WriteArchive(ctx, dir, begun) })
	if begun.yes || !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if err := fsys.MkdirAll(ctx, dir, 0o755); err != nil {
		return err
	}
	for tr := tar.NewReader(r); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unpackEntry(ctx, fsys, dir, hdr, tr); err != nil {
			return err
		}
	}
}

func unpackEntry(ctx context.Context, fsys Filesystem, dir string, hdr *tar.Header, r io.Reader) error {
	name := path.Clean(hdr.Name)
	if !fs.ValidPath(name) || slices.Contains(strings.Split(hdr.Name, "/"), "..") {
		return &fs.PathError{Op: "unpack", Path: hdr.Name, Err: fs.ErrInvalid}
	}
	perm := fs.FileMode(hdr.Mode).Perm() //nolint:gosec // nine bits of it
	switch hdr.Typeflag {
	case tar.TypeDir:
		return fsys.MkdirAll(ctx, path.Join(dir, name), perm)
	case tar.TypeReg:
		return writeStream(ctx, fsys, path.Join(dir, name), r, perm)
	case tar.TypeSymlink, tar.TypeLink:
		return &fs.PathError{Op: "unpack", Path: hdr.Name, Err: unsupported("unpack a link")}
	}
	return &fs.PathError{Op: "unpack", Path: hdr.Name, Err: fs.ErrInvalid}
}

// begunReader and begunWriter tell an Archiver that cannot do it at all from one
// that came upon something unsupported: after the latter it is too late to go
// file by file.
type begunReader struct {
	io.Reader
	yes bool
}

func (b *begunReader) Read(p []byte) (int, error) {
	b.yes = true
	return b.Reader.Read(p)
}

type begunWriter struct {
	io.Writer
	yes bool
}

func (b *begunWriter) Write(p []byte) (int, error) {
	b.yes = true
	return b.Writer.Write(p)
}
