//go:build linux && (amd64 || arm64)

package seccomp

import "golang.org/x/sys/unix"

// ceiling is the first number that the filter does not know. A list of what
// to deny would let through all that kernels are yet to learn, so from there
// on everything looks as if the kernel did not have it; programs that try the
// newest calls fall back on older ones. Beyond it are the x32 calls, too,
// which would reach the same functions under other numbers.
const ceiling = unix.SYS_FILE_SETATTR + 1

// unavailable are young calls that programs do without on older kernels: each
// is surface that few have looked at.
var unavailable = []uint32{
	unix.SYS_SET_MEMPOLICY_HOME_NODE, unix.SYS_FUTEX_WAKE, unix.SYS_FUTEX_WAIT, unix.SYS_FUTEX_REQUEUE,
	unix.SYS_STATMOUNT, unix.SYS_LISTMOUNT, unix.SYS_FILE_GETATTR, unix.SYS_FILE_SETATTR,
	unix.SYS_LSM_GET_SELF_ATTR, unix.SYS_LSM_SET_SELF_ATTR, unix.SYS_LSM_LIST_MODULES,
	// It tells what the machine's other programs read of the files that all share.
	unix.SYS_CACHESTAT,
}

// personalities are those that change nothing about memory: as in containers.
var personalities = []uint32{0, 8, 0x20000, 0x20008, 0xffffffff}

const (
	tiocsetd    = 0x5423
	siocgifbr   = 0x8940
	siocbraddbr = 0x89a0
	siocgifvlan = 0x8982
	pair        = 0xfffffffe // of requests, whose numbers differ in the last bit
)

// guards keep init's hands free. It has the user of the commands that run as
// root, and to the kernel that is enough to change another's limits and turns.
var guards = []Rule{
	{Nr: unix.SYS_SETPRIORITY, Errno: unix.EPERM, When: []Cond{{Arg: 0, Op: NotEqual, Value: unix.PRIO_PROCESS}}},
	{Nr: unix.SYS_SETPRIORITY, Errno: unix.EPERM, When: []Cond{{Arg: 1, Op: NotEqual, Value: 0}}},
	{Nr: unix.SYS_IOPRIO_SET, Errno: unix.EPERM, When: []Cond{{Arg: 0, Op: NotEqual, Value: ioprioProcess}}},
	{Nr: unix.SYS_IOPRIO_SET, Errno: unix.EPERM, When: []Cond{{Arg: 1, Op: NotEqual, Value: 0}}},
	// C libraries set the ordinary class for other threads of their process.
	{Nr: unix.SYS_SCHED_SETSCHEDULER, Errno: unix.EPERM, When: []Cond{{Arg: 0, Op: NotEqual, Value: 0}, {Arg: 1, Op: NotEqual, Value: unix.SCHED_NORMAL}}},
	{Nr: unix.SYS_SCHED_SETATTR, Errno: unix.EPERM, When: []Cond{{Arg: 0, Op: NotEqual, Value: 0}}},
	// It succeeds and does nothing: programs that keep secrets insist on no cores.
	{Nr: unix.SYS_SETRLIMIT, When: []Cond{{Arg: 0, Op: Equal, Value: unix.RLIMIT_CORE}}},
	{Nr: unix.SYS_PRLIMIT64, When: []Cond{{Arg: 1, Op: Equal, Value: unix.RLIMIT_CORE}, notNil(2, false)}},
	{Nr: unix.SYS_PRLIMIT64, When: []Cond{{Arg: 1, Op: Equal, Value: unix.RLIMIT_CORE}, notNil(2, true)}},
	{Nr: unix.SYS_PERSONALITY, Errno: unix.EPERM, When: noneOf(0, personalities...)},
	// Line disciplines are old drivers, some loaded when asked for.
	{Nr: unix.SYS_IOCTL, Errno: unix.EPERM, When: []Cond{{Arg: 1, Op: Equal, Value: tiocsetd}}},
	// For bridges and virtual networks the kernel loads a module before it looks
	// who asks: two requests each.
	{Nr: unix.SYS_IOCTL, Errno: unix.EPERM, When: []Cond{{Arg: 1, Mask: pair, Op: Equal, Value: siocgifbr}}},
	{Nr: unix.SYS_IOCTL, Errno: unix.EPERM, When: []Cond{{Arg: 1, Mask: pair, Op: Equal, Value: siocbraddbr}}},
	{Nr: unix.SYS_IOCTL, Errno: unix.EPERM, When: []Cond{{Arg: 1, Mask: pair, Op: Equal, Value: siocgifvlan}}},
}

const ioprioProcess = 1

// CoreLimit is the limit of core dumps with which there is none. With a limit of
// 0 there is no file, but where the machine has a program for core dumps the
// kernel still runs it, as the machine's root, on what a sandbox has made crash.
const CoreLimit = 1

// Others returns the rules about other processes' limits, which are for
// commands and not for init: it sets those of commands.
func Others() []Rule {
	return []Rule{{Nr: unix.SYS_PRLIMIT64, Errno: unix.EPERM, When: []Cond{{Arg: 0, Op: NotEqual, Value: 0}}}}
}

// networks refuse the protocols that nothing inside can use, and whose modules
// the kernel would load for whoever asks. Raw sockets are refused by a missing
// capability, except that there is no need to get that far.
var networks = []Rule{
	{Nr: unix.SYS_SOCKET, Errno: unix.EPROTONOSUPPORT, When: append([]Cond{{Arg: 0, Op: Equal, Value: unix.AF_INET}}, noneOf(2, protocols...)...)},
	{Nr: unix.SYS_SOCKET, Errno: unix.EPROTONOSUPPORT, When: append([]Cond{{Arg: 0, Op: Equal, Value: unix.AF_INET6}}, noneOf(2, protocols...)...)},
	// A protocol of 0 means one by the type, which may be DCCP.
	{Nr: unix.SYS_SOCKET, Errno: unix.EPROTONOSUPPORT, When: append([]Cond{{Arg: 0, Op: Equal, Value: unix.AF_INET}}, oddType...)},
	{Nr: unix.SYS_SOCKET, Errno: unix.EPROTONOSUPPORT, When: append([]Cond{{Arg: 0, Op: Equal, Value: unix.AF_INET6}}, oddType...)},
	{Nr: unix.SYS_SOCKETPAIR, Errno: unix.EAFNOSUPPORT, When: []Cond{{Arg: 0, Op: NotEqual, Value: unix.AF_UNIX}}},
}

var protocols = []uint32{0, unix.IPPROTO_ICMP, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMPV6}

// oddType holds if a socket's type, which shares its argument with flags, is none
// of the usual ones.
var oddType = []Cond{
	{Arg: 1, Mask: typeMask, Op: NotEqual, Value: unix.SOCK_STREAM},
	{Arg: 1, Mask: typeMask, Op: NotEqual, Value: unix.SOCK_DGRAM},
	{Arg: 1, Mask: typeMask, Op: NotEqual, Value: unix.SOCK_RAW},
}

// noneOf holds if the argument is none of the values.
func noneOf(arg uint32, values ...uint32) []Cond {
	conds := make([]Cond, 0, len(values))
	for _, v := range values {
		conds = append(conds, Cond{Arg: arg, Op: NotEqual, Value: v})
	}
	return conds
}
