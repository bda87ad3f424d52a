package memfs

import (
	"errors"
	"io/fs"
	"path"
)

// IO is the tree below a directory as an io/fs file system.
func (f *FS) IO(dir string) fs.FS { return ioFS{f, path.Clean("/" + dir)} }

type ioFS struct {
	fsys *FS
	dir  string
}

func (i ioFS) full(op, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", fail(op, name, fs.ErrInvalid)
	}
	return path.Join(i.dir, name), nil
}

// relabel makes the error speak of the name that was asked for.
func relabel(name string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		pe.Path = name
	}
	return err
}

func (i ioFS) Open(name string) (fs.File, error) {
	full, err := i.full("open", name)
	if err != nil {
		return nil, err
	}
	h, err := i.fsys.Open(full)
	if err != nil {
		return nil, relabel(name, err)
	}
	h.name = name
	return h, nil
}

func (i ioFS) Stat(name string) (fs.FileInfo, error) {
	full, err := i.full("stat", name)
	if err != nil {
		return nil, err
	}
	fi, err := i.fsys.Stat(full)
	return named(fi, name), relabel(name, err)
}

func (i ioFS) Lstat(name string) (fs.FileInfo, error) {
	full, err := i.full("lstat", name)
	if err != nil {
		return nil, err
	}
	fi, err := i.fsys.Lstat(full)
	return named(fi, name), relabel(name, err)
}

// named gives the root its io/fs name.
func named(fi fs.FileInfo, name string) fs.FileInfo {
	if in, ok := fi.(*info); ok {
		in.name = path.Base(name)
		return in
	}
	return nil
}

func (i ioFS) ReadLink(name string) (string, error) {
	full, err := i.full("readlink", name)
	if err != nil {
		return "", err
	}
	target, err := i.fsys.Readlink(full)
	return target, relabel(name, err)
}

func (i ioFS) ReadDir(name string) ([]fs.DirEntry, error) {
	full, err := i.full("readdir", name)
	if err != nil {
		return nil, err
	}
	out, err := i.fsys.ReadDir(full)
	return out, relabel(name, err)
}

func (i ioFS) ReadFile(name string) ([]byte, error) {
	full, err := i.full("open", name)
	if err != nil {
		return nil, err
	}
	out, err := i.fsys.ReadFile(full)
	return out, relabel(name, err)
}
