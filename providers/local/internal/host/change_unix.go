//go:build unix

package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// MkdirAll makes a directory and those above it.
func (m *Machine) MkdirAll(ctx context.Context, name string, perm fs.FileMode) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	return pathError("mkdir", name, os.MkdirAll(m.resolve(name), perm))
}

// RemoveAll removes a file or tree, following no links. That there is none is
// not an error. It refuses "", "/", names that end in "." or "..", and the
// working directory with those above it.
func (m *Machine) RemoveAll(ctx context.Context, name string) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	full, err := m.split(name)
	if err == nil {
		err = os.RemoveAll(full)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return pathError("removeall", name, err)
}

// Rename renames a file or directory.
func (m *Machine) Rename(ctx context.Context, from, to string) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	src, err := m.split(from)
	if err != nil {
		return pathError("rename", from, err)
	}
	dst, err := m.split(to)
	if err == nil {
		// os.Rename would refuse to replace an empty directory.
		err = unix.Rename(src, dst)
	}
	return pathError("rename", from, err)
}

// split checks a name of something to be removed or renamed. Its last element
// stays unfollowed.
func (m *Machine) split(name string) (string, error) {
	trimmed := strings.TrimRight(m.resolve(name), "/")
	dir, base := filepath.Split(trimmed)
	if name == "" || base == "" || base == "." || base == ".." {
		return "", fs.ErrInvalid
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	full := filepath.Join(real, base)
	if full == m.work || strings.HasPrefix(m.work, full+"/") {
		return "", fs.ErrInvalid
	}
	return full, nil
}
