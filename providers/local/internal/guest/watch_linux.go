package guest

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// Bounds of a watch: of directories, of the length of their names, of watches at
// once, and of what is kept for them. Whoever makes the tree chooses how long the
// names are, and how many.
const (
	maxWatchedDirs = 16384
	maxWatchedName = 16 << 10
	maxWatches     = 16 // the kernel lets the sandbox have twice as many: see sysctls

	maxWatchedNames = 8 << 20  // bytes of the names of all directories of a watch
	maxWatchQueue   = 32 << 20 // bytes of the events that wait to be sent, about
)

const watchMask = unix.IN_CREATE | unix.IN_MODIFY | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW | unix.IN_EXCL_UNLINK

// watch reports the changes below a directory until the host hangs up. While
// the host does not read, the kernel keeps events, up to a number, and then
// tells that some are lost.
func (s *server) watch(c wire.Conn, r *wire.Request) {
	if s.watches.Add(1) > maxWatches {
		s.watches.Add(-1)
		reply(c, &opError{wire.CodeLimit, fmt.Errorf("there are %d watches already", maxWatches)})
		return
	}
	defer s.watches.Add(-1)
	w, err := s.root.newWatcher(r.Path)
	if err == nil {
		defer w.close()
		_, err = block(func() (struct{}, error) { return struct{}{}, w.begin() })
	}
	reply(c, err)
	if err != nil {
		return
	}
	gone := hangup(c)
	go func() {
		<-gone
		_ = w.notify.SetReadDeadline(time.Unix(1, 0))
	}()
	w.run(c)
}

// A watcher watches a directory and those below it. Directories are opened one
// by one from the top, following nothing, as names may be hostile at any time.
type watcher struct {
	root   *root
	name   string // of the top, as the host named it
	given  string // the same, as it came
	ino    uint64 // of the top: its name may come to mean something else
	notify *os.File
	dirs   map[int32]string // by watch; names are relative to the top
	wds    map[string]int32
	queue  []wire.Entry
	queued int  // bytes of it
	named  int  // bytes of the names in dirs
	silent bool // what there is is no event
	lost   string
	limit  int // of directories
	// found are the names that were reported because they were in a directory
	// when its watch began; their own events may come, too.
	found map[string]bool
	moved uint32 // the cookie of a file of Box.Create's that has left its name
}

func (r *root) newWatcher(name string) (*watcher, error) {
	top, err := r.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer top.Close()
	var st unix.Stat_t
	if err := unix.Fstat(rawFd(top), &st); err != nil {
		return nil, err
	}
	w := &watcher{root: r, given: name, ino: st.Ino, dirs: map[int32]string{}, wds: map[string]int32{}, found: map[string]bool{}, limit: maxWatchedDirs}
	// Names are those that the caller uses, where that is certain.
	if w.name = path.Clean(absolute(name)); strings.Contains("/"+name+"/", "/../") {
		w.name = realName(rawFd(top))
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, &opError{wire.CodeLimit, fmt.Errorf("sysctl fs.inotify.max_user_instances: %w", err)}
	}
	w.notify = os.NewFile(uintptr(fd), "inotify")
	return w, nil
}

func (w *watcher) close() { _ = w.notify.Close() }

// open opens the top. It does not stay open, or there would be no event when it
// is removed. Its watch keeps its number from being used for another.
func (w *watcher) open() (*os.File, error) {
	top, err := w.root.open(w.given, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(rawFd(top), &st); err != nil || st.Ino != w.ino {
		_ = top.Close()
		return nil, unix.ENOENT
	}
	return top, nil
}

// all puts watches on the top and all below it. What is there already is no
// event.
func (w *watcher) all() error {
	w.silent = true
	defer func() { w.silent = false }()
	top, err := w.open()
	if err != nil {
		return err
	}
	defer top.Close()
	return w.add("", rawFd(top))
}

// begin puts the first watches.
func (w *watcher) begin() error {
	err := w.all()
	if w.lost != "" {
		return &opError{wire.CodeLimit, errors.New(w.lost)}
	}
	return err
}

// event queues one, and reports whether there was room for it.
func (w *watcher) event(kind uint32, name string) bool {
	const entrySize = 128
	e := wire.Entry{Name: path.Join(w.name, name), Mode: kind}
	if w.queued += len(e.Name) + entrySize; w.queued > maxWatchQueue {
		return false // which send tells
	}
	w.queue = append(w.queue, e)
	return true
}

// run sends events until the host hangs up.
func (w *watcher) run(c wire.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.notify.Read(buf)
		if err != nil {
			return
		}
		w.digest(buf[:n])
		if !w.send(c) {
			return
		}
	}
}

// send sends what is queued, in portions, and then what is lost.
func (w *watcher) send(c wire.Conn) bool {
	const portion = 256 << 10
	for len(w.queue) > 0 {
		n, size := 0, 0
		for n < len(w.queue) && size < portion {
			size += len(w.queue[n].Name) + 40
			n++
		}
		if c.Send(&wire.Reply{Entries: w.queue[:n]}) != nil {
			return false
		}
		w.queue = w.queue[n:]
	}
	if w.queued > maxWatchQueue && w.lost == "" {
		w.lost = "more happened at once than is kept"
	}
	w.queue, w.queued = nil, 0
	if w.lost == "" {
		return true
	}
	text := w.lost
	w.lost = ""
	return c.Send(&wire.Reply{Fault: wire.Fault{Code: wire.CodeLost, Text: text}}) == nil
}

// digest goes through events as the kernel tells them.
func (w *watcher) digest(buf []byte) {
	for len(buf) >= unix.SizeofInotifyEvent {
		e := (*unix.InotifyEvent)(unsafe.Pointer(&buf[0]))
		size := unix.SizeofInotifyEvent + int(e.Len)
		if size > len(buf) {
			return
		}
		name, _, _ := strings.Cut(string(buf[unix.SizeofInotifyEvent:size]), "\x00")
		w.one(*e, name)
		buf = buf[size:]
	}
	if len(w.found) > 0 && len(buf) == 0 && w.idle() {
		clear(w.found)
	}
}

// idle reports that the kernel has no more events just now.
func (w *watcher) idle() bool {
	n, err := unix.IoctlGetInt(rawFd(w.notify), unix.TIOCINQ)
	return err == nil && n == 0
}
