package memfs

import (
	"errors"
	"path"
	"strings"
)

// spot is where a name leads: the tree, and the name there.
type spot struct {
	*FS
	name     string
	full     string // the name in the outer tree; empty where nothing is mounted
	dev      int
	readOnly bool
}

// route finds the tree that the name leads to, by way of links too. Where
// nothing is mounted that is f, at no cost. Of a name that leads nowhere it
// resolves as much as there is, and leaves the rest to fail in its tree.
func (f *FS) route(name string, follow bool) (spot, error) {
	if f.mounts.Load() == nil || name == "" {
		return spot{FS: f, name: name}, nil
	}
	r := router{f: f, at: "/", rest: name}
	for r.rest != "" && !r.stuck {
		if err := r.step(follow); err != nil {
			return spot{}, err
		}
	}
	s := f.locate(r.at)
	s.name += r.tail
	return s, nil
}

// routeChange is route for a name that is to be changed or, if fresh, created.
func (f *FS) routeChange(name string, follow, fresh bool) (spot, error) {
	s, err := f.route(name, follow)
	if err != nil || !s.readOnly {
		return s, err
	}
	switch _, err := s.Lstat(s.name); {
	case err != nil && (!fresh || !errors.Is(err, ErrNotExist)):
		return s, reasonOf(err)
	case err == nil && fresh:
		return s, ErrExist
	}
	return s, ErrReadOnly
}

// locate finds the tree of a name that is absolute, clean and free of links.
func (f *FS) locate(full string) spot {
	for _, m := range f.mounted() {
		if covers(m.path, full) {
			name := full[len(m.path):]
			return spot{m.fsys, "/" + strings.TrimPrefix(name, "/"), full, m.dev, m.readOnly}
		}
	}
	return spot{FS: f, name: full, full: full}
}

// router resolves a name across trees.
type router struct {
	f     *FS
	at    string // what is resolved: absolute, clean and free of links
	rest  string // what is not yet
	tail  string // what cannot be, or a slash
	stuck bool
	links int
}

func (r *router) step(follow bool) error {
	elem, rest, more := strings.Cut(r.rest, "/")
	r.rest = rest
	r.tail = ""
	switch elem {
	case "", ".":
		return nil
	case "..":
		r.at = path.Dir(r.at)
		return nil
	}
	next := path.Join(r.at, elem)
	s := r.f.locate(next)
	target, dir, link := s.peek(s.name)
	switch {
	case link && (follow || more):
		return r.jump(target, rest, more)
	case !dir && rest != "":
		r.stuck, r.tail = true, "/"+rest
	case more && rest == "":
		r.tail = "/"
	}
	if r.at = next; next == "/" {
		r.tail = ""
	}
	return nil
}

// jump goes on with what a link leads to.
func (r *router) jump(target, rest string, more bool) error {
	if r.links++; r.links > maxLinks {
		return ErrLoop
	}
	if strings.HasPrefix(target, "/") {
		r.at = "/"
	}
	if r.rest = target; more {
		r.rest += "/" + rest
	}
	return nil
}

// peek tells the target of a link, and directories from other files.
func (f *FS) peek(name string) (target string, dir, link bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	n, err := f.find(name, false)
	switch {
	case err != nil:
		return "", false, false
	case n.isLink():
		return string(n.data), false, true
	}
	return "", n.isDir(), false
}

// with reports whether both names are in one tree, reached by the same mount.
func (s spot) with(o spot) bool { return s.FS == o.FS && s.dev == o.dev && s.readOnly == o.readOnly }
