package engine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// HasUsers reports whether sandboxes made by this process have users beside
// root.
func HasUsers() bool {
	ids, err := currentMap()
	return err == nil && ids.ranged()
}

// BaseID names what sandboxes of this host start from below their layers. It
// changes when the host's programs are upgraded.
func BaseID(stateDir string) (string, error) {
	ids, err := currentMap()
	if err != nil {
		return "", err
	}
	b, err := ensureBase(stateDir, ids, false)
	return filepath.Base(b.layer), err
}

// TakeLayer makes what the sandbox of a directory has written a layer, by
// moving it: the sandbox must have ended, and can only be destroyed afterwards.
// It reports false, and does nothing, if nothing was written.
func TakeLayer(dir, layer string) (bool, error) {
	upper := At(dir).Upper()
	written, err := anything(upper)
	if err != nil || !written {
		return false, err
	}
	return true, os.Rename(upper, layer)
}

// anything reports whether one of the trees of an upper directory has an entry.
func anything(upper string) (bool, error) {
	trees, err := os.ReadDir(upper)
	if err != nil {
		return false, err
	}
	for _, t := range trees {
		dir, err := os.OpenFile(filepath.Join(upper, t.Name()), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if errors.Is(err, fs.ErrPermission) {
			return true, nil // its mode was changed
		}
		if err != nil {
			return false, err
		}
		names, err := dir.Readdirnames(1)
		_ = dir.Close()
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if len(names) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// LayerSize adds up what a layer takes on the disk, in bytes. What it cannot
// look into counts nothing.
func LayerSize(layer string) int64 {
	var n int64
	_ = filepath.WalkDir(layer, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				n += st.Blocks * 512
			} else {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// TarInLinks is TarIn with links as they are in the archive: absolute ones and
// those that lead out of the directory too. None is followed.
func (b *Box) TarInLinks(ctx context.Context, name string, r io.Reader) error {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpTarIn, Path: name, Follow: true})
	if err != nil {
		return err
	}
	defer c.close()
	return pathError("unarchive", name, c.upload(r))
}

// Nobody returns a user ID of this host, and group ID, that has no rights, where
// this process can become any: the last of those that sandboxes have.
func Nobody() (uint32, bool) {
	ids, err := currentMap()
	if err != nil || !ids.ranged() {
		return 0, false
	}
	return uint32(ids.uid + ids.size - 1), true
}

// LimitFileSize bounds the files that a child of this process writes from now
// on, in bytes. One that is not there any more needs no bound.
func LimitFileSize(pid int, size uint64) {
	_ = unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: size}, nil)
}
