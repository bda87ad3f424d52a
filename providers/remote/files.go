package remote

import (
	"context"
	"io"
	"io/fs"
	"time"

	"github.com/computekit/compute"
)

// filesystem is the files of a sandbox.
type filesystem struct{ s *Sandbox }

// on begins an operation on a file.
func (f *filesystem) on(op, action, name string) call {
	req := f.s.request("filesystem." + action)
	req.Path = name
	return call{op: op, id: f.s.id, path: name, idempotent: true, req: req}
}

// do is an operation on a file that needs a name.
func (f *filesystem) do(ctx context.Context, do call) (*compute.Response, error) {
	if do.path == "" {
		return nil, invalidName(do)
	}
	return f.s.do(ctx, do)
}

func invalidName(do call) error { return &fs.PathError{Op: do.op, Path: do.path, Err: fs.ErrInvalid} }

// ReadFile implements [compute.Filesystem]. It reads what OpenFile streams.
func (f *filesystem) ReadFile(ctx context.Context, name string) (data []byte, err error) {
	do := f.on("read file", "download", name)
	if err := f.s.retry(ctx, do, func(ctx context.Context) error {
		r, err := f.download(ctx, do)
		if err != nil {
			return err
		}
		defer r.Close()
		data, err = io.ReadAll(r)
		return err
	}); err != nil {
		return nil, err
	}
	return data, nil
}

// WriteFile implements [compute.Filesystem].
func (f *filesystem) WriteFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error {
	do := f.on("write file", "upload", name)
	return f.s.retry(ctx, do, func(ctx context.Context) error { return f.upload(ctx, do, perm, data) })
}

// ReadDir implements [compute.Filesystem].
func (f *filesystem) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	resp, err := f.do(ctx, f.on("read dir", "readdir", name))
	if err != nil {
		return nil, err
	}
	infos := make([]fs.FileInfo, len(resp.Files))
	for i := range resp.Files {
		infos[i] = &fileInfo{&resp.Files[i]}
	}
	return infos, nil
}

// Stat implements [compute.Filesystem].
func (f *filesystem) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	do := f.on("stat", "stat", name)
	resp, err := f.do(ctx, do)
	if err != nil {
		return nil, err
	}
	if resp.File == nil {
		return nil, f.s.incomplete(do)
	}
	return &fileInfo{resp.File}, nil
}

// MkdirAll implements [compute.Filesystem].
func (f *filesystem) MkdirAll(ctx context.Context, name string, perm fs.FileMode) error {
	do := f.on("make dir", "mkdir", name)
	do.req.Mode = mode(perm)
	_, err := f.do(ctx, do)
	return err
}

// RemoveAll implements [compute.Filesystem].
func (f *filesystem) RemoveAll(ctx context.Context, name string) error {
	_, err := f.do(ctx, f.on("remove", "remove", name))
	return err
}

// Rename implements [compute.Renamer]. It is not tried again: the second time
// there would be nothing of the old name.
func (f filesystemAbilities) Rename(ctx context.Context, oldname, newname string) error {
	do := f.on("rename", "rename", oldname)
	do.req.NewPath, do.idempotent = newname, false
	if newname == "" {
		return invalidName(call{op: do.op})
	}
	_, err := f.do(ctx, do)
	return err
}

func mode(perm fs.FileMode) *compute.Mode { return new(compute.Mode(perm.Perm())) }

// fileInfo is a file on the wire as an [fs.FileInfo].
type fileInfo struct{ f *compute.ResponseFile }

func (i *fileInfo) Name() string       { return i.f.Name }
func (i *fileInfo) Size() int64        { return i.f.Size }
func (i *fileInfo) ModTime() time.Time { return i.f.Modified }
func (i *fileInfo) IsDir() bool        { return i.f.IsDirectory }
func (i *fileInfo) Sys() any           { return nil }

func (i *fileInfo) Mode() fs.FileMode {
	perm := fs.FileMode(i.f.Mode).Perm()
	switch {
	case i.f.IsDirectory:
		return perm | fs.ModeDir
	case i.f.Type == "symlink":
		return perm | fs.ModeSymlink
	case i.f.Type != "file":
		return perm | fs.ModeIrregular
	}
	return perm
}
