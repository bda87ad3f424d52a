package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// workdir is where commands run and relative names start, inside.
const workdir = "/workspace"

// Filesystem implements [compute.Sandbox]. The sandbox's init opens every file,
// inside, so that no link leads out of it. Without isolation there is no inside.
// It acts as root of the sandbox, whatever the sandbox's user: new files are
// root's, and a file that is replaced keeps its owner.
func (s *Sandbox) Filesystem() compute.Filesystem { return filesystem{s} }

// filesystem implements [compute.Filesystem] and its optional interfaces.
type filesystem struct{ s *Sandbox }

// do runs one operation on a name.
func (f filesystem) do(ctx context.Context, op, verb, name string, do func(machine) error) error {
	if err := checkName(verb, name); err != nil {
		return err
	}
	return named(name, f.s.with(ctx, op, do))
}

// named makes an error of reading or writing one of the file of that name: a file
// that is open does not know its own.
func named(name string, err error) error {
	if pe, ok := err.(*fs.PathError); ok && name != "" && (pe.Op == "read" || pe.Op == "write") { //nolint:errorlint // it is replaced
		return &fs.PathError{Op: pe.Op, Path: name, Err: pe.Err}
	}
	return err
}

func checkName(verb, name string) error {
	if name == "" || strings.IndexByte(name, 0) >= 0 {
		return &fs.PathError{Op: verb, Path: name, Err: fs.ErrInvalid}
	}
	return nil
}

