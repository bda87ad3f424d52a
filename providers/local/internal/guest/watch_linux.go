package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// Bounds of a watch: of directories, of the length of their names, and of
// watches at once.
const (
	maxWatchedDirs = 16384
	maxWatchedName = 16 << 10
	maxWatches     = 16 // the kernel lets the sandbox have twice as many: see sysctls
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

// all puts watches on the top and all below it.
func (w *watcher) all() error {
	top, err := w.open()
	if err != nil {
		return err
	}
	defer top.Close()
	return w.add("", rawFd(top))
}

// begin puts the first watches. What was there before them is no event.
func (w *watcher) begin() error {
	err := w.all()
	w.queue = nil
	clear(w.found)
	if w.lost != "" {
		return &opError{wire.CodeLimit, errors.New(w.lost)}
	}
	return err
}

// add watches the directory dir of that name, and those in it, and reports what
// is in it already.
func (w *watcher) add(name string, dir int) error {
	if len(w.dirs) >= w.limit {
		w.lost = fmt.Sprintf("there are more than %d directories", w.limit)
		return nil
	}
	if len(name) > maxWatchedName {
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
	if old, ok := w.dirs[int32(wd)]; ok && old != name { // it was moved
		delete(w.wds, old)
	}
	w.dirs[int32(wd)], w.wds[name] = name, int32(wd)
	return w.scan(name, dir)
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
	entries, err := f.ReadDir(-1)
	if err != nil {
		return ignoreGone(err)
	}
	for _, e := range entries {
		full := path.Join(name, e.Name())
		if w.lost != "" {
			return nil
		}
		if !hiddenFile(e.Name()) {
			w.event(wire.WatchCreated, full)
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
			delete(w.dirs, wd)
			delete(w.wds, dir)
		}
	}
}

func (w *watcher) event(kind uint32, name string) {
	w.queue = append(w.queue, wire.Entry{Name: path.Join(w.name, name), Mode: kind})
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
	w.queue = nil
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
