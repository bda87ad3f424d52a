package guest

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// maxEntries bounds an archive that comes in: names cost inodes, whatever
// the size of the files.
const maxEntries = 1 << 20

// tarOut streams a tree as an archive of data frames, and then the outcome.
func (s *server) tarOut(c wire.Conn, r *wire.Request) {
	_, err := block(func() (struct{}, error) { return struct{}{}, s.root.pack(r.Path, asideWriter{frameWriter{c}}) })
	_ = c.Send(&wire.Reply{Done: true, Fault: fault(err)})
}

type frameWriter struct{ conn wire.Conn }

func (w frameWriter) Write(p []byte) (int, error) {
	return len(p), w.conn.WriteFrame(wire.KindData, p)
}

func (r *root) pack(name string, w io.Writer) error {
	dir, err := r.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	buf := bufio.NewWriterSize(w, wire.MaxChunk/2)
	tw := tar.NewWriter(buf)
	if err := packDir(tw, dir, ""); err != nil {
		return err
	}
	if err := tw.Close(); err != nil {
		return err
	}
	return buf.Flush()
}

// maxName bounds the names in an archive that goes out, and so how deep a tree
// can be in it. It is more than a path can have.
const maxName = 16 << 10

func packDir(tw *tar.Writer, dir *os.File, prefix string) error {
	if len(prefix) > maxName {
		return fmt.Errorf("directories are nested too deep for an archive: %w", unix.ENAMETOOLONG)
	}
	names, err := namesIn(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		e, err := entryOf(int(dir.Fd()), name)
		if err == nil {
			err = packEntry(tw, dir, e, prefix+name)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) { // what is gone since is left out
			return err
		}
	}
	return nil
}

func packEntry(tw *tar.Writer, dir *os.File, e wire.Entry, name string) error {
	h := &tar.Header{
		Name: name, Mode: int64(e.Mode & 0o7777), Uid: int(e.UID), Gid: int(e.GID),
		ModTime: time.Unix(0, e.MTime), Format: tar.FormatPAX,
	}
	switch e.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return packSub(tw, dir, e, h)
	case unix.S_IFLNK:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Link
		return tw.WriteHeader(h)
	case unix.S_IFREG:
		return packFile(tw, dir, e, h)
	}
	return nil
}

func packSub(tw *tar.Writer, dir *os.File, e wire.Entry, h *tar.Header) error {
	fd, err := unix.Openat(int(dir.Fd()), e.Name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	sub := os.NewFile(uintptr(fd), e.Name)
	defer sub.Close()
	h.Typeflag = tar.TypeDir
	h.Name += "/"
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	return packDir(tw, sub, h.Name)
}

// packFile writes as many bytes as the file had when it was opened: one that
// grows meanwhile is cut, one that shrinks is filled up with zeros.
func packFile(tw *tar.Writer, dir *os.File, e wire.Entry, h *tar.Header) error {
	fd, err := unix.Openat(int(dir.Fd()), e.Name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), e.Name)
	defer f.Close()
	if err := requireRegular(fd); err != nil {
		return unix.ENOENT
	}
	h.Typeflag, h.Size = tar.TypeReg, e.Size
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(tw, io.LimitReader(f, e.Size))
	if err == nil && n < e.Size {
		_, err = io.CopyN(tw, zeros{}, e.Size-n)
	}
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
