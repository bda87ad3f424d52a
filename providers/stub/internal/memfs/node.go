package memfs

import (
	"io/fs"
	"slices"
	"strings"
	"time"
)

// node is one file, directory, link or device.
type node struct {
	id    uint64 // stays the same when the node is copied
	mode  fs.FileMode
	mtime time.Time
	kids  []entry // of a directory, sorted by name
	data  []byte  // of a file; of a link, its target; of a device, its name

	links  int32 // names in the tree
	opens  int32 // handles
	frozen bool  // part of an image: copied before it is changed
	cow    bool  // data is shared with another node
}

type entry struct {
	name string
	node *node
}

func (n *node) isDir() bool  { return n.mode.IsDir() }
func (n *node) isLink() bool { return n.mode&fs.ModeSymlink != 0 }
func (n *node) isDev() bool  { return n.mode&fs.ModeDevice != 0 }

func (n *node) find(name string) (int, bool) {
	return slices.BinarySearchFunc(n.kids, name, func(e entry, s string) int {
		return strings.Compare(e.name, s)
	})
}

func (n *node) kid(name string) *node {
	if i, ok := n.find(name); ok {
		return n.kids[i].node
	}
	return nil
}

// put sets the entry and reports the node that it replaced.
func (n *node) put(name string, kid *node) *node {
	i, ok := n.find(name)
	if ok {
		old := n.kids[i].node
		n.kids[i].node = kid
		return old
	}
	n.kids = slices.Insert(n.kids, i, entry{strings.Clone(name), kid})
	return nil
}

func (n *node) drop(name string) {
	if i, ok := n.find(name); ok {
		n.kids = slices.Delete(n.kids, i, i+1)
	}
}

// thawed returns a copy that may be changed; its children stay as they are.
func (n *node) thawed() *node {
	c := *n
	c.frozen, c.opens = false, 0
	c.kids = slices.Clone(n.kids)
	c.cow = len(n.data) > 0
	return &c
}

// size is what Stat reports.
func (n *node) size() int64 {
	if n.isDir() || n.isDev() {
		return 0
	}
	return int64(len(n.data))
}

// info is a FileInfo taken at one moment.
type info struct {
	name  string
	mode  fs.FileMode
	mtime time.Time
	size  int64
	sys   Sys
}

// Sys is what FileInfo.Sys returns: a pointer to the numbers of the file and of
// its mount, which are equal for two names of one file, and the count of its
// names.
type Sys struct {
	ID    uint64
	Dev   int // of the mount; 0 is the tree itself
	Links int
}

func (i *info) Name() string               { return i.name }
func (i *info) Size() int64                { return i.size }
func (i *info) Mode() fs.FileMode          { return i.mode }
func (i *info) ModTime() time.Time         { return i.mtime }
func (i *info) IsDir() bool                { return i.mode.IsDir() }
func (i *info) Sys() any                   { return &i.sys }
func (i *info) Type() fs.FileMode          { return i.mode.Type() }
func (i *info) Info() (fs.FileInfo, error) { return i, nil }
func (i *info) String() string             { return fs.FormatFileInfo(i) }

func (n *node) info(name string, dev int) *info {
	links := int(n.links)
	if n.isDir() {
		links = 2
		for _, e := range n.kids {
			if e.node.isDir() {
				links++
			}
		}
	}
	return &info{name, n.mode, n.mtime, n.size(), Sys{n.id, dev, links}}
}
