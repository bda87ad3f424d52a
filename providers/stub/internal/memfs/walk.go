package memfs

import (
	"io/fs"
	"path"
	"strings"
	"sync"
)

const (
	maxLinks = 40
	maxName  = 255
)

// place is where a name leads: the chain of directories to it, and the node
// itself, which is nil if only the last element is missing.
type place struct {
	chain []step // the root first; the parent of the node last
	base  string // the name in the parent; "" for the root
	node  *node
}

type step struct {
	name string
	dir  *node
}

func (p *place) parent() *node { return p.chain[len(p.chain)-1].dir }

func (p *place) full() string {
	var b strings.Builder
	for _, s := range p.chain[1:] {
		b.WriteString("/" + s.name)
	}
	return b.String() + "/" + p.base
}

// walker resolves one name.
type walker struct {
	fsys  *FS
	links int
	place
	buf [8]step
}

// walk resolves the name. A missing last element is no error: the node is nil.
// A link at the end is followed if follow is set or the name ends in a slash.
func (f *FS) walk(name string, follow bool) (*place, error) {
	w := &walker{fsys: f}
	if err := w.walk(name, follow); err != nil {
		return nil, err
	}
	if w.base == "" && len(w.chain) == 0 {
		w.chain = append(w.chain, step{"", f.root})
	}
	return &w.place, nil
}

var walkers = sync.Pool{New: func() any { return new(walker) }}

// find is walk for those who want the node only, which must exist. It needs no
// memory.
func (f *FS) find(name string, follow bool) (*node, error) {
	w := walkers.Get().(*walker)
	defer walkers.Put(w)
	defer func() { *w = walker{} }()
	w.fsys = f
	if err := w.walk(name, follow); err != nil {
		return nil, err
	}
	if w.node == nil {
		return nil, ErrNotExist
	}
	return w.node, nil
}

func (w *walker) walk(name string, follow bool) error {
	if name == "" {
		return ErrNotExist
	}
	w.chain, w.node = w.buf[:0], w.fsys.root
	return w.steps(name, follow)
}

func (w *walker) steps(name string, follow bool) error {
	for name != "" {
		elem, rest, more := strings.Cut(name, "/")
		name = rest
		if elem == "" || elem == "." {
			if more && w.node == nil {
				return ErrNotExist
			}
			if elem == "." && w.node != nil && !w.node.isDir() {
				return ErrNotDir
			}
			continue
		}
		if err := w.step(elem, follow || more); err != nil {
			return err
		}
		if more && w.node != nil && !w.node.isDir() {
			return ErrNotDir
		}
	}
	return nil
}

func (w *walker) step(elem string, follow bool) error {
	switch {
	case w.node == nil:
		return ErrNotExist
	case !w.node.isDir():
		return ErrNotDir
	case len(elem) > maxName:
		return ErrNameLong
	case w.fsys.denies(w.node, 1):
		return ErrPermission
	case elem == "..":
		w.up()
		return nil
	}
	w.chain = append(w.chain, step{w.base, w.node})
	w.base, w.node = elem, w.node.kid(elem)
	if w.node != nil && w.node.isLink() && follow {
		return w.jump()
	}
	return nil
}

func (w *walker) up() {
	if len(w.chain) == 0 {
		return
	}
	last := w.chain[len(w.chain)-1]
	w.chain, w.base, w.node = w.chain[:len(w.chain)-1], last.name, last.dir
}

// jump replaces the link that the walk stands on by what it leads to.
func (w *walker) jump() error {
	if w.links++; w.links > maxLinks {
		return ErrLoop
	}
	target := string(w.node.data)
	if strings.HasPrefix(target, "/") {
		w.chain, w.base, w.node = w.chain[:0], "", w.fsys.root
	} else {
		w.up()
	}
	return w.steps(target, true)
}

// existing is walk for names that must exist.
func (f *FS) existing(name string, follow bool) (*place, error) {
	p, err := f.walk(name, follow)
	if err == nil && p.node == nil {
		err = ErrNotExist
	}
	return p, err
}

// own makes the node and the directories above it changeable, copying those
// that belong to an image.
func (f *FS) own(p *place) {
	for i := range p.chain {
		f.ownDir(p.chain, i)
	}
	if p.node == nil || !p.node.frozen {
		return
	}
	p.node = p.node.thawed()
	if p.base == "" {
		f.root = p.node
		return
	}
	p.parent().put(p.base, p.node)
}

func (f *FS) ownDir(chain []step, i int) {
	if !chain[i].dir.frozen {
		return
	}
	chain[i].dir = chain[i].dir.thawed()
	if i == 0 {
		f.root = chain[0].dir
		return
	}
	chain[i-1].dir.put(chain[i].name, chain[i].dir)
}

// denies reports whether an ordinary owner lacks the permission: 4 to read,
// 2 to write, 1 to execute or search.
func (f *FS) denies(n *node, want fs.FileMode) bool {
	return f.unprivileged && !n.isLink() && n.mode>>6&want != want
}

// Join makes the name absolute without resolving it: a name below a link must
// keep its dot-dots until the link is followed.
func Join(dir, name string) string {
	if strings.HasPrefix(name, "/") || name == "" {
		return name
	}
	if dir == "" || dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}

// RealPath is the absolute name without links; every element must exist.
func (f *FS) RealPath(name string) (string, error) {
	t, err := f.route(name, true)
	if err != nil {
		return "", fail("realpath", name, err)
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	p, err := t.existing(t.name, true)
	switch {
	case err != nil:
		return "", fail("realpath", name, err)
	case t.full != "":
		return t.full, nil
	case p.base == "":
		return "/", nil
	}
	return path.Clean(p.full()), nil
}
