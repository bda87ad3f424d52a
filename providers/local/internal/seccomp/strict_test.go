//go:build linux && (amd64 || arm64)

package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestStrict(t *testing.T) {
	prog := Assemble(Strict())
	errno := func(e unix.Errno) uint32 { return retErrno | uint32(e) }
	const high = 1 << 32
	for name, c := range map[string]struct {
		want uint32
		nr   uint32
		args []uint64
	}{
		"read":                   {retAllow, unix.SYS_READ, nil},
		"connect":                {errno(unix.ENETUNREACH), unix.SYS_CONNECT, nil},
		"accept":                 {retAllow, unix.SYS_ACCEPT4, nil},
		"TCP":                    {retAllow, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, 0}},
		"TCP with flags":         {retAllow, unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, unix.IPPROTO_TCP}},
		"MPTCP":                  {errno(unix.EPROTONOSUPPORT), unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP}},
		"UDP":                    {errno(unix.EACCES), unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_DGRAM, 0}},
		"UDP with flags":         {errno(unix.EACCES), unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC, 0}},
		"raw":                    {errno(unix.EACCES), unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_RAW, 1}},
		"netlink":                {errno(unix.EAFNOSUPPORT), unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, 0}},
		"Unix stream":            {retAllow, unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_STREAM | unix.SOCK_CLOEXEC, 0}},
		"Unix packets":           {retAllow, unix.SYS_SOCKETPAIR, []uint64{unix.AF_UNIX, unix.SOCK_SEQPACKET, 0}},
		"Unix datagrams":         {errno(unix.EACCES), unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_DGRAM, 0}},
		"raw Unix":               {errno(unix.EACCES), unix.SYS_SOCKETPAIR, []uint64{unix.AF_UNIX, unix.SOCK_RAW, 0}},
		"send":                   {retAllow, unix.SYS_SENDTO, []uint64{3, 0, 0, unix.MSG_NOSIGNAL}},
		"fast open":              {errno(unix.EOPNOTSUPP), unix.SYS_SENDTO, []uint64{3, 0, 0, unix.MSG_FASTOPEN | unix.MSG_NOSIGNAL}},
		"fast open in a message": {errno(unix.EOPNOTSUPP), unix.SYS_SENDMSG, []uint64{3, 0, unix.MSG_FASTOPEN}},
		"fast open in messages":  {errno(unix.EOPNOTSUPP), unix.SYS_SENDMMSG, []uint64{3, 0, 1, unix.MSG_FASTOPEN}},
		"own limit":              {retAllow, unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_NOFILE, 0x1234, 0}},
		"another's limit":        {errno(unix.EPERM), unix.SYS_PRLIMIT64, []uint64{1, unix.RLIMIT_NOFILE, 0x1234, 0}},
		"reading the mark":       {retAllow, unix.SYS_PRLIMIT64, []uint64{0, Mark, 0, 0x1234}},
		"the mark":               {errno(unix.EPERM), unix.SYS_PRLIMIT64, []uint64{0, Mark, 0x1234, 0}},
		"the mark, high":         {errno(unix.EPERM), unix.SYS_PRLIMIT64, []uint64{0, Mark, high, 0}},
		"the mark, disguised":    {errno(unix.EPERM), unix.SYS_PRLIMIT64, []uint64{0, high | Mark, 0x1234, 0}},
		"the mark, as of old":    {errno(unix.EPERM), unix.SYS_SETRLIMIT, []uint64{Mark, 0x1234}},
		"nice":                   {retAllow, unix.SYS_SETPRIORITY, []uint64{unix.PRIO_PROCESS, 0, 5}},
		"another's priority":     {errno(unix.EPERM), unix.SYS_SETPRIORITY, []uint64{unix.PRIO_PROCESS, 7, 5}},
		"the priority of all":    {errno(unix.EPERM), unix.SYS_SETPRIORITY, []uint64{unix.PRIO_USER, 0, 5}},
		"System V shared memory": {errno(unix.EPERM), unix.SYS_SHMGET, nil},
		"another's processors":   {errno(unix.EPERM), unix.SYS_SCHED_SETAFFINITY, []uint64{7}},
		"own processors":         {retAllow, unix.SYS_SCHED_SETAFFINITY, []uint64{0}},
	} {
		if got := run(t, prog, auditArch, c.nr, c.args...); got != c.want {
			t.Errorf("%s: got %#x, want %#x", name, got, c.want)
		}
	}
}
