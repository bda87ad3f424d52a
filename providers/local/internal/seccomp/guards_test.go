//go:build linux && (amd64 || arm64)

package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestGuards(t *testing.T) {
	prog := Assemble(append(Table(), Others()...))
	errno := func(e unix.Errno) uint32 { return retErrno | uint32(e) }
	for name, c := range map[string]struct {
		want uint32
		nr   uint32
		args []uint64
	}{
		"own limit":            {retAllow, unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_NOFILE, 1}},
		"init's limit":         {errno(unix.EPERM), unix.SYS_PRLIMIT64, []uint64{1, unix.RLIMIT_NOFILE, 1}},
		"core dumps":           {errno(0), unix.SYS_SETRLIMIT, []uint64{unix.RLIMIT_CORE, 0x1234}},
		"core dumps, as new":   {errno(0), unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_CORE, 0x1234}},
		"core dumps, high":     {errno(0), unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_CORE, 1 << 32}},
		"asking for them":      {retAllow, unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_CORE, 0, 0x1234}},
		"make a bridge":        {errno(unix.EPERM), unix.SYS_IOCTL, []uint64{3, siocbraddbr, 0}},
		"remove a bridge":      {errno(unix.EPERM), unix.SYS_IOCTL, []uint64{3, siocbraddbr + 1, 0}},
		"a virtual network":    {errno(unix.EPERM), unix.SYS_IOCTL, []uint64{3, 1<<32 | siocgifvlan + 1, 0}},
		"an interface's flags": {retAllow, unix.SYS_IOCTL, []uint64{3, unix.SIOCGIFFLAGS, 0}},
		"own priority":         {retAllow, unix.SYS_SETPRIORITY, []uint64{unix.PRIO_PROCESS, 0, 5}},
		"init's priority":      {errno(unix.EPERM), unix.SYS_SETPRIORITY, []uint64{unix.PRIO_PROCESS, 1, 5}},
		"group's priority":     {errno(unix.EPERM), unix.SYS_SETPRIORITY, []uint64{unix.PRIO_PGRP, 0, 5}},
		"thread back to other": {retAllow, unix.SYS_SCHED_SETSCHEDULER, []uint64{7, unix.SCHED_NORMAL, 1}},
		"idle oneself":         {retAllow, unix.SYS_SCHED_SETSCHEDULER, []uint64{0, unix.SCHED_IDLE, 1}},
		"idle another":         {errno(unix.EPERM), unix.SYS_SCHED_SETSCHEDULER, []uint64{1, unix.SCHED_IDLE, 1}},
		"affinity of a thread": {retAllow, unix.SYS_SCHED_SETAFFINITY, []uint64{7, 8, 1}},
		"linux32":              {retAllow, unix.SYS_PERSONALITY, []uint64{8}},
		"ask personality":      {retAllow, unix.SYS_PERSONALITY, []uint64{0xffffffff}},
		"executable data":      {errno(unix.EPERM), unix.SYS_PERSONALITY, []uint64{0x400000}},
		"tcp":                  {retAllow, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP}},
		"ping6":                {retAllow, unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_ICMPV6}},
		"sctp":                 {errno(unix.EPROTONOSUPPORT), unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP}},
		"mptcp6":               {errno(unix.EPROTONOSUPPORT), unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_MPTCP}},
		"udp with flags":       {retAllow, unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, 0}},
		"dccp by its type":     {errno(unix.EPROTONOSUPPORT), unix.SYS_SOCKET, []uint64{unix.AF_INET, 6 | unix.SOCK_CLOEXEC, 0}},
		"packets":              {errno(unix.EPROTONOSUPPORT), unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_SEQPACKET, 0}},
		"unix packets":         {retAllow, unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_SEQPACKET, 0}},
		"unix, any protocol":   {retAllow, unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_STREAM, 1}},
		"pair":                 {retAllow, unix.SYS_SOCKETPAIR, []uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0}},
		"pair of TIPC":         {errno(unix.EAFNOSUPPORT), unix.SYS_SOCKETPAIR, []uint64{unix.AF_TIPC, unix.SOCK_STREAM, 0}},
		"statmount":            {errno(unix.ENOSYS), unix.SYS_STATMOUNT, nil},
		"mseal":                {retAllow, unix.SYS_MSEAL, nil},
		"setxattrat":           {retAllow, unix.SYS_SETXATTRAT, nil},
		"the newest known":     {errno(unix.ENOSYS), unix.SYS_FILE_SETATTR, nil},
		"the first unknown":    {errno(unix.ENOSYS), ceiling, nil},
		"an unknown one":       {errno(unix.ENOSYS), 5000, nil},
		"x32":                  {errno(unix.ENOSYS), 0x40000000 + unix.SYS_GETPID, nil},
	} {
		if got := run(t, prog, auditArch, c.nr, c.args...); got != c.want {
			t.Errorf("%s: got %#x, want %#x", name, got, c.want)
		}
	}
}

// Every call that is made often is decided within a few instructions.
func TestSearchIsShallow(t *testing.T) {
	prog := Assemble(Table())
	const most = 40
	for nr := range uint32(ceiling) {
		if got := steps(prog, nr); got > most {
			t.Errorf("call %d takes %d instructions of %d", nr, got, len(prog))
		}
	}
}

// steps counts what the kernel executes for a call whose arguments are zero.
func steps(prog []unix.SockFilter, nr uint32) int {
	var acc uint32
	n := 0
	for pc := 0; pc < len(prog); pc++ {
		n++
		in := prog[pc]
		holds := false
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = map[uint32]uint32{nrOffset: nr, archOffset: auditArch}[in.K]
			continue
		case unix.BPF_RET | unix.BPF_K:
			return n
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			holds = acc == in.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			holds = acc >= in.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			holds = acc&in.K != 0
		}
		if holds {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
	return n
}
