// Package errnokind says what the system's errors about files come to, for which
// package io/fs has no words.
package errnokind

import (
	"errors"
	"io/fs"
	"syscall"
)

var kinds = []struct {
	errno syscall.Errno
	kind  error // nil is that something is busy
}{
	{syscall.EINVAL, fs.ErrInvalid}, // a name is used for what it is not
	{syscall.EISDIR, fs.ErrInvalid},
	{syscall.ENOTDIR, fs.ErrInvalid},
	{syscall.ELOOP, fs.ErrInvalid},
	{syscall.ENAMETOOLONG, fs.ErrInvalid},
	{syscall.EXDEV, fs.ErrInvalid},
	{syscall.EROFS, fs.ErrPermission},
	{syscall.EBUSY, nil},
	{syscall.ETXTBSY, nil},
}

// Of returns the kind of an error: [fs.ErrInvalid] or [fs.ErrPermission]; busy
// where something is in use; and nil where package io/fs knows it, or nobody.
func Of(err, busy error) error {
	for _, k := range kinds {
		switch {
		case !errors.Is(err, k.errno):
		case k.kind == nil:
			return busy
		default:
			return k.kind
		}
	}
	return nil
}
