package memfs

import (
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Write writes at the current offset, or at the end when open to append.
func (h *File) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.check("write", 2); err != nil {
		return 0, err
	}
	if h.node.isDev() {
		return h.writeDevice(b)
	}
	h.fsys.mu.Lock()
	defer h.fsys.mu.Unlock()
	if h.flag&syscall.O_APPEND != 0 {
		h.off = int64(len(h.node.data))
	}
	n, err := h.fsys.put(h.node, b, h.off, h.path)
	h.off += int64(n)
	return n, fail("write", h.name, err)
}

// WriteAt writes at the given offset.
func (h *File) WriteAt(b []byte, off int64) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.check("write", 2); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fail("write", h.name, ErrInvalid)
	}
	h.fsys.mu.Lock()
	defer h.fsys.mu.Unlock()
	n, err := h.fsys.put(h.node, b, off, h.path)
	return n, fail("write", h.name, err)
}

// WriteString is Write for a string.
func (h *File) WriteString(s string) (int, error) { return h.Write([]byte(s)) }

// Truncate changes the size; a gap reads as zeros.
func (h *File) Truncate(size int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.check("truncate", 2); err != nil {
		return err
	}
	h.fsys.mu.Lock()
	defer h.fsys.mu.Unlock()
	if size < 0 {
		return fail("truncate", h.name, ErrInvalid)
	}
	return fail("truncate", h.name, h.fsys.resize(h.node, size, h.path))
}

// put writes what fits under the limit, as a full disk does.
func (f *FS) put(n *node, b []byte, off int64, name string) (int, error) {
	size := int64(len(n.data))
	room := int64(len(b))
	if f.limit > 0 {
		room = min(room, max(0, size+f.limit-f.used-off))
	}
	if room == 0 && len(b) > 0 {
		return 0, ErrNoSpace
	}
	end := off + room
	if err := f.resize(n, max(size, end), name); err != nil {
		return 0, err
	}
	copy(n.data[off:end], b)
	if room < int64(len(b)) {
		return int(room), ErrNoSpace
	}
	return int(room), nil
}

// resize makes the node's data its own and as long as asked.
func (f *FS) resize(n *node, size int64, name string) error {
	old := int64(len(n.data))
	if err := f.grow(size - old); err != nil {
		return err
	}
	if n.cow {
		n.data = append(make([]byte, 0, size), n.data[:min(old, size)]...)
		n.cow = false
	}
	if size <= old {
		clear(n.data[size:])
		n.data = n.data[:size]
	} else {
		n.data = extend(n.data, size)
	}
	n.mtime = f.now()
	f.notify(Event{Op: Written, Name: name})
	return nil
}

// extend lengthens with zeros. Bytes beyond the length are zero already:
// resize clears what it cuts.
func extend(b []byte, size int64) []byte {
	if size > int64(cap(b)) {
		b = slices.Grow(b, int(size)-len(b))
		clear(b[len(b):cap(b)])
	}
	return b[:size]
}

// ReadFile returns a copy of the file's contents.
func (f *FS) ReadFile(name string) ([]byte, error) {
	t, err := f.route(name, true)
	if err != nil {
		return nil, fail("open", name, err)
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, err := t.find(t.name, true)
	switch {
	case err != nil:
	case n.isDir():
		err = ErrIsDir
	case t.denies(n, 4):
		err = ErrPermission
	case n.isDev():
		return nil, nil
	}
	if err != nil {
		return nil, fail("open", name, err)
	}
	return append(make([]byte, 0, len(n.data)), n.data...), nil
}

// Program is what it takes to execute a file: its mode and, if it may be
// executed, its first line. Its error is the bare reason, because most names
// that are looked for in a PATH are not there.
func (f *FS) Program(name string) (fs.FileMode, string, error) {
	t, err := f.route(name, true)
	if err != nil {
		return 0, "", err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, err := t.find(t.name, true)
	switch {
	case err != nil:
		return 0, "", err
	case n.isDir() || n.mode&0o111 == 0:
		return n.mode, "", nil
	case t.denies(n, 4):
		return n.mode, "", ErrPermission
	}
	line, _, _ := bytes.Cut(n.data, []byte("\n"))
	return n.mode, string(line), nil
}

// WriteFile replaces the file's contents at once: whoever reads sees the old
// or the new, never a part. An existing file keeps its mode.
func (f *FS) WriteFile(name string, data []byte, perm fs.FileMode) error {
	t, err := f.routeOpen(name, syscall.O_WRONLY|syscall.O_CREAT)
	if err != nil {
		return fail("open", name, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return fail("open", name, t.replace(t.name, data, perm))
}

// WriteFileAll is WriteFile that creates the missing directories above.
func (f *FS) WriteFileAll(name string, data []byte, perm fs.FileMode) error {
	if dir := path.Dir(name); dir != "." {
		if err := f.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return f.WriteFile(name, data, perm)
}

func (f *FS) replace(name string, data []byte, perm fs.FileMode) error {
	p, err := f.openPlace(name, syscall.O_WRONLY|syscall.O_CREAT, perm)
	if err != nil {
		return err
	}
	if p.node.isDev() {
		return nil
	}
	if err := f.grow(int64(len(data) - len(p.node.data))); err != nil {
		return err
	}
	p.node.data, p.node.cow = append(make([]byte, 0, len(data)), data...), false
	p.node.mtime = f.now()
	f.notify(Event{Op: Written, Name: p.full()})
	return nil
}

// Truncate changes the size of a file by name.
func (f *FS) Truncate(name string, size int64) error {
	h, err := f.OpenFile(strings.TrimRight(name, "/"), syscall.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer h.Close()
	return h.Truncate(size)
}
