package memfs

import (
	"errors"
	"slices"
	"strings"
)

// Op is what happened to a file.
type Op uint8

// The kinds of events.
const (
	Created Op = 1 + iota
	Written    // contents or mode
	Removed    // with all below it
	Renamed
)

func (o Op) String() string {
	return [...]string{"overflow", "created", "written", "removed", "renamed"}[o]
}

// ErrOverflow is the error of the event that stands for those lost because
// they were not received in time.
var ErrOverflow = errors.New("events were lost")

// Event is one change. Names are absolute and free of links.
type Event struct {
	Op   Op
	Name string
	Old  string // of Renamed: the name before
	Err  error  // ErrOverflow: then the rest is empty
}

const watchQueue = 256

// Watcher delivers the changes below a directory.
type Watcher struct {
	fsys      *FS
	dir       string
	recursive bool
	events    chan Event
	last      Event
	lost      bool
}

// Watch starts to deliver changes of the directory's entries, and if recursive
// those of all below it. Writes that follow each other are one event while it
// waits to be received.
func (f *FS) Watch(dir string, recursive bool) (*Watcher, error) {
	real, err := f.RealPath(dir)
	if err != nil {
		return nil, err
	}
	if !f.dirAt(real) {
		return nil, fail("watch", dir, ErrNotDir)
	}
	w := &Watcher{fsys: f, dir: strings.TrimSuffix(real, "/") + "/", recursive: recursive}
	w.events = make(chan Event, watchQueue)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers = append(f.watchers, w)
	return w, nil
}

// Events is closed by Close.
func (w *Watcher) Events() <-chan Event { return w.events }

// Close ends the watch. It may be called more than once.
func (w *Watcher) Close() {
	w.fsys.mu.Lock()
	defer w.fsys.mu.Unlock()
	if i := slices.Index(w.fsys.watchers, w); i >= 0 {
		w.fsys.watchers = slices.Delete(w.fsys.watchers, i, i+1)
		close(w.events)
	}
}

func (f *FS) notify(e Event) {
	for _, w := range f.watchers {
		if w.covers(e.Name) || e.Old != "" && w.covers(e.Old) {
			w.send(e)
		}
	}
}

func (w *Watcher) covers(name string) bool {
	rest, ok := strings.CutPrefix(name, w.dir)
	return ok && rest != "" && (w.recursive || !strings.Contains(rest, "/"))
}

// send never blocks. The last slot of the queue is kept for the overflow.
func (w *Watcher) send(e Event) {
	free := cap(w.events) - len(w.events)
	switch {
	case free > 1:
		if e == w.last && e.Op == Written && free < cap(w.events) {
			return
		}
		w.lost, w.last = false, e
		w.events <- e
	case free == 1 && !w.lost:
		w.lost, w.last = true, Event{}
		w.events <- Event{Err: ErrOverflow}
	}
}
