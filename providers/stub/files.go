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

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub/internal/memfs"
)

// Filesystem implements [compute.Sandbox].
func (s *Sandbox) Filesystem() compute.Filesystem { return filesystem{s: s} }

// filesystem implements [compute.Filesystem] and its optional interfaces.
type filesystem struct {
	s      *Sandbox
	inside bool // it is a program's: no operation of the provider, and meets no faults
}

// begin is the start of every operation. It makes name absolute.
func (f filesystem) begin(ctx context.Context, op, verb, name string) (*memfs.FS, string, trouble, error) {
	t, err := f.use(ctx, op)
	if err != nil {
		if _, typed := errors.AsType[*compute.Error](err); !typed {
			err = fix(verb, name, err)
		}
		return nil, "", nil, err
	}
	if name == "" || strings.IndexByte(name, 0) >= 0 {
		return nil, "", nil, &fs.PathError{Op: verb, Path: name, Err: fs.ErrInvalid}
	}
	return f.s.files(), memfs.Join(workdir, name), t, nil
}

func (f filesystem) use(ctx context.Context, op string) (trouble, error) {
	if !f.inside {
		return f.s.use(ctx, op)
	}
	if ctx.Err() != nil {
		return nil, f.s.p.ended(ctx, op, f.s.ID())
	}
	return nil, f.s.alive(op)
}

// fix gives an error the name that the caller knows.
func fix(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: verb, Path: name, Err: reason(err)}
}

func reason(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

func (f filesystem) ReadFile(ctx context.Context, name string) ([]byte, error) {
	data, t, err := f.read(ctx, "read file", name)
	if err != nil {
		return nil, err
	}
	if n, cut := t.cut(); cut != nil && n < int64(len(data)) {
		return nil, fix("read", name, cut)
	}
	return data, t.after()
}

// OpenFile implements [compute.FileOpener].
func (f filesystem) OpenFile(ctx context.Context, name string) (io.ReadCloser, error) {
	data, t, err := f.read(ctx, "open file", name)
	if err != nil {
		return nil, err
	}
	if err := t.after(); err != nil {
		return nil, err
	}
	return &reader{ctx, t.reader(bytes.NewReader(data)), io.NopCloser(nil)}, nil
}

// read reads a file as it is at one moment, whatever is done to it then.
func (f filesystem) read(ctx context.Context, op, name string) ([]byte, trouble, error) {
	fsys, full, t, err := f.begin(ctx, op, "open", name)
	if err != nil {
		return nil, nil, err
	}
	info, err := fsys.Stat(full)
	switch {
	case err != nil:
		return nil, nil, fix("open", name, err)
	case info.IsDir():
		return nil, nil, fix("open", name, memfs.ErrIsDir)
	case !info.Mode().IsRegular():
		return nil, nil, fix("open", name, memfs.ErrInvalid)
	}
	data, err := fsys.ReadFile(full)
	return data, t, fix("open", name, err)
}

type reader struct {
	ctx context.Context // covers all reads, as compute.OpenFile says
	r   io.Reader
	io.Closer
}

func (r *reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

func (f filesystem) WriteFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error {
	fsys, full, t, err := f.begin(ctx, "write file", "open", name)
	if err != nil {
		return err
	}
	if n, err := t.cut(); err != nil && n < int64(len(data)) {
		return fix("write", name, err)
	}
	if err := put(fsys, full, data, perm); err != nil {
		return fix("open", name, err)
	}
	return t.after()
}

// put replaces a file and its permissions, or leaves both.
func put(fsys *memfs.FS, full string, data []byte, perm fs.FileMode) error {
	if err := fsys.WriteFileAll(full, data, perm.Perm()); err != nil {
		return err
	}
	return fsys.Chmod(full, perm.Perm())
}

// CreateFile implements [compute.FileCreator].
func (f filesystem) CreateFile(ctx context.Context, name string, perm fs.FileMode) (io.WriteCloser, error) {
	fsys, full, t, err := f.begin(ctx, "create file", "open", name)
	if err != nil {
		return nil, err
	}
	if info, err := fsys.Stat(full); err == nil && info.IsDir() {
		return nil, fix("open", name, memfs.ErrIsDir)
	}
	w := &writer{ctx: ctx, done: func(data []byte) error {
		if err := put(fsys, full, data, perm); err != nil {
			return fix("close", name, err)
		}
		return t.after()
	}}
	w.w = t.writer(&w.buf)
	return w, nil
}

// writer keeps a file until it is complete: where all is memory, that is a
// stream.
type writer struct {
	ctx    context.Context // covers all writes, as compute.CreateFile says
	buf    bytes.Buffer
	w      io.Writer
	err    error
	closed bool
	done   func([]byte) error
}

func (w *writer) Write(b []byte) (int, error) {
	if w.closed {
		return 0, fs.ErrClosed
	}
	if w.err = errors.Join(w.err, w.ctx.Err()); w.err != nil {
		return 0, w.err
	}
	n, err := w.w.Write(b)
	w.err = err
	return n, err
}

func (w *writer) Close() error {
	if w.closed {
		return fs.ErrClosed
	}
	w.closed = true
	if err := errors.Join(w.err, w.ctx.Err()); err != nil {
		return err
	}
	return w.done(w.buf.Bytes())
}

func (f filesystem) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	fsys, full, t, err := f.begin(ctx, "read dir", "readdir", name)
	if err != nil {
		return nil, err
	}
	entries, err := fsys.ReadDir(full)
	if err != nil {
		return nil, fix("readdir", name, err)
	}
	infos := make([]fs.FileInfo, len(entries))
	for i, e := range entries {
		if infos[i], err = e.Info(); err != nil {
			return nil, fix("readdir", name, err)
		}
	}
	return infos, t.after()
}

func (f filesystem) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	fsys, full, t, err := f.begin(ctx, "stat", "stat", name)
	if err != nil {
		return nil, err
	}
	info, err := fsys.Stat(full)
	if err != nil {
		return nil, fix("stat", name, err)
	}
	return info, t.after()
}

