package providers

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/script"
)

// A file is written beside its place and then moved there. The scripts have the
// file's name as $1 and something random as $2; tmp is the file beside it.
const (
	placeScript = script.Place + `tmp=$d.compute-$2
`
	beginScript = placeScript + script.Vacant + `umask 077
`
	streamScript = beginScript + `base64 -d > "$tmp" || exit 1
`
	appendScript = beginScript + `printf %s "$3" | base64 -d >> "$tmp"`
	dropScript   = placeScript + `rm -f -- "$tmp"`

	// moveScript has the size as $3, so that input which was cut short does
	// not become a file, and the permissions as $4.
	moveScript = `[ "$(wc -c < "$tmp")" -eq "$3" ] || no "the content was cut short"
chmod -- "$4" "$tmp" && mv -f -- "$tmp" "$t"`

	writeScript  = streamScript + moveScript
	commitScript = placeScript + moveScript
)

// argChunk is how much of a file goes through an argument. Linux allows 128 KiB
// for one; base64 and a provider's own quoting must fit.
const argChunk = 72 << 10

func (s *shellFS) WriteFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error {
	full, err := shellFileName("open", name)
	if err != nil {
		return err
	}
	w := &shellWriter{fs: s, ctx: ctx, shown: name, name: full, tmp: random(), perm: perm}
	cmd := command(writeScript, full, w.tmp, strconv.Itoa(len(data)), octal(perm))
	cmd.Stdin = encoded(bytes.NewReader(data))
	err = w.run(ctx, cmd)
	if errors.Is(err, errors.ErrUnsupported) {
		if err = w.appendAll(ctx, bytes.NewReader(data)); err == nil {
			err = w.commit(ctx, int64(len(data)))
		}
	}
	return w.dropAfter(ctx, err)
}

// CreateFile implements [compute.FileCreator].
func (s *shellFS) CreateFile(ctx context.Context, name string, perm fs.FileMode) (io.WriteCloser, error) {
	full, err := shellFileName("open", name)
	if err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	w := &shellWriter{fs: s, ctx: ctx, shown: name, name: full, tmp: random(), perm: perm, pipe: pw, done: make(chan error, 1)}
	go func() {
		err := w.receive(pr)
		_ = pr.CloseWithError(err) // it always succeeds
		w.done <- err
	}()
	return w, nil
}

// shellFileName refuses names that only a directory can have.
func shellFileName(op, name string) (string, error) {
	if base := name[strings.LastIndexByte(name, '/')+1:]; base == "" || base == "." || base == ".." {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return shellName(op, name)
}

// shellWriter writes one file.
type shellWriter struct {
	fs    *shellFS
	ctx   context.Context // of all that is done until Close
	shown string          // the name as the caller gave it
	name  string
	tmp   string
	perm  fs.FileMode

	pipe *io.PipeWriter
	done chan error // what came of the command at the other end
	size int64
	once sync.Once
}

// receive puts what comes through the pipe into the temporary file.
func (w *shellWriter) receive(r io.Reader) error {
	cmd := command(streamScript, w.name, w.tmp)
	cmd.Stdin = encoded(r)
	err := w.run(w.ctx, cmd)
	if errors.Is(err, errors.ErrUnsupported) {
		return w.appendAll(w.ctx, r)
	}
	return err
}

func (w *shellWriter) run(ctx context.Context, cmd *compute.Command) error {
	res, err := w.fs.r.RunCommand(ctx, cmd)
	if err != nil {
		return err
	}
	return failure("write", w.shown, res)
}

func (w *shellWriter) appendAll(ctx context.Context, r io.Reader) error {
	buf := make([]byte, argChunk)
	for {
		n, err := io.ReadFull(r, buf)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		last := err != nil
		piece := base64.StdEncoding.EncodeToString(buf[:n])
		if err := w.run(ctx, command(appendScript, w.name, w.tmp, piece)); err != nil || last {
			return err
		}
	}
}

func (w *shellWriter) commit(ctx context.Context, size int64) error {
	return w.run(ctx, command(commitScript, w.name, w.tmp, strconv.FormatInt(size, 10), octal(w.perm)))
}

// dropAfter removes the temporary file if err is not nil.
func (w *shellWriter) dropAfter(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	ctx, cancel := Cleanup(ctx)
	defer cancel()
	return errors.Join(err, w.run(ctx, command(dropScript, w.name, w.tmp)))
}

func (w *shellWriter) Write(p []byte) (int, error) {
	n, err := w.pipe.Write(p)
	w.size += int64(n)
	return n, err
}

// Close puts the file in its place, unless the context has ended.
func (w *shellWriter) Close() error {
	err := error(&fs.PathError{Op: "close", Path: w.shown, Err: fs.ErrClosed})
	w.once.Do(func() { err = w.finish() })
	return err
}

func (w *shellWriter) finish() error {
	var ended error
	if err := w.ctx.Err(); err != nil {
		ended = &fs.PathError{Op: "close", Path: w.shown, Err: err}
	}
	_ = w.pipe.CloseWithError(ended) // nil is the end of the file; it always succeeds
	err := errors.Join(ended, <-w.done)
	if err == nil {
		err = w.commit(w.ctx, w.size)
	}
	return w.dropAfter(w.ctx, err)
}

// encoded returns a reader of r in base64.
func encoded(r io.Reader) io.Reader { return &encoder{r: r, buf: make([]byte, 24<<10)} }

type encoder struct {
	r       io.Reader
	buf     []byte // a multiple of three, so that only the end is padded
	pending []byte
	err     error
}

func (e *encoder) Read(p []byte) (int, error) {
	for len(e.pending) == 0 {
		if e.err != nil {
			return 0, e.err
		}
		e.fill()
	}
	n := copy(p, e.pending)
	e.pending = e.pending[n:]
	return n, nil
}

func (e *encoder) fill() {
	n, err := io.ReadFull(e.r, e.buf)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	e.err = err
	if err == nil || err == io.EOF {
		e.pending = base64.StdEncoding.AppendEncode(nil, e.buf[:n])
	}
}
