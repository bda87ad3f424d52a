//go:build linux && (amd64 || arm64)

// Package seccomp holds the list of system calls that the programs in a
// sandbox are refused, and assembles it into a filter for the kernel.
//
// The list is of what to deny, since the programs are arbitrary. It guards
// what namespaces and missing capabilities guard as well; what it adds is
// that whole parts of the kernel are out of reach if those have a flaw.
package seccomp

import (
	"slices"

	"golang.org/x/sys/unix"
)

// A Rule refuses one system call with Errno, when all of When hold. Without one the
// call does nothing and returns 0.
type Rule struct {
	Nr    uint32
	Errno unix.Errno
	When  []Cond
}

// A Cond compares 32 bits of an argument.
type Cond struct {
	Arg   uint32
	Op    Op
	Value uint32
	Mask  uint32 // bits that count; 0 is all
	High  bool   // compare the high 32 bits, not the low
}

// An Op is how a Cond compares.
type Op int

// The comparisons.
const (
	Equal Op = iota
	NotEqual
	AnyBit
	NoBit
)

// newNamespaces are the flags that make a namespace, but for CLONE_NEWUTS:
// init makes one for each command, and commands lack the capability for it.
const newNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME

// cloneNamespaces leaves out CLONE_NEWTIME, whose bit means an exit signal
// to clone.
const cloneNamespaces = newNamespaces&^unix.CLONE_NEWTIME | unix.CLONE_NEWUTS

// forbidden are the calls refused whatever their arguments.
var forbidden = []uint32{
	// Mounts, old and new.
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_OPEN_TREE_ATTR,
	// Other processes.
	unix.SYS_SETNS, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_PROCESS_MADVISE, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
	// Wide or troublesome parts of the kernel.
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT,
	unix.SYS_FANOTIFY_INIT, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_NFSSERVCTL, unix.SYS_VHANGUP,
	unix.SYS_MOVE_PAGES, unix.SYS_MIGRATE_PAGES,
	// The machine.
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_REBOOT,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_SYSLOG,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME,
}

// conditional are the calls refused for some arguments.
var conditional = []Rule{
	// C libraries fall back to clone, whose flags a filter can see.
	{Nr: unix.SYS_CLONE3, Errno: unix.ENOSYS},
	{Nr: unix.SYS_CLONE, Errno: unix.EPERM, When: []Cond{{Arg: 0, Op: AnyBit, Value: cloneNamespaces}}},
	{Nr: unix.SYS_UNSHARE, Errno: unix.EPERM, When: []Cond{{Arg: 0, Op: AnyBit, Value: newNamespaces}}},
	// Typing into somebody's terminal.
	{Nr: unix.SYS_IOCTL, Errno: unix.EPERM, When: []Cond{{Arg: 1, Op: Equal, Value: unix.TIOCSTI}}},
	{Nr: unix.SYS_IOCTL, Errno: unix.EPERM, When: []Cond{{Arg: 1, Op: Equal, Value: unix.TIOCLINUX}}},
	// Of netlink only the routing family, which getifaddrs reads.
	{Nr: unix.SYS_SOCKET, Errno: unix.EPROTONOSUPPORT, When: []Cond{
		{Arg: 0, Op: Equal, Value: unix.AF_NETLINK}, {Arg: 2, Op: NotEqual, Value: unix.NETLINK_ROUTE}}},
	{Nr: unix.SYS_SOCKET, Errno: unix.EAFNOSUPPORT, When: []Cond{
		{Arg: 0, Op: NotEqual, Value: unix.AF_UNIX}, {Arg: 0, Op: NotEqual, Value: unix.AF_INET},
		{Arg: 0, Op: NotEqual, Value: unix.AF_INET6}, {Arg: 0, Op: NotEqual, Value: unix.AF_NETLINK}}},
}

// Table returns all rules for this architecture.
func Table() []Rule {
	var rules []Rule
	for _, nr := range append(forbidden[:len(forbidden):len(forbidden)], forbiddenHere...) {
		rules = append(rules, Rule{Nr: nr, Errno: unix.EPERM})
	}
	for _, nr := range unavailable {
		rules = append(rules, Rule{Nr: nr, Errno: unix.ENOSYS})
	}
	return slices.Concat(rules, conditional, guards, networks)
}

// alone are the rules for a process that has threads and no children.
func alone() []Rule {
	calls := []uint32{unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_KILL, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL}
	rules := []Rule{{Nr: unix.SYS_CLONE, Errno: unix.EPERM, When: []Cond{{Arg: 0, Op: NoBit, Value: unix.CLONE_THREAD}}}}
	for _, nr := range append(calls, forksHere...) {
		rules = append(rules, Rule{Nr: nr, Errno: unix.EPERM})
	}
	return rules
}
