package tree

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Who made a tree chooses how long the names in it are, and how many files have
// several. What must be kept of them has a bound, in bytes.
const (
	maxLinkNames = 128 << 20
	maxHeldNames = 256 << 20
)

// firstNames are where files of several names were first met.
type firstNames struct {
	names map[inode]string
	size  int
}

type inode struct{ dev, ino uint64 }

func (f *firstNames) add(id inode, name string) error {
	if f.size += len(name); f.size > maxLinkNames {
		return fmt.Errorf("too many files have several names: %w", unix.E2BIG)
	}
	f.names[id] = name
	return nil
}

// heldNames counts the bytes of the names in directories that are being read.
type heldNames int

// read returns the names in a directory, and, in any case, a function that lets
// go of them. A directory that is gone has none.
func (h *heldNames) read(dir int, name string) (names []string, free func(), err error) {
	const overhead = 16
	size := heldNames(0)
	free = func() { *h -= size }
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, free, pathError("open", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	for {
		more, err := f.Readdirnames(10_000)
		if errors.Is(err, io.EOF) {
			return names, free, nil
		}
		for _, n := range more {
			size += heldNames(len(n) + overhead)
			*h += heldNames(len(n) + overhead)
		}
		if err == nil && *h > maxHeldNames {
			err = fmt.Errorf("directories with too many names: %w", unix.E2BIG)
		}
		if err != nil {
			return nil, free, err
		}
		names = append(names, more...)
	}
}

// linkAt makes another name of a file below root, whose first name may be longer
// than the kernel takes at once.
func linkAt(root int, first string, dst int, name string) error {
	from := root
	if d := path.Dir(first); d != "." {
		fd, err := openBelow(root, d, unix.O_PATH)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		from = fd
	}
	return unix.Linkat(from, path.Base(first), dst, name, 0)
}