func (f filesystem) MkdirAll(ctx context.Context, name string, perm fs.FileMode) error {
	fsys, full, t, err := f.begin(ctx, "make dir", "mkdir", name)
	if err != nil {
		return err
	}
	if err := fsys.MkdirAll(full, perm.Perm()); err != nil {
		return fix("mkdir", name, err)
	}
	return t.after()
}

func (f filesystem) RemoveAll(ctx context.Context, name string) error {
	fsys, full, t, err := f.begin(ctx, "remove", "remove", name)
	if err != nil {
		return err
	}
	if clean := path.Clean(full); clean == "/" || clean == workdir || path.Clean(name) == ".." {
		return fix("remove", name, fs.ErrInvalid)
	}
	if err := fsys.RemoveAll(full); err != nil {
		return fix("remove", name, err)
	}
	return t.after()
}

// Rename implements [compute.Renamer].
func (f filesystem) Rename(ctx context.Context, oldname, newname string) error {
	fsys, full, t, err := f.begin(ctx, "rename", "rename", oldname)
	if err != nil {
		return err
	}
	if newname == "" || strings.IndexByte(newname, 0) >= 0 {
		return fix("rename", newname, fs.ErrInvalid)
	}
	if err := fsys.Rename(full, memfs.Join(workdir, newname)); err != nil {
		return fix("rename", oldname, err)
	}
	return t.after()
}

// ReadArchive implements [compute.Archiver].
func (f filesystem) ReadArchive(ctx context.Context, dir string, w io.Writer) error {
	fsys, full, t, err := f.begin(ctx, "read archive", "archive", dir)
	if err != nil {
		return err
	}
	if info, err := fsys.Stat(full); err != nil {
		return fix("archive", dir, err)
	} else if !info.IsDir() {
		return fix("archive", dir, memfs.ErrNotDir)
	}
	tw := tar.NewWriter(&ctxWriter{ctx, t.writer(w)})
	if err := pack(fsys, full, "", tw); err != nil {
		return err
	}
	if err := tw.Close(); err != nil {
		return err
	}
	return t.after()
}

type ctxWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w *ctxWriter) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(b)
}
