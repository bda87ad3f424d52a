package runloop

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/script"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	// maxInline is how long a file is that is written by one command with the
	// content in it. Longer ones are uploaded beside their place and then
	// moved there, which takes three requests.
	maxInline = 1 << 20

	// shortInline takes its place once the service has refused a long command.
	shortInline = 64 << 10
)

// files are the files of a devbox. Contents go through the service's endpoints
// for files of any bytes; all else is one command for each call.
type files struct {
	s     *Sandbox
	shell compute.Filesystem
}

var _ interface {
	compute.Filesystem
	compute.FileOpener
	compute.FileCreator
	compute.Renamer
	compute.Archiver
	compute.FileWatcher
} = (*files)(nil)

// ReadDir, Stat, MkdirAll, RemoveAll and Rename implement [compute.Filesystem]
// and [compute.Renamer].
func (f *files) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	return f.shell.ReadDir(ctx, name)
}

// Stat implements [compute.Filesystem].
func (f *files) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	return f.shell.Stat(ctx, name)
}

// MkdirAll implements [compute.Filesystem].
func (f *files) MkdirAll(ctx context.Context, name string, perm fs.FileMode) error {
	return f.shell.MkdirAll(ctx, name, perm)
}

// RemoveAll implements [compute.Filesystem].
func (f *files) RemoveAll(ctx context.Context, name string) error {
	return f.shell.RemoveAll(ctx, name)
}

// Rename implements [compute.Renamer].
func (f *files) Rename(ctx context.Context, oldname, newname string) error {
	return compute.Rename(ctx, f.shell, oldname, newname)
}

// explicit returns a file's name, which must be one, in a form that neither
// programs nor the service take for something else.
func explicit(op, name string) (string, error) {
	if name == "" || strings.ContainsRune(name, 0) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if strings.HasPrefix(name, "/") {
		return name, nil
	}
	return "./" + name, nil
}

// fileName is explicit for files, which directories' names are not.
func fileName(op, name string) (string, error) {
	if base := name[strings.LastIndexByte(name, '/')+1:]; base == "" || base == "." || base == ".." {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return explicit(op, name)
}

// ReadFile implements [compute.Filesystem].
func (f *files) ReadFile(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := bounded(ctx, f.s.p.timeouts.Download)
	defer cancel()
	r, err := f.OpenFile(ctx, name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// OpenFile implements [compute.FileOpener].
func (f *files) OpenFile(ctx context.Context, name string) (io.ReadCloser, error) {
	full, err := explicit("open", name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: wrap(ctx, "open file", f.s.id, err)}
	}
	body, err := f.s.p.client.Devboxes.DownloadFile(ctx, f.s.id, &runloopapi.DownloadFileParams{Path: full})
	if err != nil {
		return nil, f.why(ctx, "open", name, full, err)
	}
	return &download{ctx: ctx, body: body, name: name}, nil
}

// whyScript fails like reading the file would.
const whyScript = script.Begin + `stat -L -- "$1" >/dev/null || exit 1
[ -d "$1" ] && no "Is a directory"
[ -f "$1" ] || no "Not a regular file"
exec <"$1"`

// why finds out, by asking the devbox, what the matter is with a file that could
// not be read. The service's answers do not tell files that are not there from
// devboxes, nor why something was wrong.
func (f *files) why(ctx context.Context, op, name, full string, cause error) error {
	var api *runloopapi.Error
	if ctx.Err() == nil && errors.As(cause, &api) && api.StatusCode != 0 && api.StatusCode != http.StatusUnauthorized && api.StatusCode != http.StatusTooManyRequests {
		res, err := f.s.RunCommand(ctx, compute.Exec("sh", "-c", whyScript, "sh", full))
		if err != nil {
			return err
		}
		if err := providers.FileError(op, name, res); err != nil {
			return err
		}
	}
	return &fs.PathError{Op: op, Path: name, Err: f.s.wrap(ctx, op+" file", cause)}
}

// download is a file being read.
type download struct {
	ctx  context.Context
	body io.ReadCloser
	name string
}

func (d *download) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		kind := compute.ErrUnavailable
		if d.ctx.Err() != nil {
			kind, err = nil, d.ctx.Err()
		}
		err = &fs.PathError{Op: "read", Path: d.name, Err: fail("read file", "", kind, err)}
	}
	return n, err
}

func (d *download) Close() error { return d.body.Close() }

// The scripts that write a file have its name as $1, its permissions as $2 and
// its size as $3. The file is written to tmp, beside its place, and then moved there.
const (
	placeScript = script.Begin + script.Place + `tmp=$d.compute-$4
`
	checkScript = placeScript + script.Vacant
	moveScript  = `[ "$(wc -c <"$tmp")" -eq "$3" ] || no "the content was cut short"
chmod -- "$2" "$tmp" && mv -f -- "$tmp" "$t" || exit 1
trap - EXIT`

	dropTrap = `trap 'rm -f -- "$tmp"' EXIT
`
	writeScript = checkScript + `umask 077
` + dropTrap + `cat >"$tmp" || exit 1
` + moveScript

	// commitScript finds the upload, and moves it to the place's own directory
	// first if that is elsewhere.
	commitScript = checkScript + dropTrap + `mv -f -- "$5" "$tmp" || exit 1
` + moveScript
)

// WriteFile implements [compute.Filesystem].
func (f *files) WriteFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error {
	full, err := fileName("open", name)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(ctx, f.s.p.timeouts.Upload)
	defer cancel()
	if len(data) <= f.inline() {
		refused, err := f.writeInline(ctx, name, full, data, perm)
		if !refused {
			return err
		}
		f.shorten()
	}
	return f.writeUpload(ctx, name, full, bytes.NewReader(data), nil, perm)
}

