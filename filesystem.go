package compute

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
)

// Filesystem is the files of a sandbox. The methods are those of package os
// with a context in front. Names are slash-separated and mean the same to
// commands: relative ones start at the sandbox's default working directory.
// Links are followed within the sandbox and lead nowhere else.
//
// Errors about a name are of type [*fs.PathError] and match [fs.ErrNotExist],
// [fs.ErrExist], [fs.ErrPermission] or [fs.ErrInvalid] where that is the
// reason. A name is invalid if it is empty, holds a NUL byte, or is used for
// what it is not: a directory as a file, a file as a directory.
type Filesystem interface {
	// ReadFile returns the content of a regular file.
	ReadFile(ctx context.Context, name string) ([]byte, error)

	// WriteFile replaces the file, or creates it and the directories above it.
	// The file then has the permissions perm. Whoever reads it meanwhile sees
	// the old content or the new; when it fails, the old.
	WriteFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error

	// ReadDir returns the entries sorted by name. Links are described, not
	// followed.
	ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error)

	// Stat describes what the name leads to.
	Stat(ctx context.Context, name string) (fs.FileInfo, error)

	// MkdirAll creates a directory and those above it. It is idempotent.
	MkdirAll(ctx context.Context, name string, perm fs.FileMode) error

	// RemoveAll removes name and all below it; a link is removed, not followed.
	// It is idempotent. The root and the working directory are refused: an
	// empty name, "/", "." and "..".
	RemoveAll(ctx context.Context, name string) error
}

// Exists reports whether there is a file or directory of that name. Not being
// able to find out is an error, not false.
func Exists(ctx context.Context, fsys Filesystem, name string) (bool, error) {
	_, err := fsys.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// FileOpener is implemented by filesystems that read without holding the whole
// file in memory.
type FileOpener interface {
	OpenFile(ctx context.Context, name string) (io.ReadCloser, error)
}

// OpenFile opens a file for reading, as a stream where the provider can and
// from memory elsewhere. When ctx ends, Read fails.
func OpenFile(ctx context.Context, fsys Filesystem, name string) (r io.ReadCloser, err error) {
	err = invoke(ctx, fsys, Op{Name: "open file", Arg: name, Idempotent: true}, func(ctx context.Context, o FileOpener) (err error) {
		r, err = o.OpenFile(ctx, name)
		return err
	})
	if err != nil && r != nil { // by an interceptor
		return nil, errors.Join(err, r.Close())
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		return r, err
	}
	data, err := fsys.ReadFile(ctx, name)
	if err != nil {
		return nil, err
	}
	return &bufferedReader{ctx, name, bytes.NewReader(data)}, nil
}

// bufferedReader is a file in memory that is read under a context.
type bufferedReader struct {
	ctx  context.Context
	name string
	r    io.Reader
}

func (b *bufferedReader) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, &fs.PathError{Op: "read", Path: b.name, Err: err}
	}
	return b.r.Read(p)
}

func (b *bufferedReader) Close() error { return nil }

// FileCreator is implemented by filesystems that write without holding the
// whole file in memory.
type FileCreator interface {
	CreateFile(ctx context.Context, name string, perm fs.FileMode) (io.WriteCloser, error)
}

// CreateFile opens a file for writing like [Filesystem.WriteFile], as a stream
// where the provider can and by way of memory elsewhere. The file is there, all
// at once, when Close has returned nil. To give up, end ctx before Close: then
// an old file is still as it was.
func CreateFile(ctx context.Context, fsys Filesystem, name string, perm fs.FileMode) (w io.WriteCloser, err error) {
	err = invoke(ctx, fsys, Op{Name: "create file", Arg: name}, func(ctx context.Context, c FileCreator) (err error) {
		w, err = c.CreateFile(ctx, name, perm)
		return err
	})
	if !errors.Is(err, errors.ErrUnsupported) {
		return w, err
	}
	return &bufferedFile{flush: func(data []byte) error {
		if err := ctx.Err(); err != nil {
			return &fs.PathError{Op: "close", Path: name, Err: err}
		}
		return fsys.WriteFile(ctx, name, data, perm)
	}}, nil
}

// bufferedFile collects what is written until Close.
type bufferedFile struct {
	data   []byte
	flush  func([]byte) error
	closed bool
}

func (f *bufferedFile) Write(p []byte) (int, error) {
	if f.closed {
		return 0, fs.ErrClosed
	}
	f.data = append(f.data, p...)
	return len(p), nil
}

func (f *bufferedFile) Close() error {
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	return f.flush(f.data)
}

