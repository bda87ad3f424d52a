package remote

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"iter"
	"net/http"

	"strconv"
	"sync"

	"github.com/computekit/compute"
)

// raw begins a request whose body, or whose answer's, is bytes. The far end
// gets the fields of the Request from the query, where any byte can be.
func (c *client) raw(ctx context.Context, do call, method string, body io.Reader) (*http.Request, error) {
	u := *c.url
	q := u.Query()
	for name, value := range map[string]string{"action": do.req.Action, "sandboxId": do.req.SandboxID, "path": do.req.Path, "address": do.req.Address} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if do.req.CancelKey != "" { // which has no parameter of its own
		q.Set("request", `{"cancelKey":`+strconv.Quote(do.req.CancelKey)+`}`)
	}
	if do.req.Mode != nil {
		q.Set("mode", strconv.FormatUint(uint64(*do.req.Mode), 8))
	}
	u.RawQuery = q.Encode()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, c.fail(do, &compute.Error{Kind: compute.ErrInvalid, Err: errors.New("malformed URL")})
	}
	return r, nil
}

// download opens a stream of bytes from the far end.
func (f *filesystem) download(ctx context.Context, do call) (io.ReadCloser, error) {
	if do.path == "" {
		return nil, invalidName(do)
	}
	r, err := f.s.raw(ctx, do, http.MethodGet, nil)
	if err != nil {
		return nil, err
	}
	answer, err := f.s.send(do, r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusOK {
		return &body{c: f.s.client, ctx: ctx, do: do, answer: answer}, nil
	}
	defer drain(answer.Body)
	if _, err := f.s.response(ctx, do, answer); err != nil {
		return nil, err
	}
	return nil, f.s.incomplete(do)
}

// body is the body of an answer, whose failures are those of an operation. The
// far end breaks the connection where it cannot go on, so that the end is the
// end.
type body struct {
	c      *client
	ctx    context.Context
	do     call
	answer *http.Response
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil { // all of the rest may be here
		return 0, b.c.lost(b.ctx, b.do, err)
	}
	n, err := b.answer.Body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.c.lost(b.ctx, b.do, err)
	}
	return n, err
}

func (b *body) Close() error { return b.answer.Body.Close() }

// OpenFile implements [compute.FileOpener].
func (f filesystemAbilities) OpenFile(ctx context.Context, name string) (r io.ReadCloser, err error) {
	do := f.on("open file", "download", name)
	err = f.s.retry(ctx, do, func(ctx context.Context) error {
		r, err = f.download(ctx, do)
		return err
	})
	return r, err
}

// ReadArchive implements [compute.Archiver].
func (f filesystemAbilities) ReadArchive(ctx context.Context, dir string, w io.Writer) error {
	do := f.on("read archive", "", dir)
	do.req.Action = actionArchiveGet
	r, err := f.download(ctx, do)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

// WriteArchive implements [compute.Archiver].
func (f filesystemAbilities) WriteArchive(ctx context.Context, dir string, r io.Reader) error {
	do := f.on("write archive", "", dir)
	do.req.Action = actionArchivePut
	return f.put(ctx, do, r)
}

// Actions for bytes.
const (
	actionArchiveGet = "compute.sandbox.archive.get"
	actionArchivePut = "compute.sandbox.archive.put"
	actionDial       = "compute.sandbox.dial"
)

// upload sends data that is all there.
func (f *filesystem) upload(ctx context.Context, do call, perm fs.FileMode, data []byte) error {
	do.req.Mode = mode(perm)
	return f.put(ctx, do, bytes.NewReader(data))
}

// put sends a stream of bytes. A failure of r's own is the caller's error; the
// far end sees that the stream has no end and drops it.
func (f *filesystem) put(ctx context.Context, do call, r io.Reader) error {
	if do.path == "" {
		return invalidName(do)
	}
	do.req.CancelKey = rand.Text()
	in := &source{Reader: r}
	var stream io.Reader = in
	if known, ok := r.(*bytes.Reader); ok { // its size becomes known
		stream = known
	}
	req, err := f.s.raw(ctx, do, http.MethodPut, stream)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Accept", "application/json")
	answer, err := f.s.send(do, req)
	failed := in.failure()
	if failed != nil && err == nil {
		_ = answer.Body.Close()
	}
	if failed != nil || err != nil && ctx.Err() != nil {
		f.s.givenUp(ctx, do.req.CancelKey)
	}
	if err = cmp.Or(failed, err); err != nil {
		return err
	}
	defer drain(answer.Body)
	_, err = f.s.response(ctx, do, answer)
	return err
}

// CreateFile implements [compute.FileCreator].
func (f filesystemAbilities) CreateFile(ctx context.Context, name string, perm fs.FileMode) (io.WriteCloser, error) {
	do := f.on("create file", "upload", name)
	do.req.Mode = mode(perm)
	if name == "" {
		return nil, invalidName(do)
	}
	if err := ctx.Err(); err != nil {
		return nil, f.s.lost(ctx, do, err)
	}
	r, w := io.Pipe()
	file := &upload{ctx: ctx, pipe: w, done: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = r.CloseWithError(ctx.Err()) })
	go func() { // Close waits for it
		defer close(file.done)
		defer stop()
		file.err = f.put(ctx, do, r)
		if ctx.Err() != nil {
			file.err = f.s.lost(ctx, do, ctx.Err())
		}
		_ = r.CloseWithError(errors.Join(file.err, fs.ErrClosed))
	}()
	return file, nil
}

// upload is a file that is being written.
type upload struct {
	ctx  context.Context
	pipe *io.PipeWriter
	done chan struct{}
	err  error // once done
}

// Write fails with the far end's error if that has come already.
func (u *upload) Write(p []byte) (int, error) { return u.pipe.Write(p) }

// Close ends the file and returns once it is there.
func (u *upload) Close() error {
	_ = u.pipe.CloseWithError(u.ctx.Err()) // nil is the end of the file
	<-u.done
	return u.err
}

// WatchFiles implements [compute.FileWatcher].
func (f filesystemAbilities) WatchFiles(ctx context.Context, dir string) (iter.Seq2[compute.FileEvent, error], error) {
	do := f.on("watch files", "watch", dir)
	if dir == "" {
		return nil, invalidName(do)
	}
	answer, err := f.s.post(ctx, do, "text/event-stream") //nolint:bodyclose // values does, and ctx
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK { // no watch, and so no headers without an event
		defer drain(answer.Body)
		_, err := f.s.response(ctx, do, answer)
		if err == nil {
			err = f.s.incomplete(do)
		}
		return nil, err
	}
	return func(yield func(compute.FileEvent, error) bool) {
		values(ctx, f.s.client, do, answer, "file", yield)
	}, nil
}

// source remembers the failure of a reader of the caller's.
type source struct {
	io.Reader
	mu  sync.Mutex
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
	return n, err
}

func (s *source) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