func (f *files) inline() int {
	f.s.p.mu.Lock()
	defer f.s.p.mu.Unlock()
	return f.s.p.inline
}

func (f *files) shorten() {
	f.s.p.mu.Lock()
	defer f.s.p.mu.Unlock()
	f.s.p.inline = shortInline
}

// writeInline writes a file by one command. It reports whether the service has
// refused the command for its length.
func (f *files) writeInline(ctx context.Context, name, full string, data []byte, perm fs.FileMode) (refused bool, err error) {
	cmd := compute.Exec("sh", "-c", writeScript, "sh", full, octal(perm), strconv.Itoa(len(data)), rand.Text())
	cmd.Stdin = bytes.NewReader(data)
	res, err := f.s.RunCommand(context.WithValue(ctx, inlineKey{}, true), cmd)
	if err != nil {
		e, typed := errors.AsType[*compute.Error](err)
		refused = typed && len(data) > shortInline && ctx.Err() == nil &&
			(tooLong(e.StatusCode) || e.StatusCode == 0 && errors.Is(e.Kind, compute.ErrUnavailable))
		return refused, err
	}
	return false, providers.FileError("write", name, res)
}

// tooLong reports whether a status can be about the length of a command.
func tooLong(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusInternalServerError:
		return true
	}
	return false
}

// inlineKey is in the context of commands whose input goes along, however long.
type inlineKey struct{}

// writeUpload writes a file by way of an upload. size is nil if content knows.
func (f *files) writeUpload(ctx context.Context, name, full string, content io.Reader, size *atomic.Int64, perm fs.FileMode) error {
	beside := stateDir + "-up-" + newID()
	err := f.s.p.client.Devboxes.UploadFile(ctx, f.s.id, beside, content)
	if err == nil {
		n := int64(0)
		if size != nil {
			n = size.Load()
		} else if s, ok := content.(interface{ Size() int64 }); ok {
			n = s.Size()
		}
		var res *compute.Result
		res, err = f.s.RunCommand(ctx, compute.Exec("sh", "-c", commitScript, "sh", full, octal(perm), strconv.FormatInt(n, 10), rand.Text(), beside))
		if err == nil {
			err = providers.FileError("write", name, res)
		}
	} else {
		err = &fs.PathError{Op: "write", Path: name, Err: f.s.wrap(ctx, "write file", err)}
	}
	if err == nil {
		return nil
	}
	clean, cancel := f.s.p.cleanUp(ctx)
	defer cancel()
	if derr := f.drop(clean, beside); derr != nil && !errors.Is(derr, compute.ErrNotFound) {
		err = errors.Join(err, fmt.Errorf("the upload %s may be left: %w", beside, derr))
	}
	return err
}

// drop removes a temporary file.
func (f *files) drop(ctx context.Context, name string) error {
	_, err := f.s.script(ctx, "rm -rf -- "+providers.Quote(name))
	return f.s.wrap(ctx, "remove file", err)
}

func octal(perm fs.FileMode) string { return fmt.Sprintf("%04o", perm.Perm()) }

// CreateFile implements [compute.FileCreator]. The first mebibyte is held in
// memory: a file that is no longer than that is written by one request at
// Close.
func (f *files) CreateFile(ctx context.Context, name string, perm fs.FileMode) (io.WriteCloser, error) {
	full, err := fileName("open", name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: wrap(ctx, "create file", f.s.id, err)}
	}
	return &upload{f: f, ctx: ctx, name: name, full: full, perm: perm}, nil
}

// upload is a file being written.
type upload struct {
	f          *files
	ctx        context.Context // of all that is done until Close
	name, full string
	perm       fs.FileMode
	closed     bool

	buf  []byte
	pipe *io.PipeWriter // nil while all is in buf
	size atomic.Int64
	done chan error
}

func (u *upload) Write(p []byte) (int, error) {
	if u.closed {
		return 0, &fs.PathError{Op: "write", Path: u.name, Err: fs.ErrClosed}
	}
	if u.pipe == nil && len(u.buf)+len(p) <= u.f.inline() {
		u.buf = append(u.buf, p...)
		return len(p), nil
	}
	if u.pipe == nil {
		if err := u.begin(); err != nil {
			return 0, err
		}
	}
	n, err := u.pipe.Write(p)
	u.size.Add(int64(n))
	return n, err
}

// begin opens the upload, with what has been held back.
func (u *upload) begin() error {
	r, w := io.Pipe()
	u.pipe, u.done = w, make(chan error, 1)
	go func() {
		err := u.f.writeUpload(u.ctx, u.name, u.full, r, &u.size, u.perm)
		_ = r.CloseWithError(err) // it always succeeds
		u.done <- err
	}()
	n, err := w.Write(u.buf)
	u.size.Add(int64(n))
	u.buf = nil
	return err
}

// Close puts the file in its place, unless the context has ended.
func (u *upload) Close() error {
	if u.closed {
		return &fs.PathError{Op: "close", Path: u.name, Err: fs.ErrClosed}
	}
	u.closed = true
	ended := u.ctx.Err()
	if u.pipe == nil {
		if ended != nil {
			return &fs.PathError{Op: "close", Path: u.name, Err: ended}
		}
		return u.f.WriteFile(u.ctx, u.name, u.buf, u.perm)
	}
	_ = u.pipe.CloseWithError(ended) // nil is the end of the file; it always succeeds
	err := <-u.done
	if ended != nil && !errors.Is(err, ended) {
		err = errors.Join(&fs.PathError{Op: "close", Path: u.name, Err: ended}, err)
	}
	return err
}
