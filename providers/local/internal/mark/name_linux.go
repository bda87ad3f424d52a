package mark

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Name gives this thread, and so those that it makes, the first 15 bytes of a name
// to be listed by. The kernel's own is that of the file that was executed, which
// may be the number of a descriptor.
func Name(name string) {
	if p, err := unix.BytePtrFromString(name); err == nil {
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(p)), 0, 0, 0) // it is for people
	}
}
