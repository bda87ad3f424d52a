package memfs

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"time"
)

const permMask = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// Stat describes the file that the name leads to.
func (f *FS) Stat(name string) (fs.FileInfo, error) { return f.stat("stat", name, true) }

// Lstat is Stat that does not follow a link at the end of the name.
func (f *FS) Lstat(name string) (fs.FileInfo, error) { return f.stat("lstat", name, false) }

func (f *FS) stat(op, name string, follow bool) (fs.FileInfo, error) {
	t, err := f.route(name, follow)
	if err != nil {
		return nil, fail(op, name, err)
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, err := t.find(t.name, follow)
	if err != nil {
		return nil, fail(op, name, err)
	}
	return n.info(path.Base(name), t.dev), nil
}

// IsDir reports whether the name leads to a directory. Its error is the bare
// reason.
func (f *FS) IsDir(name string) (bool, error) {
	t, err := f.route(name, true)
	if err != nil {
		return false, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, err := t.find(t.name, true)
	return err == nil && n.isDir(), err
}

// ReadDir lists a directory, sorted by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	t, err := f.route(name, true)
	if err != nil {
		return nil, fail("open", name, err)
	}
	entries, err := t.entries()
	if err != nil {
		return nil, fail("open", name, err)
	}
	return f.overlay(t.full, entries), nil
}

func (t spot) entries() ([]fs.DirEntry, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, err := t.find(t.name, true)
	switch {
	case err != nil:
		return nil, err
	case !n.isDir():
		return nil, ErrNotDir
	case t.denies(n, 4):
		return nil, ErrPermission
	}
	return list(n, t.dev), nil
}

func list(n *node, dev int) []fs.DirEntry {
	out := make([]fs.DirEntry, len(n.kids))
	for i, e := range n.kids {
		out[i] = e.node.info(e.name, dev)
	}
	return out
}

// change resolves the name and runs do with the tree locked and the way to the
// node owned.
func (f *FS) change(op, name string, follow bool, do func(t *FS, p *place) error) error {
	t, err := f.routeChange(name, follow, false)
	if err != nil {
		return fail(op, name, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p, err := t.existing(t.name, follow)
	if err == nil {
		t.own(p)
		err = do(t.FS, p)
	}
	return fail(op, name, err)
}

// slot resolves the name of something to be created.
func (f *FS) slot(name string, follow bool) (*place, error) {
	p, err := f.walk(name, follow)
	if err != nil {
		return nil, err
	}
	if p.node != nil || p.base == "" {
		return p, ErrExist
	}
	if f.denies(p.parent(), 3) {
		return p, ErrPermission
	}
	f.own(p)
	return p, nil
}

// add puts a new node at the place and tells who watches.
func (f *FS) add(p *place, n *node) {
	p.parent().put(p.base, n)
	p.parent().mtime = f.now()
	p.node = n
	f.notify(Event{Op: Created, Name: p.full()})
}

// Mkdir creates a directory.
func (f *FS) Mkdir(name string, perm fs.FileMode) error {
	t, err := f.routeChange(strings.TrimRight(name, "/"), false, true)
	if strings.Trim(name, "/") == "" && name != "" {
		err = ErrExist
	}
	if err != nil {
		return fail("mkdir", name, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p, err := t.slot(t.name, false)
	if err == nil {
		t.add(p, t.fresh(fs.ModeDir|perm&permMask))
	}
	return fail("mkdir", name, err)
}

// MkdirAll creates a directory and those above it that are missing.
func (f *FS) MkdirAll(name string, perm fs.FileMode) error {
	for i := 1; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		err := f.Mkdir(name[:i], perm)
		switch {
		case err == nil || f.dirAt(name[:i]):
		case errors.Is(err, ErrExist):
			return fail("mkdir", name[:i], ErrNotDir)
		default:
			return err
		}
	}
	if name == "" {
		return fail("mkdir", name, ErrNotExist)
	}
	return nil
}

func (f *FS) dirAt(name string) bool {
	dir, _ := f.IsDir(name)
	return dir
}

// Symlink creates a link. The target need not exist.
func (f *FS) Symlink(target, name string) error {
	return f.special("symlink", name, target, fs.ModeSymlink|0o777)
}

// Link gives a file one more name.
func (f *FS) Link(old, name string) error {
	from, err := f.route(old, false)
	if err != nil {
		return fail("link", old, err)
	}
	to, err := f.routeChange(name, false, true)
	if err == nil && !from.with(to) {
		err = ErrCrossMount
	}
	if err != nil {
		return fail("link", name, err)
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	return to.link(old, name, from.name, to.name)
}

func (f *FS) link(old, name, from, to string) error {
	o, err := f.existing(from, false)
	if err == nil && o.node.isDir() {
		err = ErrPermission
	}
	if err != nil {
		return fail("link", old, err)
	}
	f.own(o)
	p, err := f.slot(to, false)
	if err != nil {
		return fail("link", name, err)
	}
	o.node.links++
	f.add(p, o.node)
	return nil
}

// Readlink is the target of a link.
func (f *FS) Readlink(name string) (string, error) {
	t, err := f.route(name, false)
	if err != nil {
		return "", fail("readlink", name, err)
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, err := t.find(t.name, false)
	if err == nil && !n.isLink() {
		err = ErrInvalid
	}
	if err != nil {
		return "", fail("readlink", name, err)
	}
	return string(n.data), nil
}

// Chmod changes the permission bits.
func (f *FS) Chmod(name string, mode fs.FileMode) error {
	return f.change("chmod", name, true, func(t *FS, p *place) error {
		p.node.mode = p.node.mode&^permMask | mode&permMask
		t.notify(Event{Op: Written, Name: p.full()})
		return nil
	})
}

// Chtimes changes the modification time.
func (f *FS) Chtimes(name string, mtime time.Time) error {
	return f.change("chtimes", name, true, func(_ *FS, p *place) error {
		p.node.mtime = mtime
		return nil
	})
}

// Mknod creates a device: "null", "zero", "full" or "urandom". Opened by any
// other name it is empty.
func (f *FS) Mknod(name, device string, perm fs.FileMode) error {
	return f.special("mknod", name, device, fs.ModeDevice|fs.ModeCharDevice|perm&permMask)
}

// special creates what is neither a file nor a directory.
func (f *FS) special(op, name, data string, mode fs.FileMode) error {
	t, err := f.routeChange(name, false, true)
	if err != nil {
		return fail(op, name, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p, err := t.slot(t.name, false)
	if err == nil {
		n := t.fresh(mode)
		n.data = []byte(data)
		t.add(p, n)
	}
	return fail(op, name, err)
}

// SameFile reports whether two descriptions from one tree are of one file.
func SameFile(a, b fs.FileInfo) bool {
	x, ok := a.Sys().(*Sys)
	y, ok2 := b.Sys().(*Sys)
	return ok && ok2 && x.ID == y.ID && x.Dev == y.Dev
}
