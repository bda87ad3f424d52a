//go:build linux && (amd64 || arm64)

package escape

import (
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is an attempt that is one system call, refused by the filter.
func call(class, name string, nr uintptr, c control, args ...uintptr) attempt {
	return attempt{class: class, name: name, by: bySeccomp, errnos: eperm, control: c,
		do: func(*world) error { return sys(nr, args...) }}
}

// gone is a call that the filter makes look as if the kernel had it not.
func gone(class, name string, nr uintptr, c control, args ...uintptr) attempt {
	a := call(class, name, nr, c, args...)
	a.errnos = []syscall.Errno{unix.ENOSYS}
	return a
}

func apart(a attempt) attempt { a.alone = true; return a }

func str(s string) uintptr { return uintptr(unsafe.Pointer(cstring(s))) }

// cstring makes a string that stays where it is.
func cstring(s string) *byte {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	kept = append(kept, p)
	return p
}

var kept []*byte

const nowhere = ^uintptr(0) // no descriptor

var differs = bare.to(errDiffers)

var mountAttempts = []attempt{
	apart(call("mounts", "mount a tmpfs", unix.SYS_MOUNT, bare, str("none"), str("/mnt"), str("tmpfs"))),
	apart(call("mounts", "bind the root elsewhere", unix.SYS_MOUNT, bare, str("/"), str("/mnt"), 0, unix.MS_BIND|unix.MS_REC)),
	apart(call("mounts", "mount a new /proc", unix.SYS_MOUNT, bare, str("proc"), str("/mnt"), str("proc"))),
	apart(call("mounts", "mount sysfs", unix.SYS_MOUNT, bare, str("none"), str("/mnt"), str("sysfs"))),
	apart(call("mounts", "mount a cgroup, for its release_agent", unix.SYS_MOUNT, none("takes a machine with cgroup v1 to itself"),
		str("none"), str("/mnt"), str("cgroup"), 0, str("memory"))),
	apart(call("mounts", "make /proc/sys writable", unix.SYS_MOUNT, differs, str("none"), str("/proc/sys"), 0, unix.MS_REMOUNT|unix.MS_BIND)),
	apart(call("mounts", "make mounts propagate", unix.SYS_MOUNT, bare, 0, str("/"), 0, unix.MS_REC|unix.MS_SHARED)),
	apart(call("mounts", "unmount /proc", unix.SYS_UMOUNT2, bare, str("/proc"), unix.MNT_DETACH)),
	apart(call("mounts", "pivot_root", unix.SYS_PIVOT_ROOT, differs, str("."), str("."))),
	call("mounts", "open_tree", unix.SYS_OPEN_TREE, bare, atCwd, str("/"), unix.OPEN_TREE_CLONE|unix.AT_RECURSIVE),
	call("mounts", "open_tree_attr", unix.SYS_OPEN_TREE_ATTR, differs, atCwd, str("/"), unix.OPEN_TREE_CLONE),
	call("mounts", "move_mount", unix.SYS_MOVE_MOUNT, differs, nowhere, str(""), nowhere, str(""), unix.MOVE_MOUNT_F_EMPTY_PATH),
	call("mounts", "fsopen", unix.SYS_FSOPEN, bare, str("tmpfs")),
	call("mounts", "fsconfig", unix.SYS_FSCONFIG, differs, nowhere),
	call("mounts", "fsmount", unix.SYS_FSMOUNT, differs, nowhere),
	call("mounts", "fspick", unix.SYS_FSPICK, bare, atCwd, str("/proc")),
	call("mounts", "mount_setattr", unix.SYS_MOUNT_SETATTR, differs, atCwd, str("/proc"), 0, 0, 0),
	gone("mounts", "statmount", unix.SYS_STATMOUNT, differs),
	gone("mounts", "listmount", unix.SYS_LISTMOUNT, differs),
}

var atCwd = func() uintptr { n := unix.AT_FDCWD; return uintptr(n) }()

func unshares(name string, flag uintptr, c control) attempt {
	return call("namespaces", "unshare "+name, unix.SYS_UNSHARE, c, flag)
}

var namespaceAttempts = []attempt{
	unshares("the user namespace", unix.CLONE_NEWUSER, differs), // refused to a process of several threads
	unshares("the mount namespace", unix.CLONE_NEWNS, bare),
	unshares("the pid namespace", unix.CLONE_NEWPID, bare),
	unshares("the network namespace", unix.CLONE_NEWNET, bare),
	unshares("the IPC namespace", unix.CLONE_NEWIPC, bare),
	unshares("the cgroup namespace", unix.CLONE_NEWCGROUP, bare),
	unshares("the time namespace", unix.CLONE_NEWTIME, bare),
	{class: "namespaces", name: "unshare the UTS namespace, and its mark", by: byCapability, errnos: eperm, control: bare,
		do: func(*world) error { return sys(unix.SYS_UNSHARE, unix.CLONE_NEWUTS) }},
	{class: "namespaces", name: "clone into a user namespace", by: bySeccomp, errnos: eperm, control: bare, do: func(*world) error {
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
		return cmd.Run()
	}},
	gone("namespaces", "clone3, whose flags a filter cannot see", unix.SYS_CLONE3, differs, 0, 0),
	{class: "namespaces", name: "setns to a file of /proc", by: bySeccomp, errnos: eperm, control: bare, do: func(*world) error {
		fd, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			panic(err)
		}
		defer unix.Close(fd)
		return unix.Setns(fd, unix.CLONE_NEWNET)
	}},
	{class: "namespaces", name: "setns to the namespaces of init", by: bySeccomp, errnos: eperm, control: bare,
		do: onPidfd(func(fd int) error { return unix.Setns(fd, unix.CLONE_NEWNET) })},
}

