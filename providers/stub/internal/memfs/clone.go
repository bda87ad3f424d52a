package memfs

// Image is a tree that cannot change any more, from which any number of trees
// start at no cost.
type Image struct {
	root   *node
	used   int64
	lastID uint64
	linked bool // holds files with several names
}

// Snapshot copies the tree's structure, but not the contents of its files nor
// what is mounted in it.
func (f *FS) Snapshot() *Image {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := copier{frozen: true}
	im := &Image{root: c.copy(f.root), lastID: f.lastID}
	im.used, im.linked = c.used, c.linked
	return im
}

// Clone returns a tree with the same contents and options that changes on its
// own from now on. Watches and mounts stay with the original.
func (f *FS) Clone() *FS {
	o := Options{Now: f.now, MaxBytes: f.limit, Image: f.Snapshot(), Unprivileged: f.unprivileged, Seed: f.seed}
	return New(o)
}

// Bytes is the sum of the sizes of the image's files.
func (im *Image) Bytes() int64 { return im.used }

// tree is the root for a new tree. Files with several names must stay one file
// when they are copied on a write, so such an image is copied at once.
func (im *Image) tree() *node {
	if !im.linked {
		return im.root
	}
	return new(copier).copy(im.root)
}

// copier copies a tree, leaving out what is frozen already.
type copier struct {
	frozen, linked bool
	used           int64
	seen           map[*node]*node
}

func (c *copier) copy(n *node) *node {
	if n.frozen && c.frozen {
		c.count(n)
		return n
	}
	if old := c.seen[n]; old != nil {
		return old
	}
	m := n.thawed()
	m.frozen = c.frozen
	if len(n.data) > 0 && !n.frozen {
		n.cow = true
	}
	c.remember(n, m)
	for i, e := range m.kids {
		m.kids[i].node = c.copy(e.node)
	}
	return m
}

func (c *copier) remember(n, m *node) {
	if n.mode.IsRegular() {
		c.used += int64(len(n.data))
	}
	if n.links < 2 || n.isDir() {
		return
	}
	c.linked = true
	if c.seen == nil {
		c.seen = map[*node]*node{}
	}
	c.seen[n] = m
}

func (c *copier) count(n *node) {
	if n.mode.IsRegular() {
		c.used += int64(len(n.data))
	}
	c.linked = c.linked || n.links > 1 && !n.isDir()
	for _, e := range n.kids {
		c.count(e.node)
	}
}
