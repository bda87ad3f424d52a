package runlooptest

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// maxUnpacked bounds what an archive may become, in bytes.
const maxUnpacked = 16 << 30

// mount carries out the mounts of a devbox, except for code, which the backend
// does.
func (e *Emulator) mount(ctx context.Context, d *devbox, sb compute.Sandbox) error {
	for name, content := range d.params.FileMounts {
		if err := e.mountFile(ctx, d, sb, name, content); err != nil {
			return err
		}
	}
	for _, m := range d.params.Mounts {
		var err error
		switch {
		case m.File != nil:
			err = e.mountFile(ctx, d, sb, m.File.Target, m.File.Content)
		case m.Object != nil:
			err = e.mountObject(ctx, d, sb, m.Object)
		case m.Agent != nil:
			err = e.hooks.mountAgent(ctx, d, sb, m.Agent)
		case m.Broker != nil:
			err = e.hooks.mountBroker(ctx, d, sb, m.Broker)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.Type(), err)
		}
	}
	return nil
}

func (e *Emulator) mountFile(ctx context.Context, d *devbox, sb compute.Sandbox, name, content string) error {
	name, err := d.path(name)
	if err != nil {
		return err
	}
	if err := sb.Filesystem().WriteFile(ctx, name, []byte(content), 0o644); err != nil {
		return fmt.Errorf("file mount: %w", err)
	}
	return e.own(ctx, d, sb, name)
}

// own gives a file to the devbox's user, if there is one.
func (e *Emulator) own(ctx context.Context, d *devbox, sb compute.Sandbox, name string) error {
	if d.user == "" {
		return nil
	}
	cmd := compute.Exec("chown", "-R", "--", d.user, name)
	cmd.User = "root"
	_, err := compute.Output(ctx, sb, cmd)
	return err
}

// mountObject writes an object at its path; an archive is unpacked there.
func (e *Emulator) mountObject(ctx context.Context, d *devbox, sb compute.Sandbox, m *runloopapi.ObjectMount) error {
	name, err := d.path(m.Path)
	if err != nil {
		return err
	}
	obj, err := e.hooks.object(m.ObjectID)
	if err != nil {
		return err
	}
	defer obj.Close()
	if err := unpack(ctx, sb.Filesystem(), name, obj); err != nil {
		return err
	}
	return e.own(ctx, d, sb, name)
}

func unpack(ctx context.Context, fsys compute.Filesystem, name string, obj *objectContent) error {
	switch obj.Type {
	case runloopapi.ContentTar:
		return compute.WriteArchive(ctx, fsys, name, obj)
	case runloopapi.ContentTgz, runloopapi.ContentGzip:
		z, err := gzip.NewReader(obj)
		if err != nil {
			return fail(http.StatusBadRequest, "the object is no gzip archive: %v", err)
		}
		r := &boundedReader{z, maxUnpacked}
		if obj.Type == runloopapi.ContentTgz {
			return compute.WriteArchive(ctx, fsys, name, r)
		}
		inner := strings.TrimSuffix(path.Base("/"+obj.Name), ".gz")
		return writeStream(ctx, fsys, path.Join(name, inner), 0o644, r)
	}
	return writeStream(ctx, fsys, name, 0o644, obj)
}

// writeStream writes a file, which is there as a whole or not at all.
func writeStream(ctx context.Context, fsys compute.Filesystem, name string, perm fs.FileMode, r io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := compute.CreateFile(ctx, fsys, name, perm)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		cancel() // gives the file up
		_ = w.Close()
		return err
	}
	return w.Close()
}

// boundedReader fails, and does not end, after so many bytes.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fail(http.StatusRequestEntityTooLarge, "the archive unpacks to more than %d bytes", int64(maxUnpacked))
	}
	return n, err
}
