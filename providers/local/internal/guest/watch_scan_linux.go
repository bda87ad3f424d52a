package guest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// add watches the directory dir of that name, and those in it, and reports what
// is in it already.
func (w *watcher) add(name string, dir int) error {
	if len(w.dirs) >= w.limit {
		w.lost = fmt.Sprintf("there are more than %d directories", w.limit)
		return nil
	}
	if len(name) > maxWatchedName || w.named+len(name) > maxWatchedNames {
		w.lost = "there are directories with too long names"
		return nil
	}
	if unwatchable(dir) {
		return nil
	}
	wd, err := unix.InotifyAddWatch(rawFd(w.notify), procFd(dir), watchMask&^unix.IN_DONT_FOLLOW)
	switch {
	case errors.Is(err, unix.ENOSPC):
		w.lost = "there are more directories than sysctl fs.inotify.max_user_watches allows"
		return nil
	case err != nil:
		return err
	}
	w.forget(int32(wd)) // it was moved
	w.dirs[int32(wd)], w.wds[name] = name, int32(wd)
	w.named += len(name)
	return w.scan(name, dir)
}

// forget takes a watch from the lists, if it is there.
func (w *watcher) forget(wd int32) {
	name, ok := w.dirs[wd]
	if !ok {
		return
	}
	w.named -= len(name)
	delete(w.dirs, wd)
	if w.wds[name] == wd {
		delete(w.wds, name)
	}
}

// unwatchable are the file systems whose directories tell of no change.
func unwatchable(dir int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(dir, &st) == nil && st.Type == unix.PROC_SUPER_MAGIC
}

func (w *watcher) scan(name string, dir int) error {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ignoreGone(err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	for w.lost == "" {
		entries, err := f.ReadDir(scanPortion)
		if err != nil && !errors.Is(err, io.EOF) {
			return ignoreGone(err)
		}
		if len(entries) == 0 {
			return nil
		}
		if err := w.scanned(name, fd, entries); err != nil {
			return err
		}
	}
	return nil
}

// scanPortion is how many entries of a directory are looked at in one go.
const scanPortion = 512

// scanned reports entries of a directory, and watches those in it.
func (w *watcher) scanned(name string, fd int, entries []fs.DirEntry) error {
	for _, e := range entries {
		if w.lost != "" {
			return nil
		}
		if w.silent && !e.IsDir() {
			continue
		}
		full := path.Join(name, e.Name())
		if !w.silent && !hiddenFile(e.Name()) && w.event(wire.WatchCreated, full) {
			w.found[full] = true
		}
		if !e.IsDir() {
			continue
		}
		sub, err := unix.Openat(fd, e.Name(), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			continue // gone, or replaced: there will be an event
		}
		err = w.add(full, sub)
		_ = unix.Close(sub)
		if err != nil {
			return err
		}
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// appeared watches a directory that is new.
func (w *watcher) appeared(name string) {
	top, err := w.open()
	if err != nil {
		return // gone, too
	}
	defer top.Close()
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(rawFd(top), name, &how)
	if err != nil {
		return // gone, or replaced: there will be an event
	}
	defer unix.Close(fd)
	if err := w.add(name, fd); err != nil && w.lost == "" {
		w.lost = "a directory cannot be watched: " + err.Error()
	}
}

// disappeared takes the watches from a directory that is no longer here.
func (w *watcher) disappeared(name string) {
	for dir, wd := range w.wds {
		if dir == name || strings.HasPrefix(dir, name+"/") || name == "" {
			_, _ = unix.InotifyRmWatch(rawFd(w.notify), uint32(wd))
			w.forget(wd)
		}
	}
}
