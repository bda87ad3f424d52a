package guest

import (
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// shield makes init untouchable for the commands: not dumpable, so that its
// memory and its /proc entries are closed, and deaf to signals.
//
// The kernel drops every signal to the init of a pid namespace that init does
// not handle. Go's runtime handles nearly all, and would end the process on
// many, so the handlers go. SIGURG stays: the runtime interrupts its own
// threads with it, and one too many does nothing.
func shield() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	for sig := 1; sig <= 64; sig++ {
		if unix.Signal(sig) == unix.SIGURG || unix.Signal(sig) == unix.SIGKILL || unix.Signal(sig) == unix.SIGSTOP {
			continue
		}
		if err := defaultAction(sig); err != nil {
			return err
		}
	}
	return dropStdio()
}

// defaultAction goes past os/signal, which would leave a handler in place.
func defaultAction(sig int) error {
	var action [4]uint64 // struct sigaction of the kernel: all zero is SIG_DFL
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("rt_sigaction", errno)
	}
	return nil
}

// dropStdio replaces the host's standard files by the sandbox's /dev/null.
func dropStdio() error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	for fd := range 3 {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return err
		}
	}
	return nil
}

// reserveThreads makes the runtime create threads now. A command that forks
// up to the limit of processes would otherwise keep the runtime from creating
// one later, which is fatal to it. Idle threads are kept for ever.
func reserveThreads(n int) {
	release := make(chan struct{})
	defer close(release)
	ready := make(chan struct{}, n)
	for range n {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready <- struct{}{}
			<-release
		}()
	}
	deadline := time.After(time.Second)
	for range n {
		select {
		case <-ready:
		case <-deadline:
			return
		}
	}
}
