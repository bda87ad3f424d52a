package memfs

import (
	"errors"
	"path"
	"strings"
)

// Remove removes a file, a link or an empty directory.
func (f *FS) Remove(name string) error {
	t, err := f.routeRemoval(name)
	if err != nil {
		return fail("remove", name, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p, err := t.removable(t.name)
	if err == nil && len(p.node.kids) > 0 {
		err = ErrNotEmpty
	}
	if err == nil {
		t.detach(p)
	}
	return fail("remove", name, err)
}

// routeRemoval is route for a name that is to go.
func (f *FS) routeRemoval(name string) (spot, error) {
	switch path.Base(name) {
	case ".", "..", "/":
		if name != "" {
			return spot{}, ErrInvalid
		}
	}
	t, err := f.routeChange(strings.TrimRight(name, "/"), false, false)
	if t.full != "" && f.pinned(t.full) {
		return t, ErrBusy
	}
	return t, err
}

func (f *FS) removable(name string) (*place, error) {
	p, err := f.existing(name, false)
	if err != nil {
		return nil, err
	}
	if p.base == "" {
		return nil, ErrInvalid
	}
	if f.denies(p.parent(), 3) {
		return nil, ErrPermission
	}
	return p, nil
}

// detach takes the place's name out of the tree.
func (f *FS) detach(p *place) {
	name := p.full()
	f.own(p)
	p.parent().drop(p.base)
	p.parent().mtime = f.now()
	f.forget(p.node)
	f.notify(Event{Op: Removed, Name: name})
}

// forget gives back the bytes below a node that has lost its name.
func (f *FS) forget(n *node) {
	if !n.isDir() {
		if n.frozen {
			f.used -= n.size()
			return
		}
		f.unlink(n)
		return
	}
	for _, e := range n.kids {
		f.forget(e.node)
	}
}

// RemoveAll removes the name and all below it. That nothing is there is no
// error. It refuses "", "/", "." and "..".
func (f *FS) RemoveAll(name string) error {
	if name == "" {
		return fail("removeall", name, ErrInvalid)
	}
	t, err := f.routeRemoval(name)
	if err == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		var p *place
		if p, err = t.removable(t.name); err == nil {
			t.detach(p)
		}
	}
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	return fail("removeall", name, err)
}

// Rename gives a file another name, replacing what has that name, as rename(2)
// does.
func (f *FS) Rename(oldname, newname string) error {
	old, err := f.routeRemoval(oldname)
	if err != nil {
		return fail("rename", oldname, err)
	}
	to, err := f.route(strings.TrimRight(newname, "/"), false)
	switch {
	case err != nil:
	case !old.with(to):
		err = ErrCrossMount
	case to.full != "" && f.pinned(to.full):
		err = ErrBusy
	}
	if err != nil {
		return fail("rename", newname, err)
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	return old.rename(oldname, newname, old.name, to.name)
}

func (f *FS) rename(oldname, newname, old, name string) error {
	from, err := f.removable(old)
	if err != nil {
		return fail("rename", oldname, err)
	}
	f.own(from)
	to, err := f.walk(name, false)
	if err == nil {
		err = f.mayReplace(from, to, newname)
	}
	if err != nil {
		return fail("rename", newname, err)
	}
	if to.node != from.node {
		f.move(from, to)
	}
	return nil
}

func (f *FS) mayReplace(from, to *place, newname string) error {
	dir := from.node.isDir()
	switch {
	case to.base == "":
		return ErrExist
	case f.denies(to.parent(), 3):
		return ErrPermission
	case dir && below(from.node, to):
		return ErrInvalid
	case to.node == nil && !dir && strings.HasSuffix(newname, "/"):
		return ErrNotDir
	case to.node == nil:
		return nil
	case dir && !to.node.isDir():
		return ErrNotDir
	case !dir && to.node.isDir():
		return ErrIsDir
	case dir && to.node != from.node && len(to.node.kids) > 0:
		return ErrNotEmpty
	}
	return nil
}

func below(dir *node, p *place) bool {
	for _, s := range p.chain {
		if s.dir == dir {
			return true
		}
	}
	return false
}

func (f *FS) move(from, to *place) {
	old := from.full()
	f.own(to)
	if to.node != nil {
		f.forget(to.node)
	}
	from.parent().drop(from.base)
	to.parent().put(to.base, from.node)
	from.parent().mtime = f.now()
	to.parent().mtime = f.now()
	f.notify(Event{Op: Renamed, Name: to.full(), Old: old})
}
