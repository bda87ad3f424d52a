package workspace

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"
)

// A Compression is how an archive is compressed. Empty is not at all.
type Compression string

// The compressions of archives. [Hydrate] and [Archive] tell by themselves.
const (
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
)

// compress returns a writer to w that is to be closed, which leaves w open.
func (c Compression) compress(w io.Writer) (io.WriteCloser, error) {
	switch c {
	case "":
		return plain{w}, nil
	case Gzip:
		return gzip.NewWriter(w), nil
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) // without goroutines
	}
	return nil, fmt.Errorf("%w: compression %q is unknown: there are gzip and zstd", fs.ErrInvalid, string(c))
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// maxWindow bounds the memory that reading an archive by zstd takes: what its
// program takes without being told to take more.
const maxWindow = 128 << 20

// untar returns a reader of an archive that may be compressed.
func untar(r io.Reader) (*tar.Reader, error) {
	buf := bufio.NewReader(r)
	head, err := buf.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buf)
		if err != nil {
			return nil, fmt.Errorf("read the archive: %w", err)
		}
		return tar.NewReader(z), nil
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		src := &watched{r: buf}
		// One at a time is without goroutines, so nothing has to be closed.
		z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("read the archive: %w", err)
		}
		return tar.NewReader(&unzstd{z, src}), nil
	}
	return tar.NewReader(buf), nil
}

// unzstd tells an archive that is damaged from one that cannot be read.
type unzstd struct {
	z   io.Reader
	src *watched
}

func (u *unzstd) Read(p []byte) (int, error) {
	n, err := u.z.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && u.src.err == nil {
		err = fmt.Errorf("%w: zstd: %w", fs.ErrInvalid, err)
	}
	return n, err
}

// watched remembers the error of its reader.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
