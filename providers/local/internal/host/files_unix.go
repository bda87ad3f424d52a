//go:build unix

package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// resolve makes a name absolute as commands would. It does not clean it:
// "link/.." means what it means to the kernel.
func (m *Machine) resolve(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return m.work + "/" + name
}

// bare takes the name, which is not the caller's, off an error.
func bare(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	if le, ok := errors.AsType[*os.LinkError](err); ok {
		return le.Err
	}
	return err
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: bare(err)}
}

var errIrregular = fmt.Errorf("not a regular file: %w", fs.ErrInvalid)

func requireRegular(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return syscall.EISDIR
	case !info.Mode().IsRegular():
		return errIrregular
	}
	return nil
}

// OpenFile opens a regular file for reading, and tells its size.
func (m *Machine) OpenFile(ctx context.Context, name string) (*os.File, engine.Entry, error) {
	if err := m.enter(ctx); err != nil {
		return nil, engine.Entry{}, err
	}
	f, info, err := openRegular(m.resolve(name))
	if err != nil {
		return nil, engine.Entry{}, pathError("open", name, err)
	}
	return f, entryOf(info, ""), nil
}

// openRegular looks before it opens, because opening a device can do anything,
// and again afterwards. Opening a FIFO does not wait.
func openRegular(file string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(file)
	if err == nil {
		err = requireRegular(info)
	}
	if err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil {
		err = requireRegular(info)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// A FileWriter replaces a file: at Commit, not before, and not at all if it
// is closed without.
type FileWriter struct {
	m    *Machine
	ctx  context.Context // covers all writes
	name string
	file *os.File
	temp string
	full string
	perm fs.FileMode
	old  fs.FileInfo // what it will replace, or nil
}

// Create begins to replace a file, or to make it with the directories above
// it. A file keeps its owner where that can be done; perm becomes its mode
// exactly.
func (m *Machine) Create(ctx context.Context, name string, perm fs.FileMode) (*FileWriter, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	w := &FileWriter{m: m, ctx: ctx, name: name, perm: perm}
	if err := w.find(m.resolve(name)); err != nil {
		return nil, pathError("create", name, err)
	}
	w.temp = filepath.Join(filepath.Dir(w.full), ".compute-"+rand.Text())
	var err error
	w.file, err = os.OpenFile(w.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, pathError("create", name, err)
	}
	return w, nil
}

// find says which file is to be replaced. Symbolic links to it are followed,
// and keep pointing to it.
func (w *FileWriter) find(full string) (err error) {
	w.full = full
	switch w.old, err = os.Stat(full); {
	case err == nil:
		if err := requireRegular(w.old); err != nil {
			return err
		}
		w.full, err = filepath.EvalSymlinks(full)
		return err
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case strings.HasSuffix(full, "/"):
		return syscall.EISDIR
	}
	return os.MkdirAll(full[:strings.LastIndexByte(full, '/')+1], 0o755)
}

// Write appends to the new file.
func (w *FileWriter) Write(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	return w.file.Write(p)
}

// Commit puts the new file in its place and closes the writer.
func (w *FileWriter) Commit() error {
	defer w.Close()
	if err := w.m.enter(w.ctx); err != nil {
		return err
	}
	if st, ok := sysOf(w.old); ok {
		_ = w.file.Chown(int(st.Uid), int(st.Gid)) // as far as it can be kept
	}
	err := w.file.Chmod(w.perm)
	if err == nil {
		err = w.file.Close()
	}
	if err == nil {
		err = os.Rename(w.temp, w.full)
	}
	return pathError("write", w.name, err)
}

// Close gives up, unless Commit was called.
func (w *FileWriter) Close() error {
	_ = w.file.Close()
	_ = os.Remove(w.temp)
	return nil
}

func sysOf(info fs.FileInfo) (*syscall.Stat_t, bool) {
	if info == nil {
		return nil, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return st, ok
}

func entryOf(info fs.FileInfo, name string) engine.Entry {
	e := engine.Entry{Name: name, Mode: info.Mode(), Size: info.Size(), ModTime: info.ModTime()}
	if st, ok := sysOf(info); ok {
		e.UID, e.GID = int(st.Uid), int(st.Gid)
	}
	return e
}

// Stat describes a file, following links.
func (m *Machine) Stat(ctx context.Context, name string) (engine.Entry, error) {
	if err := m.enter(ctx); err != nil {
		return engine.Entry{}, err
	}
	info, err := os.Stat(m.resolve(name))
	if err != nil {
		return engine.Entry{}, pathError("stat", name, err)
	}
	return entryOf(info, ""), nil
}

// ReadDir yields the entries of a directory, sorted by name, links not
// followed. The second value is an error that ended the list.
func (m *Machine) ReadDir(ctx context.Context, name string) iter.Seq2[engine.Entry, error] {
	return func(yield func(engine.Entry, error) bool) {
		if err := m.enter(ctx); err != nil {
			yield(engine.Entry{}, err)
			return
		}
		entries, err := os.ReadDir(m.resolve(name))
		for _, d := range entries {
			e, lerr := entryIn(m.resolve(name), d)
			if errors.Is(lerr, fs.ErrNotExist) {
				continue // gone since
			}
			if !yield(e, pathError("readdir", name, lerr)) || lerr != nil {
				return
			}
		}
		if err != nil {
			yield(engine.Entry{}, pathError("readdir", name, err))
		}
	}
}

func entryIn(dir string, d fs.DirEntry) (engine.Entry, error) {
	info, err := d.Info()
	if err != nil {
		return engine.Entry{}, err
	}
	e := entryOf(info, d.Name())
	if info.Mode()&fs.ModeSymlink != 0 {
		e.Link, err = os.Readlink(filepath.Join(dir, d.Name()))
	}
	return e, err
}
