package guest

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// disk is the state of the quota.
type disk struct {
	full    atomic.Bool
	walking sync.Mutex
	earlier *spent // by earlier runs: it does not change

	mu     sync.Mutex
	last   spent
	took   time.Duration // of the last measurement
	at     time.Time
	free   unix.Statfs_t // of the file system, then
	killed int64         // what was used when commands were killed for it
}

// spent is what files take.
type spent struct{ bytes, files int64 }

// bounds of a measurement.
const (
	maxDepth = 1000
	maxFiles = 2 << 20
)

var errTooMuch = errors.New("too many files to count, or too deeply nested")

// hold takes hold of the directories of what the sandbox writes and has
// written, before they are out of sight.
func (l *limiter) hold(config *wire.Config) error {
	dirs := []string{"b/upper"}
	for i := range config.Limits.Earlier {
		dirs = append(dirs, layerDir(config, len(config.Layers)-1-i))
	}
	for _, d := range dirs {
		f, err := os.OpenFile(d, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		l.own = append(l.own, f)
	}
	return nil
}

// layerDir is where the trees of a layer are.
func layerDir(config *wire.Config, i int) string {
	if slices.Contains(config.Limits.Images, strconv.Itoa(i)) {
		return layerName(i) + "/upper"
	}
	return layerName(i)
}

// measure counts what the sandbox has written.
func (l *limiter) measure(max int64) (spent, error) {
	d := &l.disk
	d.walking.Lock()
	defer d.walking.Unlock()
	if d.earlier == nil {
		var old spent
		for _, f := range l.own[1:] {
			if err := old.add(f, max); err != nil {
				return old, err
			}
		}
		d.earlier = &old
	}
	now := *d.earlier
	err := now.add(l.own[0], max)
	return now, err
}

// add counts what is below a directory, without following links.
func (s *spent) add(dir *os.File, max int64) error {
	fd, err := unix.Openat(rawFd(dir), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return s.walk(fd, max, 0)
}

func (s *spent) walk(fd int, max int64, depth int) error {
	dir := os.NewFile(uintptr(fd), "dir")
	defer dir.Close()
	for {
		names, _ := dir.Readdirnames(500)
		if len(names) == 0 {
			return nil
		}
		for _, name := range names {
			if err := s.entry(fd, name, max, depth); err != nil {
				return err
			}
		}
	}
}

func (s *spent) entry(fd int, name string, max int64, depth int) error {
	var st unix.Stat_t
	if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return nil //nolint:nilerr // it is gone
	}
	// A file of several names is counted a part with each.
	links := int64(1)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
		links = int64(st.Nlink)
	}
	s.bytes += st.Blocks * 512 / links
	if s.files++; s.files > max || depth > maxDepth {
		return errTooMuch
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	sub, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // it is gone, or another file by now
	}
	return s.walk(sub, max, depth+1)
}

// checkDisk measures when it is due, and when too much is used kills all that
// could be writing.
func (l *limiter) checkDisk() {
	if l.config.Disk == 0 || !l.disk.due(l) {
		return
	}
	used := l.remeasure()
	d := &l.disk
	d.mu.Lock()
	full := used.bytes > l.config.Disk || used.files > l.config.Inodes
	d.full.Store(full)
	// Those that make room again must live: only growth is punished.
	grown := full && used.bytes+used.files > d.killed
	if full {
		d.killed = used.bytes + used.files
	} else {
		d.killed = 0
	}
	d.mu.Unlock()
	if grown {
		l.killAll(wire.LimitDisk)
	}
}

// remeasure measures for the quota. What cannot be measured is too much.
func (l *limiter) remeasure() spent {
	var free unix.Statfs_t
	_ = unix.Fstatfs(rawFd(l.own[0]), &free)
	began := time.Now()
	used, err := l.measure(l.config.Inodes)
	if err != nil {
		used.files = max(used.files, l.config.Inodes+1)
	}
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	l.disk.last, l.disk.took, l.disk.at, l.disk.free = used, time.Since(began), time.Now(), free
	return used
}

// The longest between two measurements while something runs, and how many
// times as long as one took.
const (
	measureEvery = 500 * time.Millisecond
	measureShare = 10
)

// due reports whether to measure: from time to time, and sooner if the file
// system has lost half of what the sandbox may still write.
func (d *disk) due(l *limiter) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	since := time.Since(d.at)
	if since < measureShare*d.took {
		return false
	}
	if since >= measureEvery {
		return true
	}
	var now unix.Statfs_t
	if unix.Fstatfs(rawFd(l.own[0]), &now) != nil {
		return true
	}
	blocks := int64(d.free.Bfree-now.Bfree) * now.Bsize
	files := int64(d.free.Ffree - now.Ffree)
	return blocks > (l.config.Disk-d.last.bytes)/2 || files > (l.config.Inodes-d.last.files)/2
}

// killAll kills all commands and what they have left.
func (l *limiter) killAll(limit string) {
	l.mu.Lock()
	running := make(map[*child]*bounds, len(l.running))
	for c, b := range l.running {
		running[c] = b
	}
	l.mu.Unlock()
	for c, b := range running {
		b.exceed(c, limit)
	}
	for _, pid := range processes() {
		var st unix.Stat_t
		if unix.Stat("/proc/"+strconv.Itoa(pid)+"/ns/uts", &st) == nil {
			if c, _ := l.commandOf(st.Ino); c == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

// room is an error if the sandbox must not write more.
func (l *limiter) room() error {
	if l.disk.full.Load() {
		return syscall.ENOSPC
	}
	return nil
}

// fits is an error if there is no room for a file, which is there already.
func (l *limiter) fits(f *os.File) error {
	if l.config.Disk == 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(rawFd(f), &st); err != nil {
		return err
	}
	l.disk.mu.Lock()
	tight := l.disk.last.bytes+max(st.Size, st.Blocks*512) > l.config.Disk/2
	l.disk.mu.Unlock()
	if !tight && l.room() == nil {
		return nil
	}
	if used := l.remeasure(); used.bytes > l.config.Disk || used.files > l.config.Inodes || st.Size > l.config.Disk {
		return syscall.ENOSPC
	}
	return nil
}
