package local

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/pkg/sftp"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// Filelist implements [sftp.FileLister].
func (f *sftpFiles) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	switch r.Method {
	case "List":
		return f.list(r.Filepath)
	case "Stat":
		return f.one(r.Filepath, func(b box) (engine.Entry, error) { return b.Stat(f.ctx, r.Filepath) })
	}
	return nil, sftp.ErrSSHFxOpUnsupported
}

// Lstat implements [sftp.LstatFileLister].
func (f *sftpFiles) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	return f.one(r.Filepath, func(b box) (engine.Entry, error) { return b.Lstat(f.ctx, r.Filepath) })
}

// Readlink implements [sftp.ReadlinkFileLister].
func (f *sftpFiles) Readlink(name string) (string, error) {
	l, err := f.one(name, func(b box) (engine.Entry, error) { return b.Lstat(f.ctx, name) })
	if err != nil {
		return "", err
	}
	if l[0].(sftpInfo).Link == "" {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return l[0].(sftpInfo).Link, nil
}

func (f *sftpFiles) one(name string, look func(b box) (engine.Entry, error)) (listing, error) {
	var e engine.Entry
	err := f.do(func(b box) (err error) { e, err = look(b); return err })
	e.Name = path.Base(name)
	return listing{sftpInfo{e}}, err
}

// maxListing bounds what is kept of a directory: a sandbox can make it as
// large as it likes.
const maxListing = 1 << 20

func (f *sftpFiles) list(name string) (l listing, err error) {
	err = f.do(func(b box) error {
		l = nil
		for e, err := range b.ReadDir(f.ctx, name) {
			if err != nil {
				return err
			}
			if len(l) == maxListing {
				return errors.New("the directory is too large to be listed")
			}
			l = append(l, sftpInfo{e})
		}
		return nil
	})
	return l, err
}

type listing []os.FileInfo

// ListAt implements [sftp.ListerAt].
func (l listing) ListAt(to []os.FileInfo, offset int64) (int, error) {
	if offset >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[offset:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}

// sftpInfo makes an entry what the library wants.
type sftpInfo struct{ engine.Entry }

func (i sftpInfo) Name() string       { return i.Entry.Name }
func (i sftpInfo) Size() int64        { return i.Entry.Size }
func (i sftpInfo) Mode() fs.FileMode  { return i.Entry.Mode }
func (i sftpInfo) ModTime() time.Time { return i.Entry.ModTime }
func (i sftpInfo) IsDir() bool        { return i.Entry.Mode.IsDir() }
func (i sftpInfo) Sys() any           { return nil }
func (i sftpInfo) Uid() uint32        { return uint32(i.UID) } //nolint:gosec // as the kernel has it
func (i sftpInfo) Gid() uint32        { return uint32(i.GID) } //nolint:gosec // as above
