package guest

import (
	"os"
	"os/signal"
	"unsafe"

	"golang.org/x/sys/unix"
)

// untouched are the signals whose disposition stays: the first two cannot be
// changed, the runtime interrupts its own threads with SIGURG, to which one
// too many does nothing, and the default of the others is harmless to init.
var untouched = map[unix.Signal]bool{
	unix.SIGKILL: true, unix.SIGSTOP: true, unix.SIGURG: true,
	unix.SIGCONT: true, unix.SIGTSTP: true, unix.SIGTTIN: true, unix.SIGTTOU: true,
}

// shield makes init untouchable for the commands: not dumpable, so that its
// memory and its /proc entries are closed, and deaf to signals.
//
// Go's runtime handles nearly all signals, and ends the process on many of
// them. The kernel promises to drop what the init of a pid namespace leaves
// at its default, but that is not enough: if the main thread happens to block
// a signal, as the runtime does around fork and clone, the kernel keeps it,
// gives it to another thread, and that one dies of it with all the process.
// So they are ignored, which holds in that case too. Commands do not inherit
// that, since the runtime resets what it knows it once handled: with the first
// line also what the host's program ignores, as one does that nohup has started.
func shield() error {
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	for sig := unix.Signal(1); sig <= 64; sig++ {
		if untouched[sig] {
			continue
		}
		if err := dispose(sig); err != nil {
			return err
		}
	}
	return dropStdio()
}

// dispose has a signal do nothing. It goes past os/signal, which knows only
// some signals and would have commands inherit the disposition.
func dispose(sig unix.Signal) error {
	action := [4]uint64{1} // struct sigaction of the kernel, SIG_IGN
	if sig == unix.SIGCHLD {
		// Ignored in so many words, children would leave nothing to wait for.
		// Its default does nothing either, and wakes no thread to do it.
		action[0] = 0
	}
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
