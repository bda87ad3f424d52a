package local

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/errnokind"
)

// fileReason makes an error about a file match the kind that it is of.
func fileReason(err error) error {
	if kind := errnokind.Of(err, compute.ErrConflict); kind != nil {
		return reason{err, kind}
	}
	return err
}

// fileReason also knows the sandbox's own limits: a disk that is full for every
// sandbox is another matter.
func (s *Sandbox) fileReason(err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return fileReason(err)
	}
	if m, lerr := s.p.load("get sandbox", s.id); lerr != nil || m.Limits.Disk+m.Limits.Files == 0 {
		return err
	}
	return reason{err, compute.ErrLimit}
}

// reason is an error of the system's and the kind that it is of.
type reason struct{ err, kind error }

func (r reason) Error() string        { return r.err.Error() }
func (r reason) Unwrap() error        { return r.err }
func (r reason) Is(target error) bool { return target == r.kind }

// dirError is that of a directory in which no command can be run.
func dirError(dir string, err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		err = errno
	}
	for _, known := range []error{fs.ErrNotExist, fs.ErrPermission} {
		if errors.Is(err, known) {
			return &fs.PathError{Op: "chdir", Path: dir, Err: known}
		}
	}
	return &fs.PathError{Op: "chdir", Path: dir, Err: fileReason(err)}
}
