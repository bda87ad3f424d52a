package runlooptest

import (
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"os"

	"github.com/computekit/compute"
)

// upload is a file on its way from a multipart form into a devbox.
type upload struct {
	c    *call
	d    *devbox
	fsys compute.Filesystem

	name string // absolute; empty until it is known
	tmp  *os.File
	done bool
}

// part takes one part of the form.
func (u *upload) part(p *multipart.Part) error {
	switch p.FormName() {
	case "path":
		raw, err := io.ReadAll(io.LimitReader(p, maxPath+1))
		if err != nil {
			return err
		}
		if len(raw) > maxPath {
			return fail(http.StatusBadRequest, "path is longer than %d bytes", maxPath)
		}
		u.name, err = u.d.path(string(raw))
		return err
	case "file":
		if u.done || u.tmp != nil {
			return fail(http.StatusBadRequest, "the form has two files")
		}
		if u.name != "" {
			return u.write(p)
		}
		return u.keep(p)
	}
	return nil // is not known, and skipped by the next part
}

func (u *upload) write(r io.Reader) error {
	ctx, cancel := context.WithCancel(u.c.r.Context())
	defer cancel()
	u.done = true
	return writeStream(ctx, u.fsys, u.name, 0o644, r)
}

// keep puts a file aside whose name is not known yet.
func (u *upload) keep(r io.Reader) (err error) {
	if u.tmp, err = scratch(); err != nil {
		return err
	}
	_, err = io.Copy(u.tmp, r)
	return err
}

// finish writes a file that was put aside.
func (u *upload) finish() error {
	switch {
	case u.name == "":
		return fail(http.StatusBadRequest, "the form has no path")
	case u.done:
		return nil
	case u.tmp == nil:
		return fail(http.StatusBadRequest, "the form has no file")
	}
	if _, err := u.tmp.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return u.write(u.tmp)
}

func (u *upload) close() {
	if u.tmp != nil {
		dropScratch(u.tmp)
	}
}
