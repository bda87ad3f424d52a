// Package memfs is a tree of files in memory with the behaviour of a POSIX
// file system: modes, links, handles that outlive their names, a size limit,
// change notification, and copies that share what they have in common.
package memfs

import (
	"io/fs"
	"sync"
	"sync/atomic"
	"time"
)

// Options say how a tree behaves. The zero value is an empty tree of unlimited
// size, used by root.
type Options struct {
	// Now is the clock of modification times; nil is time.Now.
	Now func() time.Time
	// MaxBytes limits the sum of all file sizes; 0 is no limit.
	MaxBytes int64
	// Image is what the tree starts from; nil is an empty directory.
	Image *Image
	// Unprivileged makes the owner's permission bits count, as they do for
	// everyone but root.
	Unprivileged bool
	// Seed makes the bytes of /dev/urandom repeatable.
	Seed uint64
}

// FS is a tree of files. It is safe for concurrent use.
type FS struct {
	mu           sync.RWMutex
	root         *node
	now          func() time.Time
	limit, used  int64
	lastID       uint64
	seed         uint64
	unprivileged bool
	watchers     []subscription
	mounts       atomic.Pointer[[]mount] // nil or not empty; changed with mu held
}

// New returns a tree. It shares the image's files until they change, so that
// it costs a few hundred bytes whatever the size of the image.
func New(o Options) *FS {
	f := &FS{now: o.Now, limit: o.MaxBytes, seed: o.Seed, unprivileged: o.Unprivileged}
	if f.now == nil {
		f.now = time.Now
	}
	if o.Image == nil {
		f.lastID = 1
		f.root = &node{id: 1, mode: fs.ModeDir | 0o755, mtime: f.now(), links: 1}
		return f
	}
	f.root, f.used, f.lastID = o.Image.tree(), o.Image.used, o.Image.lastID
	return f
}

func (f *FS) fresh(mode fs.FileMode) *node {
	f.lastID++
	return &node{id: f.lastID, mode: mode, mtime: f.now(), links: 1}
}

// Used is the sum of all file sizes, and the limit (0 is none).
func (f *FS) Used() (used, limit int64) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.used, f.limit
}

// Now is the tree's clock.
func (f *FS) Now() time.Time { return f.now() }

// Unprivileged reports whether permission bits count.
func (f *FS) Unprivileged() bool { return f.unprivileged }

// grow accounts for a change of size, and refuses it when the limit is hit.
func (f *FS) grow(by int64) error {
	if by > 0 && f.limit > 0 && f.used+by > f.limit {
		return ErrNoSpace
	}
	f.used += by
	return nil
}

// release gives back the bytes of a file that has neither names nor handles.
func (f *FS) release(n *node) {
	if n.links <= 0 && n.opens <= 0 && n.mode.IsRegular() {
		f.used -= int64(len(n.data))
	}
}

// unlink takes one name from the node.
func (f *FS) unlink(n *node) {
	n.links--
	f.release(n)
}
