package runloop

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// packScript makes an archive of a directory, $1, in the file $2. BusyBox's tar
// has one format only.
const packScript = `LC_ALL=C; export LC_ALL
cd -P -- "$1" 2>/dev/null || { if [ -e "$1" ] && ! [ -d "$1" ]; then echo "Not a directory" >&2; else ls -d -- "$1/." >/dev/null; fi; exit 1; }
umask 077
case $(tar --help 2>&1) in *--format*) f=--format=pax;; *) f=;; esac
tar -cf "$2" $f .`

// ReadArchive implements [compute.Archiver]: one command packs, into a file in
// /tmp, which is downloaded and removed.
func (f *files) ReadArchive(ctx context.Context, dir string, w io.Writer) error {
	full, err := explicit("archive", dir)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(ctx, f.s.p.timeouts.Download)
	defer cancel()
	beside := stateDir + "-tar-" + newID()
	defer func() {
		clean, cancel := f.s.p.cleanUp(ctx)
		defer cancel()
		_ = f.drop(clean, beside) // it is in /tmp
	}()
	res, err := f.s.RunCommand(ctx, compute.Exec("sh", "-c", packScript, "sh", full, beside))
	if err != nil {
		return err
	}
	if err := providers.FileError("archive", dir, res); err != nil {
		return err
	}
	body, err := f.s.p.client.Devboxes.DownloadFile(ctx, f.s.id, &runloopapi.DownloadFileParams{Path: beside})
	if err != nil {
		return f.s.wrap(ctx, "read archive", err)
	}
	defer body.Close()
	return f.copyArchive(w, &download{ctx: ctx, body: body, name: dir})
}

// copyArchive copies an archive, with names as the portable API has them: those
// of tar begin with a dot, and it packs the directory itself.
func (f *files) copyArchive(w io.Writer, r io.Reader) error {
	in, out := tar.NewReader(r), tar.NewWriter(w)
	for {
		hdr, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out.Close()
		}
		if err != nil {
			return err
		}
		hdr.Name = strings.TrimPrefix(hdr.Name, "./")
		if hdr.Typeflag == tar.TypeLink {
			hdr.Linkname = strings.TrimPrefix(hdr.Linkname, "./")
		}
		if hdr.Name == "" {
			continue
		}
		if err := out.WriteHeader(hdr); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil { //nolint:gosec // as much as is in the archive, through no memory
			return err
		}
	}
}

// unpackScript unpacks the archive $2 into the directory $1.
const unpackScript = `LC_ALL=C; export LC_ALL
mkdir -p -- "$1" && cd -P -- "$1" || exit 1
tar -xpf "$2" --no-same-owner; c=$?
rm -f -- "$2"
exit $c`

// WriteArchive implements [compute.Archiver]: what may be unpacked is uploaded to
// a file in /tmp, as it is read, and one command unpacks it.
func (f *files) WriteArchive(ctx context.Context, dir string, r io.Reader) error {
	full, err := explicit("archive", dir)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(ctx, f.s.p.timeouts.Upload)
	defer cancel()
	beside := stateDir + "-tar-" + newID()
	pr, pw := io.Pipe()
	sifted := make(chan error, 1)
	go func() {
		err := sift(pw, r)
		_ = pw.CloseWithError(ignoreStop(err)) // it always succeeds
		sifted <- err
	}()
	err = f.s.p.client.Devboxes.UploadFile(ctx, f.s.id, beside, pr)
	_ = pr.CloseWithError(errors.New("the upload is over")) // so that a failed one holds up nobody
	bad := <-sifted
	if err == nil {
		err = f.unpack(ctx, dir, full, beside)
	} else if _, stop := errors.AsType[*stopError](bad); bad == nil || stop {
		err = f.s.wrap(ctx, "write archive", err)
	} else {
		err = nil // it is bad that made it fail
	}
	if stop, ok := errors.AsType[*stopError](bad); ok {
		bad = stop.err
	}
	if err != nil || bad != nil {
		clean, cancel := f.s.p.cleanUp(ctx)
		defer cancel()
		_ = f.drop(clean, beside) // it is in /tmp
	}
	return errors.Join(bad, err)
}

func (f *files) unpack(ctx context.Context, dir, full, beside string) error {
	res, err := f.s.RunCommand(ctx, compute.Exec("sh", "-c", unpackScript, "sh", full, beside))
	if err != nil {
		return err
	}
	return providers.FileError("unpack", dir, res)
}

// stopError is about an entry that is refused: what came before it is unpacked.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }
func (e *stopError) Unwrap() error { return e.err }

func ignoreStop(err error) error {
	if _, ok := errors.AsType[*stopError](err); ok {
		return nil
	}
	return err
}

// sift copies an archive up to the first entry that must not be unpacked.
func sift(w io.Writer, r io.Reader) error {
	in, out := tar.NewReader(r), tar.NewWriter(w)
	for {
		hdr, err := in.Next()
		switch {
		case errors.Is(err, io.EOF):
			return out.Close()
		case err != nil:
			return fmt.Errorf("read the archive: %w", err)
		}
		if why := refusal(hdr); why != "" {
			if err := out.Close(); err != nil {
				return err
			}
			return &stopError{&fs.PathError{Op: "unpack", Path: hdr.Name, Err: fmt.Errorf("%w: %s", fs.ErrInvalid, why)}}
		}
		if path.Clean(hdr.Name) == "." {
			continue
		}
		if err := out.WriteHeader(hdr); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil { //nolint:gosec // as much as is in the archive, through no memory
			return err
		}
	}
}

// refusal says why an entry must not be unpacked; "" if it may.
func refusal(hdr *tar.Header) string {
	name := path.Clean(hdr.Name)
	if !fs.ValidPath(name) || slices.Contains(strings.Split(hdr.Name, "/"), "..") {
		return "the name leads elsewhere"
	}
	switch hdr.Typeflag {
	case tar.TypeReg, tar.TypeDir:
		return ""
	case tar.TypeLink:
		if !fs.ValidPath(path.Clean(hdr.Linkname)) || slices.Contains(strings.Split(hdr.Linkname, "/"), "..") {
			return "the link leads elsewhere"
		}
		return ""
	case tar.TypeSymlink:
		if target := path.Join(path.Dir(name), hdr.Linkname); path.IsAbs(hdr.Linkname) || target == ".." || strings.HasPrefix(target, "../") { //nolint:gosec // it is looked at, not opened
			return "the link leads elsewhere"
		}
		return ""
	}
	return "neither file, directory nor link"
}
