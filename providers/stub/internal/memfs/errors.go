package memfs

import "io/fs"

// reason is why an operation failed, in the words of POSIX, and the io/fs
// error that it matches.
type reason struct {
	text string
	is   error
}

func (r *reason) Error() string        { return r.text }
func (r *reason) Is(target error) bool { return r.is != nil && target == r.is }

// The reasons that a *fs.PathError of this package carries.
var (
	ErrNotExist   error = &reason{"no such file or directory", fs.ErrNotExist}
	ErrExist      error = &reason{"file exists", fs.ErrExist}
	ErrPermission error = &reason{"permission denied", fs.ErrPermission}
	ErrInvalid    error = &reason{"invalid argument", fs.ErrInvalid}
	ErrIsDir      error = &reason{"is a directory", fs.ErrInvalid}
	ErrNotDir     error = &reason{"not a directory", fs.ErrInvalid}
	ErrNotEmpty   error = &reason{"directory not empty", fs.ErrExist}
	ErrLoop       error = &reason{"too many levels of symbolic links", fs.ErrInvalid}
	ErrNameLong   error = &reason{"file name too long", fs.ErrInvalid}
	ErrBadHandle  error = &reason{"bad file descriptor", nil}
	ErrNoSpace    error = &reason{"no space left on device", nil}
	ErrReadOnly   error = &reason{"read-only file system", fs.ErrPermission}
	ErrBusy       error = &reason{"device or resource busy", nil}
	ErrCrossMount error = &reason{"invalid cross-device link", nil}
)

func fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}
