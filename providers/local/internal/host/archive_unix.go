//go:build unix

package host

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// TarOut writes an archive of what is in a directory. Links are archived as
// links; sockets, FIFOs and devices are left out.
func (m *Machine) TarOut(ctx context.Context, name string, w io.Writer) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	root, err := openRoot(m.resolve(name))
	if err != nil {
		return pathError("archive", name, err)
	}
	defer root.Close()
	out := &ctxWriter{ctx: ctx, w: w}
	if err := pack(root, out); out.err != nil {
		return out.err
	} else if err != nil {
		return pathError("archive", name, err)
	}
	return nil
}

// openRoot opens a directory, and waits for nothing if it is a FIFO.
func openRoot(dir string) (*os.Root, error) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = unix.ENOTDIR
	}
	if err != nil {
		return nil, err
	}
	return os.OpenRoot(dir)
}

// ctxWriter fails when ctx has ended, and remembers how it failed.
type ctxWriter struct {
	ctx context.Context
	w   io.Writer
	err error
}

func (w *ctxWriter) Write(p []byte) (n int, err error) {
	if w.err == nil && w.ctx.Err() != nil {
		w.err = context.Cause(w.ctx)
	}
	if w.err == nil {
		n, w.err = w.w.Write(p)
	}
	return n, w.err
}

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r ctxReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

func pack(root *os.Root, w io.Writer) error {
	buf := bufio.NewWriterSize(w, 128<<10)
	tw := tar.NewWriter(buf)
	if err := packDir(tw, root, "."); err != nil {
		return err
	}
	if err := tw.Close(); err != nil {
		return err
	}
	return buf.Flush()
}

func packDir(tw *tar.Writer, root *os.Root, dir string) error {
	entries, err := fs.ReadDir(root.FS(), dir)
	if err != nil {
		return err
	}
	for _, d := range entries {
		err := packEntry(tw, root, path.Join(dir, d.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // what is gone since is left out
			return err
		}
	}
	return nil
}

func packEntry(tw *tar.Writer, root *os.Root, name string) error {
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		h, err := header(info, name+"/", "")
		if err == nil {
			err = tw.WriteHeader(h)
		}
		if err != nil {
			return err
		}
		return packDir(tw, root, name)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := root.Readlink(name)
		if err != nil {
			return err
		}
		h, err := header(info, name, target)
		if err != nil {
			return err
		}
		return tw.WriteHeader(h)
	case info.Mode().IsRegular():
		return packFile(tw, root, name)
	}
	return nil
}

// header describes a file without the names of users: they are this machine's.
func header(info fs.FileInfo, name, target string) (*tar.Header, error) {
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return nil, err
	}
	h.Name, h.Format, h.Uname, h.Gname = name, tar.FormatPAX, "", ""
	return h, nil
}

// packFile writes as many bytes as the file had when it was opened: one that
// grows meanwhile is cut, one that shrinks is filled up with zeros.
func packFile(tw *tar.Writer, root *os.Root, name string) error {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err // it has been replaced
	}
	h, err := header(info, name, "")
	if err != nil {
		return err
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(tw, io.LimitReader(f, h.Size))
	if err == nil && n < h.Size {
		_, err = io.CopyN(tw, zeros{}, h.Size-n)
	}
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