func (f filesystem) ReadFile(ctx context.Context, name string) (data []byte, err error) {
	err = f.do(ctx, "read file", "open", name, func(m machine) error {
		file, entry, err := m.OpenFile(ctx, name)
		if err != nil {
			return err
		}
		defer file.Close()
		data, err = readAll(ctx, file, entry.Size)
		if errors.Is(err, errTooLarge) {
			return &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return err
	})
	return data, err
}

// maxRead bounds what ReadFile holds in memory: a file of terabytes takes a
// program inside one system call, and no room on its disk.
const maxRead = 1 << 30

var errTooLarge = fmt.Errorf("it is larger than %d MiB, which is the most to read at once; compute.OpenFile reads it as a stream: %w", maxRead>>20, syscall.EFBIG)

// readAll reads a file of about that size, as long as ctx lasts: a file that
// grows while it is read has no end.
func readAll(ctx context.Context, r io.Reader, size int64) ([]byte, error) {
	if size > maxRead {
		return nil, errTooLarge
	}
	var buf bytes.Buffer
	buf.Grow(int(max(size, 0)) + bytes.MinRead)
	if _, err := buf.ReadFrom(&streamReader{ctx: ctx, r: io.LimitReader(r, maxRead+1)}); err != nil {
		return nil, err
	}
	if buf.Len() > maxRead {
		return nil, errTooLarge
	}
	return buf.Bytes(), nil
}

// OpenFile implements [compute.FileOpener].
func (f filesystem) OpenFile(ctx context.Context, name string) (r io.ReadCloser, err error) {
	err = f.do(ctx, "open file", "open", name, func(m machine) error {
		file, _, err := m.OpenFile(ctx, name)
		if err == nil {
			r = &streamReader{ctx: ctx, name: name, r: file, Closer: file}
		}
		return err
	})
	return r, err
}

type streamReader struct {
	ctx  context.Context // covers all reads, as compute.OpenFile says
	name string
	r    io.Reader
	io.Closer
}

func (r *streamReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	return n, named(r.name, err)
}

func (f filesystem) WriteFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error {
	return f.do(ctx, "write file", "open", name, func(m machine) error {
		w, err := m.Create(ctx, name, perm.Perm())
		if err != nil {
			return err
		}
		defer w.Close()
		if _, err := w.Write(data); err != nil {
			return err
		}
		return w.Commit()
	})
}

// CreateFile implements [compute.FileCreator].
func (f filesystem) CreateFile(ctx context.Context, name string, perm fs.FileMode) (w io.WriteCloser, err error) {
	err = f.do(ctx, "create file", "open", name, func(m machine) error {
		fw, err := m.Create(ctx, name, perm.Perm())
		if err == nil {
			w = &streamWriter{ctx: ctx, f: f, name: name, w: fw}
		}
		return err
	})
	return w, err
}

type streamWriter struct {
	ctx    context.Context // covers all writes, as compute.CreateFile says
	f      filesystem
	name   string
	w      fileWriter
	err    error
	closed bool
}

func (w *streamWriter) Write(p []byte) (int, error) {
	if w.closed {
		return 0, fs.ErrClosed
	}
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.w.Write(p)
	if err != nil {
		w.err = named(w.name, w.f.s.fix(w.ctx, "write file", err))
	}
	return n, w.err
}

// Close makes the file what was written, if all was.
func (w *streamWriter) Close() error {
	if w.closed {
		return fs.ErrClosed
	}
	w.closed = true
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err != nil {
		return errors.Join(w.err, ignoreClosed(w.w.Close()))
	}
	if err := w.w.Commit(); err != nil {
		return named(w.name, w.f.s.fix(w.ctx, "write file", err))
	}
	return nil
}

// maxInfos bounds what ReadDir holds in memory. Init has the same bound.
const maxInfos = 1 << 20

var errTooMany = fmt.Errorf("it has more than %d entries: %w", maxInfos, syscall.E2BIG)

func (f filesystem) ReadDir(ctx context.Context, name string) (infos []fs.FileInfo, err error) {
	err = f.do(ctx, "read dir", "readdir", name, func(m machine) error {
		infos = []fs.FileInfo{}
		for e, err := range m.ReadDir(ctx, name) {
			if err != nil {
				return err
			}
			if infos = append(infos, fileInfo{e, e.Name}); len(infos) > maxInfos {
				return &fs.PathError{Op: "readdir", Path: name, Err: errTooMany}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return infos, nil
}

func (f filesystem) Stat(ctx context.Context, name string) (info fs.FileInfo, err error) {
	err = f.do(ctx, "stat", "stat", name, func(m machine) error {
		e, err := m.Stat(ctx, name)
		info = fileInfo{e, path.Base(name)}
		return err
	})
	if err != nil {
		return nil, err
	}
	return info, nil
}

// fileInfo implements [fs.FileInfo]. Its Sys is nil: what else there is to know
// is not portable.
type fileInfo struct {
	e    engine.Entry
	name string
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.e.Size }
func (i fileInfo) Mode() fs.FileMode  { return i.e.Mode }
func (i fileInfo) ModTime() time.Time { return i.e.ModTime }
func (i fileInfo) IsDir() bool        { return i.e.Mode.IsDir() }
func (i fileInfo) Sys() any           { return nil }

func (f filesystem) MkdirAll(ctx context.Context, name string, perm fs.FileMode) error {
	return f.do(ctx, "make dir", "mkdir", name, func(m machine) error { return m.MkdirAll(ctx, name, perm.Perm()) })
}

func (f filesystem) RemoveAll(ctx context.Context, name string) error {
	if clean := path.Clean(name); clean == "/" || clean == "." || clean == ".." {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrInvalid}
	}
	return f.do(ctx, "remove", "remove", name, func(m machine) error { return m.RemoveAll(ctx, name) })
}

// Rename implements [compute.Renamer].
func (f filesystem) Rename(ctx context.Context, oldname, newname string) error {
	if err := checkName("rename", newname); err != nil {
		return err
	}
	return f.do(ctx, "rename", "rename", oldname, func(m machine) error { return m.Rename(ctx, oldname, newname) })
}

// ReadArchive implements [compute.Archiver]. Sockets, pipes and devices are
// left out.
func (f filesystem) ReadArchive(ctx context.Context, dir string, w io.Writer) error {
	return f.do(ctx, "read archive", "archive", dir, func(m machine) error { return m.TarOut(ctx, dir, w) })
}

// WriteArchive implements [compute.Archiver].
func (f filesystem) WriteArchive(ctx context.Context, dir string, r io.Reader) error {
	return f.do(ctx, "write archive", "unpack", dir, func(m machine) error { return m.TarIn(ctx, dir, r) })
}
