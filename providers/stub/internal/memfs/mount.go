package memfs

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// mount is a tree that appears in another one.
type mount struct {
	path     string // in the outer tree: absolute, clean and free of links
	fsys     *FS
	dev      int
	readOnly bool
}

// Mount makes the tree sub appear at path, which is created if it is missing.
// Any number of trees can have sub mounted: all see each other's changes at
// once, and sub's limit is that of the files in it. A read-only mount refuses
// changes with [ErrReadOnly]. Mount points, and the directories above them,
// cannot be removed or renamed, files cannot be moved or linked from one tree
// to another, and a snapshot has an empty directory in the place of sub.
//
// Locks need no order, because no operation holds those of two trees: it finds
// out first to which tree its name leads, and then works on that one alone.
func (f *FS) Mount(path string, sub *FS, readOnly bool) error {
	if sub == f || len(sub.mounted()) > 0 {
		return fail("mount", path, ErrInvalid)
	}
	if err := f.MkdirAll(path, 0o755); err != nil {
		return err
	}
	real, err := f.RealPath(path)
	if err == nil && real == "/" {
		err = ErrBusy
	}
	if err != nil {
		return fail("mount", path, reasonOf(err))
	}
	f.attach(mount{path: real, fsys: sub, readOnly: readOnly})
	return nil
}

// attach puts the mount in the table, before an older one of the same path.
func (f *FS) attach(m mount) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.mounted()
	m.dev = len(old) + 1
	if i := slices.IndexFunc(old, func(o mount) bool { return o.fsys == m.fsys }); i >= 0 {
		m.dev = old[i].dev // the same files
	}
	all := append([]mount{m}, old...)
	slices.SortStableFunc(all, func(a, b mount) int { return len(b.path) - len(a.path) })
	f.mounts.Store(&all)
}

// mounted is the table of mounts, the longest path first.
func (f *FS) mounted() []mount {
	if all := f.mounts.Load(); all != nil {
		return *all
	}
	return nil
}

// pinned reports whether a mount point is at the name or below it.
func (f *FS) pinned(real string) bool {
	return slices.ContainsFunc(f.mounted(), func(m mount) bool { return covers(real, m.path) })
}

// covers reports whether the name is dir or below it; both are clean.
func covers(dir, name string) bool {
	rest, ok := strings.CutPrefix(name, dir)
	return ok && (rest == "" || rest[0] == '/' || dir == "/")
}

// overlay describes the mount points among the entries of a directory as what
// is mounted there.
func (f *FS) overlay(dir string, entries []fs.DirEntry) []fs.DirEntry {
	for _, m := range f.mounted() {
		if path.Dir(m.path) != dir {
			continue
		}
		base := path.Base(m.path)
		i := slices.IndexFunc(entries, func(e fs.DirEntry) bool { return e.Name() == base })
		if fi, err := f.Lstat(m.path); i >= 0 && err == nil {
			entries[i] = fi.(*info)
		}
	}
	return entries
}

// Disk is a tree and what is mounted in it, each with what it holds.
type Disk struct {
	Path        string
	Used, Limit int64 // bytes; a limit of 0 is none
}

// Disks are the tree itself, as "/", and its mounts by path.
func (f *FS) Disks() []Disk {
	disks := []Disk{f.disk("/")}
	for _, m := range slices.Backward(f.mounted()) {
		disks = append(disks, m.fsys.disk(m.path))
	}
	slices.SortStableFunc(disks, func(a, b Disk) int { return strings.Compare(a.Path, b.Path) })
	return disks
}

// Disk is the one that the named file is on.
func (f *FS) Disk(name string) (Disk, error) {
	real, err := f.RealPath(name)
	if err != nil {
		return Disk{}, err
	}
	for _, m := range f.mounted() {
		if covers(m.path, real) {
			return m.fsys.disk(m.path), nil
		}
	}
	return f.disk("/"), nil
}

func (f *FS) disk(path string) Disk {
	used, limit := f.Used()
	return Disk{path, used, limit}
}

func reasonOf(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
