package guest

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// one makes events of one of the kernel's.
func (w *watcher) one(e unix.InotifyEvent, base string) {
	if e.Mask&unix.IN_Q_OVERFLOW != 0 {
		w.lost = "events came faster than they were read"
		w.again()
		return
	}
	dir, ok := w.dirs[e.Wd]
	if !ok {
		return // of a directory that has left
	}
	name := path.Join(dir, base)
	isDir := e.Mask&unix.IN_ISDIR != 0
	switch {
	case e.Mask&unix.IN_IGNORED != 0:
		w.forget(e.Wd)
	case e.Mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0:
		if dir == "" { // the others are told of by the directory above them
			w.event(wire.WatchRemoved, "")
			w.disappeared("")
		}
	case hiddenFile(base):
		if e.Mask&unix.IN_MOVED_FROM != 0 {
			w.moved = e.Cookie
		}
	case e.Mask&unix.IN_CREATE != 0:
		w.created(name, isDir)
	case e.Mask&unix.IN_MOVED_TO != 0:
		w.created(name, isDir)
		if w.moved != 0 && e.Cookie == w.moved { // it comes with what was written
			w.event(wire.WatchWritten, name)
		}
	case e.Mask&unix.IN_MODIFY != 0:
		w.event(wire.WatchWritten, name)
	case e.Mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0:
		delete(w.found, name)
		if isDir {
			w.disappeared(name)
		}
		w.event(wire.WatchRemoved, name)
	}
}

func (w *watcher) created(name string, isDir bool) {
	if w.found[name] {
		delete(w.found, name)
	} else {
		w.event(wire.WatchCreated, name)
	}
	if isDir {
		if _, watched := w.wds[name]; !watched {
			w.appeared(name)
		}
	}
}

// again looks for directories whose creation is among what was lost.
func (w *watcher) again() {
	lost := w.lost
	w.lost = ""
	if err := w.all(); ignoreGone(err) != nil && w.lost == "" {
		w.lost = err.Error()
	}
	if w.lost != "" {
		lost += "; " + w.lost
	}
	w.lost = lost
	clear(w.found)
}

// hiddenFile reports that a name is one that a file bears which Box.Create has
// not given its own yet.
func hiddenFile(name string) bool {
	rest, ok := strings.CutPrefix(name, tempPrefix)
	return ok && len(rest) == 26
}

const tempPrefix = ".compute-"
