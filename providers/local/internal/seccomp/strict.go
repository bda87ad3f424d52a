//go:build linux && (amd64 || arm64)

package seccomp

import "golang.org/x/sys/unix"

// typeMask are the bits of a socket's type that are not flags.
const typeMask = 0xf

// notNil is one half of the test that a pointer is given: a rule has one half,
// another the other.
func notNil(arg uint32, high bool) Cond { return Cond{Arg: arg, Op: NotEqual, Value: 0, High: high} }

// Strict returns the rules for commands that have no namespaces of their own,
// beside those of Table: they share this machine's network and IPC, and what
// the kernel lets processes of one user do to one another. The limit of file
// locks, which the kernel does not use, must stay: it marks processes.
func Strict() []Rule {
	return append(append(noConnections(), noSharing()...), keepMark()...)
}

// noConnections leaves sockets that listen and pairs of them. Nothing can be
// reached, neither over a network nor by a name of the file system, which
// leads to this machine's services.
func noConnections() []Rule {
	rules := []Rule{{Nr: unix.SYS_CONNECT, Errno: unix.ENETUNREACH}}
	for _, nr := range []uint32{unix.SYS_SOCKET, unix.SYS_SOCKETPAIR} {
		rules = append(rules,
			Rule{Nr: nr, Errno: unix.EAFNOSUPPORT, When: []Cond{{Arg: 0, Op: Equal, Value: unix.AF_NETLINK}}},
			// Datagrams need no connection.
			Rule{Nr: nr, Errno: unix.EACCES, When: []Cond{{Arg: 0, Op: Equal, Value: unix.AF_UNIX},
				{Arg: 1, Op: NotEqual, Value: unix.SOCK_STREAM, Mask: typeMask},
				{Arg: 1, Op: NotEqual, Value: unix.SOCK_SEQPACKET, Mask: typeMask}}})
		for _, family := range []uint32{unix.AF_INET, unix.AF_INET6} {
			rules = append(rules,
				Rule{Nr: nr, Errno: unix.EACCES, When: []Cond{{Arg: 0, Op: Equal, Value: family},
					{Arg: 1, Op: NotEqual, Value: unix.SOCK_STREAM, Mask: typeMask}}},
				// Streams of other protocols are connected by other means.
				Rule{Nr: nr, Errno: unix.EPROTONOSUPPORT, When: []Cond{{Arg: 0, Op: Equal, Value: family},
					{Arg: 2, Op: NotEqual, Value: 0}, {Arg: 2, Op: NotEqual, Value: unix.IPPROTO_TCP}}})
		}
	}
	for nr, flags := range map[uint32]uint32{unix.SYS_SENDTO: 3, unix.SYS_SENDMSG: 2, unix.SYS_SENDMMSG: 3} {
		rules = append(rules, Rule{Nr: nr, Errno: unix.EOPNOTSUPP, When: []Cond{{Arg: flags, Op: AnyBit, Value: unix.MSG_FASTOPEN}}})
	}
	return rules
}

// noSharing closes IPC by key or name, and what a user may do to others of its
// processes. Zero stands for the caller itself.
func noSharing() []Rule {
	var rules []Rule
	for _, nr := range []uint32{unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_SEMGET, unix.SYS_SEMOP,
		unix.SYS_SEMTIMEDOP, unix.SYS_SEMCTL, unix.SYS_MSGGET, unix.SYS_MSGSND, unix.SYS_MSGRCV, unix.SYS_MSGCTL,
		unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK} {
		rules = append(rules, Rule{Nr: nr, Errno: unix.EPERM})
	}
	for _, nr := range []uint32{unix.SYS_PRLIMIT64, unix.SYS_SCHED_SETAFFINITY, unix.SYS_SCHED_SETPARAM,
		unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETATTR} {
		rules = append(rules, Rule{Nr: nr, Errno: unix.EPERM, When: []Cond{{Arg: 0, Op: NotEqual, Value: 0}}})
	}
	for _, nr := range []uint32{unix.SYS_SETPRIORITY, unix.SYS_IOPRIO_SET} {
		rules = append(rules, Rule{Nr: nr, Errno: unix.EPERM, When: []Cond{{Arg: 1, Op: NotEqual, Value: 0}}})
	}
	// Of all processes of the user, or of a group, one does not change those.
	return append(rules,
		Rule{Nr: unix.SYS_SETPRIORITY, Errno: unix.EPERM, When: []Cond{{Arg: 0, Op: NotEqual, Value: unix.PRIO_PROCESS}}},
		Rule{Nr: unix.SYS_IOPRIO_SET, Errno: unix.EPERM, When: []Cond{{Arg: 0, Op: NotEqual, Value: ioprioWhoProcess}}})
}

const ioprioWhoProcess = 1

// Mark is the limit by which processes are marked.
const Mark = 10 // RLIMIT_LOCKS

func keepMark() []Rule {
	rules := []Rule{}
	for _, high := range []bool{false, true} {
		rules = append(rules, Rule{Nr: unix.SYS_PRLIMIT64, Errno: unix.EPERM,
			When: []Cond{{Arg: 1, Op: Equal, Value: Mark}, notNil(2, high)}})
	}
	return append(rules, Rule{Nr: unix.SYS_SETRLIMIT, Errno: unix.EPERM, When: []Cond{{Arg: 0, Op: Equal, Value: Mark}}})
}
