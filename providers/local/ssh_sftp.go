package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"

	"github.com/pkg/sftp"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// prepareSFTP makes the session one that serves files. Where there is no
// isolation, this machine's files are not for it.
func (x *sshSession) prepareSFTP() bool {
	if _, ok := x.s.run.Load().machine.(box); !ok {
		return false
	}
	x.run = func(ctx context.Context) {
		defer x.ch.Close()
		h := &sftpFiles{s: x.s, ctx: ctx}
		srv := sftp.NewRequestServer(x.ch, sftp.Handlers{FileGet: h, FilePut: h, FileCmd: h, FileList: h},
			sftp.WithStartDirectory(workdir))
		if err := srv.Serve(); err == nil || errors.Is(err, io.EOF) {
			_, _ = x.ch.SendRequest("exit-status", false, make([]byte, 4))
		}
		_ = srv.Close()
	}
	return true
}

// sftpFiles serves the files of a sandbox as its file API does: as root of the
// sandbox. A file that is written is replaced when it is closed.
type sftpFiles struct {
	s   *Sandbox
	ctx context.Context
}

// do runs one operation in the sandbox.
func (f *sftpFiles) do(op func(b box) error) error {
	return f.s.with(f.ctx, "sftp", func(m machine) error {
		b, ok := m.(box)
		if !ok {
			return sftp.ErrSSHFxOpUnsupported
		}
		return op(b)
	})
}

// Fileread implements [sftp.FileReader].
func (f *sftpFiles) Fileread(r *sftp.Request) (at io.ReaderAt, err error) {
	err = f.do(func(b box) error {
		file, _, err := b.Box.OpenFile(f.ctx, r.Filepath)
		at = file
		return err
	})
	if err != nil {
		return nil, err
	}
	return at, nil
}

// Filewrite implements [sftp.FileWriter].
func (f *sftpFiles) Filewrite(r *sftp.Request) (at io.WriterAt, err error) {
	flags := r.Pflags()
	err = f.do(func(b box) error {
		old, err := b.Stat(f.ctx, r.Filepath)
		exists := err == nil
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		case exists && flags.Excl:
			return &fs.PathError{Op: "create", Path: r.Filepath, Err: fs.ErrExist}
		case !exists && !flags.Creat:
			return err
		}
		w, err := b.Box.Create(f.ctx, r.Filepath, newMode(r, old, exists))
		if err != nil {
			return err
		}
		if exists && !flags.Trunc {
			if err := fill(f.ctx, b, w, r.Filepath); err != nil {
				return errors.Join(err, w.Close())
			}
		}
		at = &sftpWriter{w: w}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return at, nil
}

// newMode is the mode of a file that is written.
func newMode(r *sftp.Request, old engine.Entry, exists bool) fs.FileMode {
	switch {
	case exists:
		return old.Mode.Perm()
	case r.AttrFlags().Permissions:
		return r.Attributes().FileMode().Perm()
	}
	return 0o644
}

// fill begins a new file with what the old one holds.
func fill(ctx context.Context, b box, w *engine.FileWriter, name string) error {
	old, _, err := b.OpenFile(ctx, name)
	if err != nil {
		return err
	}
	defer old.Close()
	_, err = io.Copy(w, &streamReader{ctx: ctx, r: old})
	return err
}

// sftpWriter replaces a file when it is closed, unless the transfer failed.
type sftpWriter struct {
	w      *engine.FileWriter
	mu     sync.Mutex
	failed bool
}

func (w *sftpWriter) WriteAt(p []byte, offset int64) (int, error) {
	n, err := w.w.WriteAt(p, offset)
	if err != nil {
		w.TransferError(err)
	}
	return n, err
}

// TransferError implements [sftp.TransferError].
func (w *sftpWriter) TransferError(error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = true
}

func (w *sftpWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed {
		return w.w.Close()
	}
	return w.w.Commit()
}

// Filecmd implements [sftp.FileCmder].
func (f *sftpFiles) Filecmd(r *sftp.Request) error {
	switch r.Method {
	case "Setstat":
		return f.setstat(r)
	case "Rename": // which does not replace, says the protocol
		if err := f.absent(r.Target); err != nil {
			return err
		}
		return f.PosixRename(r)
	case "Mkdir":
		if err := f.absent(r.Filepath); err != nil {
			return err
		}
		return f.do(func(b box) error { return b.MkdirAll(f.ctx, r.Filepath, 0o755) })
	case "Rmdir":
		return f.program("rmdir", "--", r.Filepath)
	case "Remove":
		return f.program("unlink", "--", r.Filepath)
	case "Symlink": // the library has the names the other way round than ln
		return f.program("ln", "-snT", "--", r.Filepath, r.Target)
	case "Link":
		return f.program("ln", "-T", "--", r.Filepath, r.Target)
	}
	return sftp.ErrSSHFxOpUnsupported
}

// PosixRename implements [sftp.PosixRenameFileCmder].
func (f *sftpFiles) PosixRename(r *sftp.Request) error {
	return f.do(func(b box) error { return b.Rename(f.ctx, r.Filepath, r.Target) })
}

func (f *sftpFiles) absent(name string) error {
	err := f.do(func(b box) error { _, err := b.Lstat(f.ctx, name); return err })
	switch {
	case err == nil:
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

func (f *sftpFiles) setstat(r *sftp.Request) error {
	flags, attr := r.AttrFlags(), r.Attributes()
	var errs []error
	if flags.Size {
		errs = append(errs, f.program("truncate", "-cs", strconv.FormatUint(attr.Size, 10), "--", r.Filepath))
	}
	if flags.UidGid {
		errs = append(errs, f.program("chown", fmt.Sprintf("%d:%d", attr.UID, attr.GID), "--", r.Filepath))
	}
	if flags.Permissions {
		errs = append(errs, f.program("chmod", strconv.FormatUint(uint64(attr.Mode&0o7777), 8), "--", r.Filepath))
	}
	if flags.Acmodtime {
		errs = append(errs, f.program("touch", "-cmd", "@"+strconv.FormatUint(uint64(attr.Mtime), 10), "--", r.Filepath))
	}
	return errors.Join(errs...)
}

// program runs a program of the sandbox, for what its init does not do.
func (f *sftpFiles) program(args ...string) error {
	var stderr bytes.Buffer
	c := f.s.command(&compute.Command{Args: args, User: "0"})
	c.Stderr = &firstBytes{&stderr}
	var exit engine.Exit
	err := f.do(func(b box) (err error) { exit, err = b.Exec(f.ctx, c); return err })
	switch text := strings.TrimSpace(stderr.String()); {
	case err != nil:
		return err
	case exit.Code == 0:
		return nil
	case strings.HasSuffix(text, "No such file or directory"):
		return sftp.ErrSSHFxNoSuchFile
	default:
		return errors.New(text)
	}
}

// firstBytes keeps the first of what is written.
type firstBytes struct{ buf *bytes.Buffer }

func (f *firstBytes) Write(p []byte) (int, error) {
	const most = 1 << 10
	f.buf.Write(p[:min(len(p), max(0, most-f.buf.Len()))])
	return len(p), nil
}