// onPidfd attempts something with a descriptor of the process under attack.
func onPidfd(try func(fd int) error) func(*world) error {
	return func(w *world) error {
		fd, err := unix.PidfdOpen(w.target(), 0)
		if err != nil {
			panic(err)
		}
		defer unix.Close(fd)
		return try(fd)
	}
}

var machineAttempts = []attempt{
	call("the machine", "reboot", unix.SYS_REBOOT, differs),
	call("the machine", "kexec_load", unix.SYS_KEXEC_LOAD, host.to(errDiffers), 0, 0, 0, 0xffff),
	call("the machine", "kexec_file_load", unix.SYS_KEXEC_FILE_LOAD, host.to(errDiffers), nowhere, nowhere, 0, 0, 0xffff),
	call("the machine", "init_module", unix.SYS_INIT_MODULE, host.to(errDiffers)),
	call("the machine", "finit_module", unix.SYS_FINIT_MODULE, host.to(errDiffers), nowhere, str("")),
	call("the machine", "delete_module", unix.SYS_DELETE_MODULE, host.to(errDiffers), str("no_such_module")),
	call("the machine", "swapon", unix.SYS_SWAPON, host.to(errDiffers), str("/no/such/file")),
	call("the machine", "swapoff", unix.SYS_SWAPOFF, host.to(errDiffers), str("/no/such/file")),
	call("the machine", "acct", unix.SYS_ACCT, host.to(errDiffers), str("/no/such/file")),
	call("the machine", "quotactl", unix.SYS_QUOTACTL, same.to(errDiffers), 0xff000000, str("/no/such/file")),
	call("the machine", "quotactl_fd", unix.SYS_QUOTACTL_FD, same.to(errDiffers), nowhere),
	call("the machine", "read the kernel's log", unix.SYS_SYSLOG, host, 10),
	call("the machine", "settimeofday", unix.SYS_SETTIMEOFDAY, host, 0, 0),
	call("the machine", "clock_settime", unix.SYS_CLOCK_SETTIME, same.to(errDiffers), unix.CLOCK_REALTIME, uintptr(unsafe.Pointer(&noTime))),
	call("the machine", "adjtimex", unix.SYS_ADJTIMEX, same, uintptr(unsafe.Pointer(&timex))),
	call("the machine", "clock_adjtime", unix.SYS_CLOCK_ADJTIME, same, unix.CLOCK_REALTIME, uintptr(unsafe.Pointer(&timex))),
	call("the machine", "vhangup", unix.SYS_VHANGUP, none("would hang up the tester's terminal")),
	{class: "the machine", name: "sethostname", by: byCapability, errnos: eperm, control: bare,
		do: func(*world) error { return unix.Sethostname([]byte("other")) }},
	{class: "the machine", name: "setdomainname", by: byCapability, errnos: eperm, control: bare,
		do: func(*world) error { return unix.Setdomainname([]byte("other")) }},
}

