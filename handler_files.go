package compute

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

func readFile(ctx context.Context, x *exchange, sb Sandbox) error {
	data, err := readBounded(ctx, sb.Filesystem(), x.req.Path)
	if err != nil {
		return err
	}
	x.resp.FileContent = &data
	x.resp.FileContentBase64 = unlessText(data)
	return nil
}

// readBounded reads a file that a response can hold: a sandbox must not be able
// to fill the server's memory.
func readBounded(ctx context.Context, fsys Filesystem, name string) (string, error) {
	if _, streams := As[FileOpener](fsys); !streams { // it would come whole
		if info, err := fsys.Stat(ctx, name); err != nil {
			return "", err
		} else if info.Size() > MaxCapture {
			return "", tooBig(name)
		}
	}
	r, err := OpenFile(ctx, fsys, name)
	if err != nil {
		return "", err
	}
	defer r.Close()
	var b strings.Builder
	n, err := io.Copy(&b, io.LimitReader(r, MaxCapture+1))
	if err == nil && n > MaxCapture {
		err = tooBig(name)
	}
	return b.String(), err
}

func tooBig(name string) error {
	return &fs.PathError{Op: "read", Path: name, Err: unsupported(fmt.Sprintf("read more than %d bytes at once", MaxCapture))}
}

func writeFile(ctx context.Context, x *exchange, sb Sandbox) error {
	data := x.req.ContentBase64
	if x.req.Content != nil {
		data = []byte(*x.req.Content)
	}
	return sb.Filesystem().WriteFile(ctx, x.req.Path, data, x.req.Mode.or(0o644))
}

func makeDir(ctx context.Context, x *exchange, sb Sandbox) error {
	return sb.Filesystem().MkdirAll(ctx, x.req.Path, x.req.Mode.or(0o755))
}

func removeFile(ctx context.Context, x *exchange, sb Sandbox) error {
	return sb.Filesystem().RemoveAll(ctx, x.req.Path)
}

func fileExists(ctx context.Context, x *exchange, sb Sandbox) error {
	ok, err := Exists(ctx, sb.Filesystem(), x.req.Path)
	if err == nil {
		x.resp.Exists = &ok
	}
	return err
}

func readDir(ctx context.Context, x *exchange, sb Sandbox) error {
	infos, err := sb.Filesystem().ReadDir(ctx, x.req.Path)
	if err != nil {
		return err
	}
	x.resp.Files = make([]ResponseFile, len(infos))
	for i, info := range infos {
		x.resp.Files[i] = responseFile(path.Join(x.req.Path, info.Name()), info)
	}
	return nil
}

func statFile(ctx context.Context, x *exchange, sb Sandbox) error {
	info, err := sb.Filesystem().Stat(ctx, x.req.Path)
	if err != nil {
		return err
	}
	x.resp.File = new(responseFile(x.req.Path, info))
	return nil
}

func renameFile(ctx context.Context, x *exchange, sb Sandbox) error {
	return Rename(ctx, sb.Filesystem(), x.req.Path, x.req.NewPath)
}

func replaceInFile(ctx context.Context, x *exchange, sb Sandbox) error {
	return Replace(ctx, sb.Filesystem(), x.req.Path, x.req.Old, x.req.New)
}

// watchFiles says "ready" once the watch is on.
func watchFiles(ctx context.Context, x *exchange, sb Sandbox) error {
	if x.events == nil {
		return errWantsEvents
	}
	events, err := WatchFiles(ctx, sb.Filesystem(), x.req.Path)
	if err != nil {
		return err
	}
	if err := x.events.numbered("ready", struct{}{}); err != nil {
		return err
	}
	return sendAll(x, "file", events)
}
