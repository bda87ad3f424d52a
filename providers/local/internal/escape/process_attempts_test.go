//go:build linux && (amd64 || arm64)

package escape

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onTarget attempts a system call whose first argument is the process.
func onTarget(name string, nr uintptr, c control, args ...uintptr) attempt {
	return attempt{class: "processes", name: name, by: bySeccomp, errnos: eperm, control: c,
		do: func(w *world) error { return sys(nr, append([]uintptr{uintptr(w.target())}, args...)...) }}
}

var (
	lowest    = unix.Rlimit{Cur: 3, Max: 3}
	idleClass = struct{ priority int32 }{}
	schedAttr = unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
)

const (
	ioprioProcess = 1
	ioprioIdle    = 3 << 13
)

var processAttempts = []attempt{
	{class: "processes", name: "trace init", by: bySeccomp, errnos: eperm, control: bare, do: func(w *world) error {
		return sys(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(w.target()))
	}},
	{class: "processes", name: "trace a process of one's own", by: bySeccomp, errnos: eperm, control: differs, do: func(*world) error {
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
		return cmd.Run()
	}},
	onTarget("process_vm_readv from init", unix.SYS_PROCESS_VM_READV, bare),
	onTarget("process_vm_writev to init", unix.SYS_PROCESS_VM_WRITEV, bare),
	{class: "processes", name: "take a descriptor of init's (pidfd_getfd)", by: bySeccomp, errnos: eperm, control: bare,
		do: onPidfd(func(fd int) error { return sys(unix.SYS_PIDFD_GETFD, uintptr(fd), 0, 0) })},
	{class: "processes", name: "process_madvise on init", by: bySeccomp, errnos: eperm, control: differs,
		do: onPidfd(func(fd int) error { return sys(unix.SYS_PROCESS_MADVISE, uintptr(fd), 0, 0, 0xffff, 0) })},
	{class: "processes", name: "compare with init (kcmp)", by: bySeccomp, errnos: eperm, control: differs, do: func(w *world) error {
		return sys(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(w.target()), 2, 0, 0)
	}},
	{class: "processes", name: "end or stop init by any signal", by: byInit, control: bare, do: func(w *world) error {
		for sig := syscall.Signal(1); sig <= 64; sig++ {
			_ = syscall.Kill(w.target(), sig)
		}
		return stopped(w.target())
	}},
	{class: "processes", name: "end init by a signal to a thread of its", by: byInit, control: bare, do: func(w *world) error {
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", w.target()))
		for _, task := range tasks {
			var tid int
			if _, err := fmt.Sscan(task.Name(), &tid); err != nil {
				panic(err)
			}
			for sig := syscall.Signal(1); sig <= 64; sig++ {
				_ = unix.Tgkill(w.target(), tid, sig)
			}
		}
		return stopped(w.target())
	}},
	onTarget("take init's descriptors away (prlimit)", unix.SYS_PRLIMIT64, bare, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&lowest))),
	onTarget("let init run out of time (prlimit)", unix.SYS_PRLIMIT64, bare, unix.RLIMIT_CPU, uintptr(unsafe.Pointer(&lowest))),
	onTarget("make init idle (sched_setscheduler)", unix.SYS_SCHED_SETSCHEDULER, bare, unix.SCHED_IDLE, uintptr(unsafe.Pointer(&idleClass))),
	onTarget("make init idle (sched_setattr)", unix.SYS_SCHED_SETATTR, bare, uintptr(unsafe.Pointer(&schedAttr))),
	{class: "processes", name: "slow init down (setpriority)", by: bySeccomp, errnos: eperm, control: bare,
		do: func(w *world) error { return unix.Setpriority(unix.PRIO_PROCESS, w.target(), 19) }},
	{class: "processes", name: "slow all of the user down (setpriority)", by: bySeccomp, errnos: eperm, control: bare, alone: true,
		do: func(*world) error { return unix.Setpriority(unix.PRIO_USER, 0, 19) }},
	{class: "processes", name: "keep init from the disk (ioprio_set)", by: bySeccomp, errnos: eperm, control: bare, do: func(w *world) error {
		return sys(unix.SYS_IOPRIO_SET, ioprioProcess, uintptr(w.target()), ioprioIdle)
	}},
	{class: "processes", name: "signal a process of the machine", by: byPIDs, errnos: []syscall.Errno{unix.ESRCH}, control: same,
		do: func(w *world) error { return syscall.Kill(w.HostPID, 0) }},
	{class: "processes", name: "start more processes than allowed", by: byLimits, errnos: []syscall.Errno{unix.EAGAIN}, alone: true,
		control: none("the machine would have to bear them"), do: tooManyProcesses},
	{class: "processes", name: "raise a limit", by: byUsers, errnos: eperm, control: none("may be refused to root, too"), do: func(*world) error {
		return unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20})
	}},
}

// stopped waits a moment for the death or standstill of a process.
func stopped(pid int) error {
	for range 20 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return nil //nolint:nilerr // it is gone
		}
		if end := bytes.LastIndexByte(stat, ')'); bytes.IndexByte([]byte("ZXTt"), stat[end+2]) >= 0 {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return errLives
}

// tooManyProcesses lowers its own limit first: what is refused then is what
// the limit of the sandbox refuses later.
func tooManyProcesses(*world) error {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &r); err != nil {
		panic(err)
	}
	if r.Max > 1<<16 {
		return nil // there is none
	}
	r.Cur = 1
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &r); err != nil {
		panic(err)
	}
	return exec.Command("/bin/true").Run()
}

var capabilityAttempts = []attempt{
	{class: "capabilities", name: "add CAP_SYS_ADMIN", by: byCapability, errnos: eperm, control: none("whoever has it need not add it"), do: func(*world) error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		data := [2]unix.CapUserData{{Effective: 1 << unix.CAP_SYS_ADMIN, Permitted: 1 << unix.CAP_SYS_ADMIN}}
		return unix.Capset(&header, &data[0])
	}},
	{class: "capabilities", name: "raise an ambient capability", by: byCapability, errnos: eperm, control: none("whoever has it need not raise it"),
		do: func(*world) error {
			return unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SYS_ADMIN, 0, 0)
		}},
	{class: "capabilities", name: "change its own image (PR_SET_MM)", by: byUsers, errnos: eperm, control: none("may be refused to root, too"),
		do: func(*world) error { return unix.Prctl(unix.PR_SET_MM, unix.PR_SET_MM_BRK, 0, 0, 0) }},
	{class: "capabilities", name: "run before all others (nice -20)", by: byUsers, errnos: eacces, control: host, alone: true,
		do: func(*world) error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -20) }},
	{class: "capabilities", name: "run before all others (SCHED_FIFO)", by: byUsers, errnos: eperm, control: none("a real-time process can stop the machine"),
		do: func(*world) error {
			param := struct{ priority int32 }{50}
			return sys(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_FIFO, uintptr(unsafe.Pointer(&param)))
		}},
	{class: "capabilities", name: "lock memory beyond the limit", by: byLimits, errnos: []syscall.Errno{unix.ENOMEM, unix.EPERM, unix.EAGAIN}, control: host, alone: true,
		do: func(*world) error {
			data, err := unix.Mmap(-1, 0, 64<<20, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err != nil {
				panic(err)
			}
			defer unix.Munmap(data)
			return unix.Mlock(data)
		}},
}
