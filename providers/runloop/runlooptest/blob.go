package runlooptest

import (
	"bytes"
	"errors"
	"io"
	"os"
)

const (
	blobMemory = 1 << 20 // bytes that are kept in memory
	maxBlob    = 8 << 30 // bytes that are kept at all
)

// blob is bytes that are written once and read any number of times: in memory,
// and in a temporary file if they are many.
type blob struct {
	mem  []byte
	file string // its name; empty if all is in mem
	size int64
}

// newBlob reads r to its end. When that fails nothing is left.
func newBlob(r io.Reader) (*blob, error) {
	var head bytes.Buffer
	if _, err := io.CopyN(&head, r, blobMemory); errors.Is(err, io.EOF) {
		return &blob{mem: head.Bytes(), size: int64(head.Len())}, nil
	} else if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp("", "runloop-emulator-*")
	if err != nil {
		return nil, err
	}
	size, err := io.Copy(f, io.MultiReader(&head, r))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()))
	}
	return &blob{file: f.Name(), size: size}, nil
}

// open returns a reader, which works on when the blob is removed.
func (b *blob) open() (io.ReadSeekCloser, error) {
	if b.file == "" {
		return nopCloser{bytes.NewReader(b.mem)}, nil
	}
	return os.Open(b.file)
}

// remove gives up the file. It is idempotent, and a nil blob has none.
func (b *blob) remove() {
	if b != nil && b.file != "" {
		_ = os.Remove(b.file) // a temporary one
	}
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }
