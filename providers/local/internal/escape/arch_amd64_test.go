//go:build linux

package escape

import (
	"runtime/debug"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

var archAttempts = []attempt{
	gone("kernel surface", "a call of the x32 interface", 0x40000000+unix.SYS_GETPID, none("few kernels have it")),
	{class: "kernel surface", name: "a call of the 32-bit interface (int 0x80)", by: bySeccomp, errnos: []syscall.Errno{unix.ENOSYS},
		control: same.to(nil, unix.ENOSYS, unix.EFAULT), alone: true, do: int80},
	call("kernel surface", "iopl", unix.SYS_IOPL, same.to(errDiffers)),
	call("kernel surface", "ioperm", unix.SYS_IOPERM, host.to(errDiffers), 0x80, 1, 1),
	call("kernel surface", "modify_ldt", unix.SYS_MODIFY_LDT, same),
	call("kernel surface", "sysfs", unix.SYS_SYSFS, same.to(errDiffers), 3),
	call("kernel surface", "ustat", unix.SYS_USTAT, same.to(errDiffers)),
}

// int80 calls the 32-bit getpid by code of its own. Where the kernel was started
// without that interface, the instruction itself is a fault.
func int80(*world) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = unix.ENOSYS
		}
	}()
	code := []byte{
		0xb8, 20, 0, 0, 0, // mov eax, 20
		0xcd, 0x80, // int 0x80
		0x48, 0x63, 0xc0, // movsxd rax, eax
		0xc3, // ret
	}
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		panic(err)
	}
	copy(page, code)
	if err := unix.Mprotect(page, unix.PROT_READ|unix.PROT_EXEC); err != nil {
		panic(err)
	}
	entry := &page[0]
	f := &entry // a function value is a pointer to a pointer to code
	n := (*(*func() int)(unsafe.Pointer(&f)))()
	if n < 0 {
		return syscall.Errno(-n)
	}
	return nil
}
