// Package quota makes file systems of a size of their own: ext4 in a sparse
// file, on a loop device. What is full there is full for whoever writes, and
// nothing else is.
//
// Nothing of it needs to be cleaned up after a program that was killed. A mount
// hangs on a file descriptor, or on the mount namespace it was moved to, and a
// loop device on its mounts: when the last is gone the kernel gives it back.
package quota

import "errors"

// An UnavailableError reports that this system lacks what such a file system
// needs. It matches errors.ErrUnsupported.
type UnavailableError struct {
	Facility string // what is missing, and how to get it
	Err      error
}

func (e *UnavailableError) Error() string {
	if e.Err == nil {
		return e.Facility
	}
	return e.Facility + ": " + e.Err.Error()
}

// Unwrap returns the system's refusal.
func (e *UnavailableError) Unwrap() error { return e.Err }

// Is reports a match with errors.ErrUnsupported.
func (e *UnavailableError) Is(target error) bool { return target == errors.ErrUnsupported }

// MinMiB and MaxMiB bound the size of a file system: ext4 needs some room for
// itself, and a file of the host has a greatest size.
const (
	MinMiB = 4
	MaxMiB = 8 << 20
)
