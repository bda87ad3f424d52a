package memfs

import (
	"errors"
	"slices"
	"strings"
	"sync"
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
	dir       string
	recursive bool
	events    chan Event
	trees     []*FS // that it is subscribed to

	mu   sync.Mutex // guards what follows; taken after a tree's lock
	last Event
	lost bool
	done bool
}

// subscription is a watcher of a tree that is at prefix in the watcher's own.
type subscription struct {
	w      *Watcher
	prefix string
}

// Watch starts to deliver changes of the directory's entries, and if recursive
// those of all below it, in the trees that are mounted now too, whoever changes
// them. Writes that follow each other are one event while it
// waits to be received.
func (f *FS) Watch(dir string, recursive bool) (*Watcher, error) {
	real, err := f.RealPath(dir)
	if err != nil {
		return nil, err
	}
	if !f.dirAt(real) {
		return nil, fail("watch", dir, ErrNotDir)
	}
	w := &Watcher{dir: strings.TrimSuffix(real, "/") + "/", recursive: recursive}
	w.events = make(chan Event, watchQueue)
	w.subscribe(f, "")
	for _, m := range f.mounted() {
		if covers(m.path, real) || covers(real, m.path) {
			w.subscribe(m.fsys, m.path)
		}
	}
	return w, nil
}

func (w *Watcher) subscribe(f *FS, prefix string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.trees = append(w.trees, f)
	f.watchers = append(f.watchers, subscription{w, prefix})
}

// Events is closed by Close.
func (w *Watcher) Events() <-chan Event { return w.events }

// Close ends the watch. It may be called more than once.
func (w *Watcher) Close() {
	for _, f := range w.trees {
		f.mu.Lock()
		f.watchers = slices.DeleteFunc(f.watchers, func(s subscription) bool { return s.w == w })
		f.mu.Unlock()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.done {
		w.done = true
		close(w.events)
	}
}

func (f *FS) notify(e Event) {
	for _, s := range f.watchers {
		e := e
		e.Name = s.prefix + e.Name
		if e.Old != "" {
			e.Old = s.prefix + e.Old
		}
		if s.w.covers(e.Name) || e.Old != "" && s.w.covers(e.Old) {
			s.w.send(e)
		}
	}
}

func (w *Watcher) covers(name string) bool {
	rest, ok := strings.CutPrefix(name, w.dir)
	return ok && rest != "" && (w.recursive || !strings.Contains(rest, "/"))
}

// send never blocks. The last slot of the queue is kept for the overflow.
func (w *Watcher) send(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
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