var (
	noTime = unix.Timespec{Nsec: -1} // never valid
	timex  unix.Timex                // modes 0: only asks
)

var kernelAttempts = []attempt{
	call("kernel surface", "bpf", unix.SYS_BPF, host.to(errDiffers)),
	call("kernel surface", "perf_event_open", unix.SYS_PERF_EVENT_OPEN, same.to(errDiffers)),
	call("kernel surface", "userfaultfd", unix.SYS_USERFAULTFD, host, unix.O_CLOEXEC),
	call("kernel surface", "io_uring_setup", unix.SYS_IO_URING_SETUP, host.to(errDiffers)),
	call("kernel surface", "io_uring_enter", unix.SYS_IO_URING_ENTER, same.to(errDiffers), nowhere),
	call("kernel surface", "io_uring_register", unix.SYS_IO_URING_REGISTER, same.to(errDiffers), nowhere),
	call("kernel surface", "fanotify_init", unix.SYS_FANOTIFY_INIT, host),
	call("kernel surface", "move_pages", unix.SYS_MOVE_PAGES, same.to(errDiffers)),
	call("kernel surface", "migrate_pages", unix.SYS_MIGRATE_PAGES, same.to(errDiffers)),
	call("kernel surface", "lookup_dcookie", unix.SYS_LOOKUP_DCOOKIE, same.to(errDiffers)),
	apart(call("kernel surface", "personality that makes data executable", unix.SYS_PERSONALITY, same, 0x0400000)),
	call("kernel surface", "add_key", unix.SYS_ADD_KEY, same, str("user"), str("k"), str("v"), 1, processKeyring),
	call("kernel surface", "request_key", unix.SYS_REQUEST_KEY, same.to(errDiffers), str("user"), str("k"), 0, 0),
	call("kernel surface", "keyctl: read the session's keys", unix.SYS_KEYCTL, same.to(errDiffers), 0, sessionKeyring, 0),
	gone("kernel surface", "cachestat: see which files the machine reads", unix.SYS_CACHESTAT, same.to(errDiffers), nowhere),
	gone("kernel surface", "lsm_set_self_attr", unix.SYS_LSM_SET_SELF_ATTR, same.to(errDiffers)),
	gone("kernel surface", "file_setattr", unix.SYS_FILE_SETATTR, same.to(errDiffers)),
	gone("kernel surface", "a call newer than the filter", unix.SYS_RSEQ_SLICE_YIELD+1, none("the kernel does not have it yet")),
	{class: "kernel surface", name: "loosen the filter by another that allows all", by: bySeccomp, errnos: eperm, control: bare, alone: true,
		do: behindFilter(unix.SECCOMP_RET_ALLOW)},
	{class: "kernel surface", name: "have a tracer allow what the filter refuses", by: bySeccomp, errnos: eperm, control: bare.to(errDiffers), alone: true,
		do: behindFilter(unix.SECCOMP_RET_TRACE)},
	{class: "kernel surface", name: "take no_new_privs back", by: byNNP, errnos: []syscall.Errno{unix.EINVAL}, control: none("no kernel allows it"),
		do: func(*world) error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) }},
}

const (
	processKeyring = ^uintptr(1) // -2
	sessionKeyring = ^uintptr(2) // -3
)

// behindFilter adds a filter of one instruction and then opens a mount tree.
func behindFilter(action uint32) func(*world) error {
	return func(*world) error {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			panic(err)
		}
		// Only the call under test, or this program would not go on.
		prog := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_FSOPEN, Jf: 1},
			{Code: unix.BPF_RET | unix.BPF_K, K: action},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		}
		fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
		if err := sys(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&fprog))); err != nil {
			panic(err)
		}
		return sys(unix.SYS_FSOPEN, str("tmpfs"), 0)
	}
}
