package workspace

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"path"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// newStage names a directory that nobody knows and nothing is in.
func newStage() string { return "/tmp/.compute-workspace-" + rand.Text() }

func atOnce(n int) int {
	if n <= 0 {
		return 8
	}
	return n
}

// a sink takes files for the staging directory, one at a time.
type sink interface {
	// file writes one of size bytes, all of r.
	file(name string, mode fs.FileMode, mtime time.Time, size int64, r io.Reader) error

	// dir makes a directory, for the mode and for empty ones.
	dir(name string, mode fs.FileMode, mtime time.Time) error
}

// fill has f put files into the staging directory: as one archive where the
// provider takes them, else as so many files at once.
func fill(ctx context.Context, sb compute.Sandbox, stage string, atOnce int, f func(context.Context, sink) error) error {
	fsys := sb.Filesystem()
	if _, ok := compute.As[compute.Archiver](fsys); !ok {
		return fillFiles(ctx, fsys, stage, atOnce, f)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pr, pw := io.Pipe()
	var packing error
	var wg sync.WaitGroup
	wg.Go(func() {
		t := &tarSink{tar.NewWriter(pw)}
		packing = f(ctx, t)
		if packing == nil {
			packing = t.w.Close()
		}
		_ = pw.CloseWithError(packing) // it always succeeds
	})
	err := compute.WriteArchive(ctx, fsys, stage, pr)
	cancel()
	_ = pr.CloseWithError(errGone) // so that a failed one holds up nobody
	wg.Wait()
	if packing != nil && !errors.Is(packing, errGone) && !(err != nil && errors.Is(packing, context.Canceled)) {
		return packing
	}
	return err
}

// errGone is what packing hears when the other end has given up.
var errGone = errors.New("the archive is no longer read")

type tarSink struct{ w *tar.Writer }

func (t *tarSink) file(name string, mode fs.FileMode, mtime time.Time, size int64, r io.Reader) error {
	err := t.w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(mode.Perm()), Size: size,
		ModTime: mtime, Format: tar.FormatPAX})
	if err != nil {
		return err
	}
	return copyAll(t.w, r, size)
}

func (t *tarSink) dir(name string, mode fs.FileMode, mtime time.Time) error {
	return t.w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: int64(mode.Perm()),
		ModTime: mtime, Format: tar.FormatPAX})
}

// copyAll copies size bytes, and it is an error if there are fewer.
func copyAll(w io.Writer, r io.Reader, size int64) error {
	n, err := io.CopyN(w, r, size)
	if errors.Is(err, io.EOF) && n < size {
		return io.ErrUnexpectedEOF
	}
	return err
}

// smallFile is what is held in memory, so many times as files are written at
// once; larger ones are streams, one after the other.
const smallFile = 1 << 20

func fillFiles(ctx context.Context, fsys compute.Filesystem, stage string, atOnce int, f func(context.Context, sink) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	err := f(ctx, &fileSink{ctx: ctx, fsys: fsys, stage: stage, g: g})
	if failed := g.Wait(); failed != nil {
		return failed
	}
	return err
}

// fileSink is for filesystems without archives.
type fileSink struct {
	ctx   context.Context // of the whole
	fsys  compute.Filesystem
	stage string
	g     *errgroup.Group
}

func (s *fileSink) file(name string, mode fs.FileMode, _ time.Time, size int64, r io.Reader) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	full := path.Join(s.stage, name)
	if size <= smallFile {
		var buf bytes.Buffer
		if err := copyAll(&buf, r, size); err != nil {
			return err
		}
		s.g.Go(func() error { return s.fsys.WriteFile(s.ctx, full, buf.Bytes(), mode) })
		return nil
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	w, err := compute.CreateFile(ctx, s.fsys, full, mode)
	if err != nil {
		return err
	}
	if err := copyAll(w, r, size); err != nil {
		cancel() // so that Close leaves nothing
		_ = w.Close()
		return err
	}
	return w.Close()
}

func (s *fileSink) dir(name string, mode fs.FileMode, _ time.Time) error {
	return s.fsys.MkdirAll(s.ctx, path.Join(s.stage, name), mode)
}

// drop removes a staging directory, also after ctx has ended. What cannot be
// removed is named by the error.
func drop(ctx context.Context, op string, sb compute.Sandbox, stage string) error {
	ctx, cancel := providers.Cleanup(ctx)
	defer cancel()
	err := sb.Filesystem().RemoveAll(ctx, stage)
	if err == nil {
		return nil
	}
	// What root has made, the sandbox's user may not be able to remove.
	if res, rerr := sb.RunCommand(ctx, &compute.Command{Args: []string{"rm", "-rf", "--", stage}, User: "root"}); rerr == nil && res.Err() == nil {
		return nil
	}
	return &compute.Error{Op: op, ID: stage, Err: err}
}
