package engine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// Relative names are relative to /workspace. Links are followed as they would
// be inside, and never lead out.

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var remote *faultError
	if errors.As(err, &remote) && remote.errno != 0 {
		err = remote.errno
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// OpenFile opens a regular file for reading, and tells its size.
func (b *Box) OpenFile(ctx context.Context, name string) (*os.File, Entry, error) {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpRead, Path: name})
	if err != nil {
		return nil, Entry{}, err
	}
	defer c.close()
	r, files, err := c.receive()
	if err != nil {
		return nil, Entry{}, pathError("open", name, err)
	}
	if len(files) != 1 || len(r.Entries) != 1 || !regular(files[0]) {
		wire.CloseAll(files)
		return nil, Entry{}, pathError("open", name, wire.ErrMalformed)
	}
	return files[0], entryOf(r.Entries[0]), nil
}

// regular makes sure that reading cannot wait for anything inside.
func regular(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// A FileWriter replaces a file: at Commit, not before, and not at all if it
// is closed without.
type FileWriter struct {
	name string
	perm fs.FileMode
	call *call
	file *os.File
}

// Create begins to replace a file, or to make it with the directories above
// it. A file keeps its owner; perm becomes its mode exactly.
func (b *Box) Create(ctx context.Context, name string, perm fs.FileMode) (*FileWriter, error) {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpWrite, Path: name})
	if err != nil {
		return nil, err
	}
	files, err := c.replyFiles(1)
	if err == nil && !regular(files[0]) {
		wire.CloseAll(files)
		err = wire.ErrMalformed
	}
	if err != nil {
		c.close()
		return nil, pathError("create", name, err)
	}
	return &FileWriter{name: name, perm: perm, call: c, file: files[0]}, nil
}

// Write appends to the new file.
func (w *FileWriter) Write(p []byte) (int, error) {
	if w.call.ctx.Err() != nil {
		return 0, context.Cause(w.call.ctx)
	}
	return w.file.Write(p)
}

// WriteAt writes at an offset of the new file.
func (w *FileWriter) WriteAt(p []byte, offset int64) (int, error) {
	if w.call.ctx.Err() != nil {
		return 0, context.Cause(w.call.ctx)
	}
	return w.file.WriteAt(p, offset)
}

// Commit puts the new file in its place and closes the writer.
func (w *FileWriter) Commit() error {
	defer w.Close()
	if err := w.file.Close(); err != nil {
		return pathError("write", w.name, err)
	}
	if err := w.call.Send(&wire.Request{Op: wire.OpCommit, Mode: unixMode(w.perm)}); err != nil {
		return pathError("write", w.name, w.call.failed(err))
	}
	_, err := w.call.reply()
	return pathError("write", w.name, err)
}

// Close gives up, unless Commit was called. When it returns, nothing is left of
// the new file, unless init takes long.
func (w *FileWriter) Close() error {
	_ = w.file.Close()
	w.call.giveUp()
	return nil
}

// WriteFile replaces a file by what r holds.
func (b *Box) WriteFile(ctx context.Context, name string, r io.Reader, perm fs.FileMode) error {
	w, err := b.Create(ctx, name, perm)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := io.CopyBuffer(w, onlyReader{r}, make([]byte, 256<<10)); err != nil {
		return pathError("write", name, err)
	}
	return w.Commit()
}

// Stat describes a file, following links.
func (b *Box) Stat(ctx context.Context, name string) (Entry, error) {
	return b.entry(ctx, wire.OpStat, "stat", name)
}

// Lstat describes a file or link.
func (b *Box) Lstat(ctx context.Context, name string) (Entry, error) {
	return b.entry(ctx, wire.OpLstat, "lstat", name)
}

func (b *Box) entry(ctx context.Context, op, verb, name string) (Entry, error) {
	r, err := b.ask(ctx, &wire.Request{Op: op, Path: name})
	if err == nil && len(r.Entries) != 1 {
		err = wire.ErrMalformed
	}
	if err != nil {
		return Entry{}, pathError(verb, name, err)
	}
	return entryOf(r.Entries[0]), nil
}

