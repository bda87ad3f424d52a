package compute

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/computekit/compute/internal/errnokind"
)

// buildContext unpacks the request's build context, from its body or from the
// field, into a directory of its own that cleanup removes. Without one, the
// files are nil.
func (x *exchange) buildContext() (files fs.FS, cleanup func(), err error) {
	var archive io.Reader
	switch {
	case x.body != nil:
		archive = x.body
	case x.behind != nil:
		archive = x.behind
	case len(x.req.Options.ContextTar) > 0:
		archive = bytes.NewReader(x.req.Options.ContextTar)
	default:
		return nil, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "compute-context-")
	if err != nil {
		return nil, nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) }
	root, err := os.OpenRoot(dir)
	if err != nil {
		remove()
		return nil, nil, err
	}
	cleanup = func() { _ = root.Close(); remove() }
	if err := unpack(root, archive, x.maxContext()); err != nil {
		cleanup()
		return nil, nil, err
	}
	return root.FS(), cleanup, nil
}

// maxContext is how many bytes the files of a build context may have together: a
// sparse file has more than are in the archive.
func (x *exchange) maxContext() int64 {
	if x.opts == nil {
		return math.MaxInt64
	}
	return x.opts.MaxUpload
}

// How long a name in a build context may be, in bytes, and of how many parts:
// to remove a directory takes an open file for each that it is in.
const (
	maxContextName  = 4096
	maxContextDepth = 100
)

// unpack is for directories and regular files; os.Root keeps hostile names in.
func unpack(root *os.Root, archive io.Reader, limit int64) error {
	for tr := tar.NewReader(archive); ; {
		hdr, err := tr.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, tar.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF):
			return badRequest("the build context is not a whole tar archive")
		case err != nil:
			return err
		}
		name := path.Clean(hdr.Name)
		if !fs.ValidPath(name) {
			return badRequest("the build context has a name that leads out of it")
		}
		if len(name) > maxContextName || strings.Count(name, "/") >= maxContextDepth {
			return badRequest("the build context has a name of more than %d bytes or %d parts", maxContextName, maxContextDepth)
		}
		if limit -= hdr.Size; limit < 0 {
			return &requestError{status: http.StatusRequestEntityTooLarge, code: "too_large", msg: "the build context is too large"}
		}
		if err := unpackOne(root, name, hdr, tr); err != nil {
			return misfit(name, err)
		}
	}
}

// misfit tells what is wrong with an archive from what is wrong with this server.
func misfit(name string, err error) error {
	if errnokind.Of(err, nil) != fs.ErrInvalid && !errors.Is(err, fs.ErrExist) { //nolint:errorlint // it is one of two
		return err
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		err = errno // without the directory here
	}
	return badRequest("the build context cannot be unpacked: %q: %v", name, err)
}

func unpackOne(root *os.Root, name string, hdr *tar.Header, r io.Reader) error {
	perm := fs.FileMode(hdr.Mode).Perm() //nolint:gosec // nine bits of it
	switch {
	case name == ".":
		return nil
	case hdr.Typeflag == tar.TypeDir:
		return root.MkdirAll(name, perm|0o700)
	case hdr.Typeflag != tar.TypeReg:
		return badRequest("the build context may hold only files and directories")
	}
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, perm|0o400)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