// Renamer is implemented by filesystems that move files.
type Renamer interface {
	Rename(ctx context.Context, oldname, newname string) error
}

// Rename moves a file or directory, replacing a file of the new name. The
// directory of the new name must be there.
func Rename(ctx context.Context, fsys Filesystem, oldname, newname string) error {
	return invoke(ctx, fsys, Op{Name: "rename", Arg: oldname}, func(ctx context.Context, r Renamer) error {
		return r.Rename(ctx, oldname, newname)
	})
}

// Replace changes one piece of a file. The piece must be there exactly once:
// otherwise the error matches [ErrConflict], says how often it was found, and
// the file is as before. Permissions are kept. A change made by others between
// reading and writing is lost.
func Replace(ctx context.Context, fsys Filesystem, name, old, replacement string) error {
	bad := func(kind error, why string, args ...any) error {
		return &fs.PathError{Op: "replace", Path: name, Err: &Error{Op: "replace", Kind: kind, Err: fmt.Errorf(why, args...)}}
	}
	if old == "" {
		return bad(ErrInvalid, "nothing to look for")
	}
	info, err := fsys.Stat(ctx, name)
	if err != nil {
		return err
	}
	data, err := fsys.ReadFile(ctx, name)
	if err != nil {
		return err
	}
	if n := occurrences(data, []byte(old)); n != 1 {
		return bad(ErrConflict, "the text occurs %d times, not once", n)
	}
	data = bytes.Replace(data, []byte(old), []byte(replacement), 1)
	return fsys.WriteFile(ctx, name, data, info.Mode().Perm())
}

// occurrences counts all places of old, overlapping ones too: "aa" is in "aaa"
// twice, and replacing one of them would be a guess.
func occurrences(data, old []byte) int {
	n := 0
	for {
		i := bytes.Index(data, old)
		if i < 0 {
			return n
		}
		n++
		data = data[i+1:]
	}
}

// CopyFS copies the tree src into dir of a sandbox, like [os.CopyFS]: files,
// as streams, and directories; anything else is an error. Existing files are
// replaced. For the other direction use os.CopyFS(local, FS(ctx, fsys, dir)).
func CopyFS(ctx context.Context, fsys Filesystem, dir string, src fs.FS) error {
	return fs.WalkDir(src, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		dst := path.Join(dir, name)
		switch {
		case d.IsDir():
			return fsys.MkdirAll(ctx, dst, info.Mode().Perm()|0o700)
		case !d.Type().IsRegular():
			return &fs.PathError{Op: "copy", Path: name, Err: fs.ErrInvalid}
		}
		return copyFile(ctx, fsys, dst, src, name, info.Mode().Perm())
	})
}

func copyFile(ctx context.Context, fsys Filesystem, dst string, src fs.FS, name string, perm fs.FileMode) error {
	r, err := src.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	return writeStream(ctx, fsys, dst, r, perm)
}

// writeStream writes r to a file, all of it or nothing.
func writeStream(ctx context.Context, fsys Filesystem, name string, r io.Reader, perm fs.FileMode) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := CreateFile(ctx, fsys, name, perm)
	if err != nil {
		return err
	}
	if _, err = io.Copy(w, r); err != nil {
		cancel() // so that Close leaves the old file
		return errors.Join(err, ignoreCanceled(w.Close()))
	}
	return w.Close()
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// FileEvent is a change of a file or directory.
type FileEvent struct {
	Type FileEventType `json:"type"`
	Name string        `json:"name"` // absolute
}

// FileEventType is the type of a [FileEvent].
type FileEventType string

// Types of file events. A rename is a removal and a creation.
const (
	FileCreated FileEventType = "created"
	FileWritten FileEventType = "written"
	FileRemoved FileEventType = "removed"
)

// FileWatcher is implemented by filesystems that report changes.
type FileWatcher interface {
	WatchFiles(ctx context.Context, dir string) (iter.Seq2[FileEvent, error], error)
}

// WatchFiles watches dir and all below it. The watch is on when WatchFiles
// returns; the sequence, to be used once, yields the changes since then and
// ends with ctx's error. Events that a slow reader missed are an error matching
// [ErrTruncated], after which the watch goes on. End ctx to end the watch.
func WatchFiles(ctx context.Context, fsys Filesystem, dir string) (events iter.Seq2[FileEvent, error], err error) {
	err = invoke(ctx, fsys, Op{Name: "watch files", Arg: dir}, func(ctx context.Context, w FileWatcher) (err error) {
		events, err = w.WatchFiles(ctx, dir)
		return err
	})
	return events, err
}
