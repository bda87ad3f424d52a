package memfs

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"sync"
	"syscall"
)

// File is an open file or directory.
type File struct {
	fsys *FS
	name string
	path string // for events
	node *node
	dev  int
	flag int

	mu     sync.Mutex // guards what follows; taken before the tree's lock
	off    int64
	closed bool
	rand   uint64
}

// Open opens a file or directory to read.
func (f *FS) Open(name string) (*File, error) { return f.OpenFile(name, syscall.O_RDONLY, 0) }

// Create opens a file to read and write, creating or emptying it.
func (f *FS) Create(name string) (*File, error) {
	return f.OpenFile(name, syscall.O_RDWR|syscall.O_CREAT|syscall.O_TRUNC, 0o666)
}

// OpenFile opens with the flags of package os.
func (f *FS) OpenFile(name string, flag int, perm fs.FileMode) (*File, error) {
	t, err := f.routeOpen(name, flag)
	if err != nil {
		return nil, fail("open", name, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p, err := t.openPlace(t.name, flag, perm)
	if err != nil {
		return nil, fail("open", name, err)
	}
	p.node.hold(1)
	return &File{fsys: t.FS, name: name, path: p.full(), node: p.node, dev: t.dev, flag: flag, rand: f.seed}, nil
}

// routeOpen is route for a file to be opened: one that is there may be read
// even where nothing may be changed.
func (f *FS) routeOpen(name string, flag int) (spot, error) {
	t, err := f.route(name, flag&syscall.O_EXCL == 0)
	if err != nil || !t.readOnly || access(flag)&2 == 0 && flag&syscall.O_CREAT == 0 {
		return t, err
	}
	switch fi, err := t.Lstat(t.name); {
	case err != nil && (flag&syscall.O_CREAT == 0 || !errors.Is(err, ErrNotExist)):
		return t, reasonOf(err)
	case err == nil && fi.IsDir():
		return t, ErrIsDir
	case err == nil && flag&syscall.O_EXCL != 0:
		return t, ErrExist
	case err == nil && access(flag)&2 == 0:
		return t, nil
	}
	return t, ErrReadOnly
}

func (f *FS) openPlace(name string, flag int, perm fs.FileMode) (*place, error) {
	p, err := f.walk(name, flag&syscall.O_EXCL == 0)
	switch {
	case err != nil:
		return nil, err
	case p.node == nil && flag&syscall.O_CREAT == 0:
		return nil, ErrNotExist
	case p.node == nil:
		return f.create(name, perm)
	case flag&syscall.O_CREAT != 0 && flag&syscall.O_EXCL != 0:
		return nil, ErrExist
	}
	return p, f.reopen(p, flag)
}

func (f *FS) create(name string, perm fs.FileMode) (*place, error) {
	if name[len(name)-1] == '/' {
		return nil, ErrIsDir
	}
	p, err := f.slot(name, true)
	if err == nil {
		f.add(p, f.fresh(perm&permMask))
	}
	return p, err
}

func (f *FS) reopen(p *place, flag int) error {
	want := access(flag)
	switch {
	case p.node.isDir() && want&2 != 0:
		return ErrIsDir
	case f.denies(p.node, want):
		return ErrPermission
	case want&2 == 0:
		return nil
	}
	if !p.node.isDev() {
		f.own(p)
	}
	if flag&syscall.O_TRUNC != 0 && p.node.mode.IsRegular() {
		return f.resize(p.node, 0, p.full())
	}
	return nil
}

func access(flag int) fs.FileMode {
	switch flag & (syscall.O_RDONLY | syscall.O_WRONLY | syscall.O_RDWR) {
	case syscall.O_WRONLY:
		return 2
	case syscall.O_RDWR:
		return 6
	}
	return 4
}

// Name is the name that the file was opened by.
func (h *File) Name() string { return h.name }

// Stat describes the open file.
func (h *File) Stat() (fs.FileInfo, error) {
	h.fsys.mu.RLock()
	defer h.fsys.mu.RUnlock()
	return h.node.info(path.Base(h.name), h.dev), nil
}

// Close ends the use of the handle; a second Close is an error.
func (h *File) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return fail("close", h.name, fs.ErrClosed)
	}
	h.closed = true
	h.fsys.mu.Lock()
	defer h.fsys.mu.Unlock()
	h.node.hold(-1)
	if !h.node.frozen {
		h.fsys.release(h.node)
	}
	return nil
}

// hold counts handles. A frozen node is shared between trees with locks of
// their own, and is never given back, so that nothing is counted there.
func (n *node) hold(by int32) {
	if !n.frozen {
		n.opens += by
	}
}

// check refuses operations that the handle is not open for.
func (h *File) check(op string, want fs.FileMode) error {
	switch {
	case h.closed:
		return fail(op, h.name, fs.ErrClosed)
	case access(h.flag)&want == 0:
		return fail(op, h.name, ErrBadHandle)
	case h.node.isDir():
		return fail(op, h.name, ErrIsDir)
	}
	return nil
}

// Read reads from the current offset.
func (h *File) Read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, err := h.readAt(b, h.off)
	h.off += int64(n)
	return n, err
}

// ReadAt reads from the given offset; it fills b or says why not.
func (h *File) ReadAt(b []byte, off int64) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if off < 0 {
		return 0, fail("read", h.name, ErrInvalid)
	}
	n, err := h.readAt(b, off)
	if err == nil && n < len(b) {
		err = io.EOF
	}
	return n, err
}

func (h *File) readAt(b []byte, off int64) (int, error) {
	if err := h.check("read", 4); err != nil {
		return 0, err
	}
	if h.node.isDev() {
		return h.readDevice(b)
	}
	h.fsys.mu.RLock()
	defer h.fsys.mu.RUnlock()
	if off >= int64(len(h.node.data)) && len(b) > 0 {
		return 0, io.EOF
	}
	return copy(b, h.node.data[min(off, int64(len(h.node.data))):]), nil
}

// Seek sets the offset of the next Read or Write.
func (h *File) Seek(offset int64, whence int) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += h.off
	case io.SeekEnd:
		fi, _ := h.Stat()
		offset += fi.Size()
	}
	if offset < 0 || h.closed {
		return 0, fail("seek", h.name, ErrInvalid)
	}
	h.off = offset
	return offset, nil
}

// ReadDir lists the directory as fs.ReadDirFile wants it.
func (h *File) ReadDir(n int) ([]fs.DirEntry, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fsys.mu.RLock()
	defer h.fsys.mu.RUnlock()
	if h.closed || !h.node.isDir() {
		return nil, fail("readdir", h.name, ErrNotDir)
	}
	all := list(h.node, h.dev)
	all = all[min(int(h.off), len(all)):]
	if n > 0 && len(all) == 0 {
		return nil, io.EOF
	}
	if n > 0 {
		all = all[:min(n, len(all))]
	}
	h.off += int64(len(all))
	return slices.Clip(all), nil
}
