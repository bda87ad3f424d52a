package compute

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// FS returns the tree at dir as an [io/fs.FS], for [fs.WalkDir],
// [net/http.FileServerFS], [html/template.ParseFS], [os.CopyFS] and the like.
// All its work happens under ctx. Files are streams, and seekers; reading one
// front to back takes one stream.
func FS(ctx context.Context, fsys Filesystem, dir string) fs.FS {
	return &ioFS{ctx, fsys, dir}
}

type ioFS struct {
	ctx  context.Context // io/fs has no place for it
	fsys Filesystem
	dir  string
}

var _ interface {
	fs.ReadFileFS
	fs.ReadDirFS
	fs.StatFS
} = (*ioFS)(nil)

// at maps a valid name to the sandbox's, and fix maps its errors back.
func (f *ioFS) at(op, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return path.Join(f.dir, name), nil
}

func (f *ioFS) fix(op, name string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func (f *ioFS) Stat(name string) (fs.FileInfo, error) {
	full, err := f.at("stat", name)
	if err != nil {
		return nil, err
	}
	info, err := f.fsys.Stat(f.ctx, full)
	if err != nil {
		return nil, f.fix("stat", name, err)
	}
	return named{info, path.Base(name)}, nil
}

func (f *ioFS) ReadFile(name string) ([]byte, error) {
	full, err := f.at("open", name)
	if err != nil {
		return nil, err
	}
	data, err := f.fsys.ReadFile(f.ctx, full)
	if err != nil {
		return nil, f.fix("open", name, err)
	}
	return data, nil
}

func (f *ioFS) ReadDir(name string) ([]fs.DirEntry, error) {
	full, err := f.at("readdir", name)
	if err != nil {
		return nil, err
	}
	infos, err := f.fsys.ReadDir(f.ctx, full)
	if err != nil {
		return nil, f.fix("readdir", name, err)
	}
	entries := make([]fs.DirEntry, len(infos))
	for i, info := range infos {
		entries[i] = fs.FileInfoToDirEntry(info)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

func (f *ioFS) Open(name string) (fs.File, error) {
	info, err := f.Stat(name)
	if err != nil {
		return nil, f.fix("open", name, err)
	}
	if info.IsDir() {
		return &ioDir{fs: f, name: name, info: info}, nil
	}
	file := &ioFile{fs: f, name: name, info: info}
	if err := file.open(); err != nil { // now, so that Open reports what Read would
		return nil, err
	}
	return file, nil
}

// named gives a file the name it was asked for by, and the root its ".".
type named struct {
	fs.FileInfo
	name string
}

func (n named) Name() string { return n.name }

// ioFile reads a stream, and opens another where Seek leads elsewhere.
type ioFile struct {
	fs     *ioFS
	name   string
	info   fs.FileInfo
	stream io.ReadCloser // nil if a Seek moved away from it
	pos    int64         // of the stream, or where to begin the next
	closed bool
}

func (f *ioFile) open() error {
	stream, err := OpenFile(f.fs.ctx, f.fs.fsys, path.Join(f.fs.dir, f.name))
	if err != nil {
		return f.fs.fix("open", f.name, err)
	}
	if _, err := io.CopyN(io.Discard, stream, f.pos); err != nil && !errors.Is(err, io.EOF) {
		return errors.Join(f.fs.fix("seek", f.name, err), stream.Close())
	}
	f.stream = stream
	return nil
}

func (f *ioFile) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *ioFile) Read(p []byte) (int, error) {
	if f.closed {
		return 0, f.fs.fix("read", f.name, fs.ErrClosed)
	}
	if f.stream == nil {
		if err := f.open(); err != nil {
			return 0, err
		}
	}
	n, err := f.stream.Read(p)
	f.pos += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = f.fs.fix("read", f.name, err)
	}
	return n, err
}

func (f *ioFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += f.info.Size()
	}
	if f.closed || offset < 0 || whence < io.SeekStart || whence > io.SeekEnd {
		return 0, f.fs.fix("seek", f.name, fs.ErrInvalid)
	}
	if offset == f.pos {
		return offset, nil
	}
	f.pos = offset
	return offset, f.drop()
}

func (f *ioFile) drop() error {
	if f.stream == nil {
		return nil
	}
	err := f.stream.Close()
	f.stream = nil
	return err
}

func (f *ioFile) Close() error {
	if f.closed {
		return f.fs.fix("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	return f.drop()
}

type ioDir struct {
	fs      *ioFS
	name    string
	info    fs.FileInfo
	entries []fs.DirEntry
	read    bool
}

func (d *ioDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *ioDir) Close() error               { return nil }
func (d *ioDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errors.New("is a directory")}
}

func (d *ioDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.read {
		entries, err := d.fs.ReadDir(d.name)
		if err != nil {
			return nil, err
		}
		d.entries, d.read = entries, true
	}
	if n <= 0 || n > len(d.entries) {
		if n > 0 && len(d.entries) == 0 {
			return nil, io.EOF
		}
		n = len(d.entries)
	}
	list := d.entries[:n]
	d.entries = d.entries[n:]
	return slices.Clone(list), nil
}
