package runlooptest

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// maxContext bounds the files of a build, in bytes.
const maxContext = 4 << 30

// contextDir is a directory of this machine that holds the files of a build.
type contextDir struct {
	*os.Root
}

func (d contextDir) remove() {
	name := d.Name()
	_ = d.Close()
	_ = os.RemoveAll(name) // it is a temporary one
}

// unpackContext unpacks an archive into a temporary directory. Nothing in it gets
// out of there, whatever its names and links say.
func unpackContext(ctx context.Context, obj *objectContent) (contextDir, error) {
	var r io.Reader = obj
	if obj.Type == runloopapi.ContentTgz || obj.Type == runloopapi.ContentGzip || obj.Type == runloopapi.ContentUnspecified {
		z, err := gzip.NewReader(obj)
		if err != nil {
			return contextDir{}, fail(400, "the build context is no gzip archive: %v", err)
		}
		r = z
	}
	name, err := os.MkdirTemp("", "runloop-emulator-*")
	if err != nil {
		return contextDir{}, err
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return contextDir{}, errors.Join(err, os.RemoveAll(name))
	}
	dir := contextDir{root}
	if err := untar(ctx, root, &boundedReader{r, maxContext}); err != nil {
		dir.remove()
		return contextDir{}, fmt.Errorf("build context: %w", err)
	}
	return dir, nil
}

func untar(ctx context.Context, root *os.Root, r io.Reader) error {
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := unpackEntry(root, h, archive); err != nil {
			return err
		}
	}
}

func unpackEntry(root *os.Root, h *tar.Header, r io.Reader) error {
	name := path.Clean(h.Name)
	perm := fs.FileMode(h.Mode) & 0o777 //nolint:gosec // of twelve bits
	if name == "." {
		return nil
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, perm|0o700)
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, name)
	case tar.TypeReg:
		f, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, perm|0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	}
	return fmt.Errorf("%q is neither a file nor a directory nor a link", h.Name)
}