// ReadDir yields the entries of a directory, sorted by name, links not
// followed. The second value is an error that ended the list.
func (b *Box) ReadDir(ctx context.Context, name string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		c, err := b.call(ctx, &wire.Request{Op: wire.OpReadDir, Path: name})
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer c.close()
		for {
			r, err := c.reply()
			if err != nil {
				yield(Entry{}, pathError("readdir", name, err))
				return
			}
			for _, e := range r.Entries {
				if !yield(entryOf(e), nil) {
					return
				}
			}
			if r.Done {
				return
			}
		}
	}
}

func (b *Box) changePath(ctx context.Context, verb string, r *wire.Request) error {
	_, err := b.ask(ctx, r)
	return pathError(verb, r.Path, err)
}

// MkdirAll makes a directory and those above it.
func (b *Box) MkdirAll(ctx context.Context, name string, perm fs.FileMode) error {
	return b.changePath(ctx, "mkdir", &wire.Request{Op: wire.OpMkdirAll, Path: name, Mode: unixMode(perm)})
}

// RemoveAll removes a file or tree, following no links. That there is none
// is not an error. It refuses "", "/", and names that end in "." or "..".
func (b *Box) RemoveAll(ctx context.Context, name string) error {
	return b.changePath(ctx, "removeall", &wire.Request{Op: wire.OpRemoveAll, Path: name})
}

// Rename renames a file or directory.
func (b *Box) Rename(ctx context.Context, from, to string) error {
	return b.changePath(ctx, "rename", &wire.Request{Op: wire.OpRename, Path: from, To: to})
}

// TarOut writes an archive of what is in a directory. Links are archived as
// links; sockets, FIFOs and devices are left out.
func (b *Box) TarOut(ctx context.Context, name string, w io.Writer) error {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpTarOut, Path: name})
	if err != nil {
		return err
	}
	defer c.close()
	for {
		kind, data, files, err := c.ReadFrame(wire.MaxChunk)
		wire.CloseAll(files)
		if err != nil {
			return pathError("archive", name, c.failed(err))
		}
		if kind != wire.KindData {
			return pathError("archive", name, outcome(data))
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
}

// TarIn unpacks an archive into a directory, which it makes if need be. It
// refuses entries that are devices or that lead out of the directory by
// their names or by links; what came before such an entry is there then.
func (b *Box) TarIn(ctx context.Context, name string, r io.Reader) error {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpTarIn, Path: name})
	if err != nil {
		return err
	}
	defer c.close()
	return pathError("unarchive", name, c.upload(r))
}

func entryOf(e wire.Entry) Entry {
	return Entry{
		Name: e.Name, Mode: fileMode(e.Mode), Size: e.Size, ModTime: time.Unix(0, e.MTime),
		UID: int(e.UID), GID: int(e.GID), Link: e.Link,
	}
}

var kinds = map[uint32]fs.FileMode{
	unix.S_IFDIR: fs.ModeDir, unix.S_IFLNK: fs.ModeSymlink, unix.S_IFIFO: fs.ModeNamedPipe,
	unix.S_IFSOCK: fs.ModeSocket, unix.S_IFBLK: fs.ModeDevice, unix.S_IFCHR: fs.ModeDevice | fs.ModeCharDevice,
	unix.S_IFREG: 0,
}

var special = map[uint32]fs.FileMode{
	unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky,
}

func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	if kind, ok := kinds[mode&unix.S_IFMT]; ok {
		m |= kind
	} else {
		m |= fs.ModeIrregular
	}
	for bit, flag := range special {
		if mode&bit != 0 {
			m |= flag
		}
	}
	return m
}

func unixMode(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	for bit, flag := range special {
		if m&flag != 0 {
			mode |= bit
		}
	}
	return mode
}
