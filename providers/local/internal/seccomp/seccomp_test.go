//go:build linux && (amd64 || arm64)

package seccomp

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// run interprets a program as the kernel would.
func run(t *testing.T, prog []unix.SockFilter, arch, nr uint32, args ...uint64) uint32 {
	t.Helper()
	data := make([]byte, 64)
	binary.LittleEndian.PutUint32(data[nrOffset:], nr)
	binary.LittleEndian.PutUint32(data[archOffset:], arch)
	for i, a := range args {
		binary.LittleEndian.PutUint64(data[argOffset+8*i:], a)
	}
	var acc uint32
	for pc := 0; pc < len(prog); pc++ {
		in := prog[pc]
		holds := false
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = binary.LittleEndian.Uint32(data[in.K:])
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= in.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			holds = acc == in.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			holds = acc >= in.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			holds = acc&in.K != 0
		default:
			t.Fatalf("unknown instruction %#x", in.Code)
		}
		if holds {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
	t.Fatal("ran off the end")
	return 0
}

func TestTable(t *testing.T) {
	prog := Assemble(Table())
	if len(prog) > 4096 {
		t.Fatalf("%d instructions are more than the kernel takes", len(prog))
	}
	errno := func(e unix.Errno) uint32 { return retErrno | uint32(e) }
	for name, c := range map[string]struct {
		want uint32
		arch uint32
		nr   uint32
		args []uint64
	}{
		"read":             {retAllow, auditArch, unix.SYS_READ, nil},
		"exit_group":       {retAllow, auditArch, unix.SYS_EXIT_GROUP, nil},
		"mount":            {errno(unix.EPERM), auditArch, unix.SYS_MOUNT, nil},
		"ptrace":           {errno(unix.EPERM), auditArch, unix.SYS_PTRACE, nil},
		"last of list":     {errno(unix.EPERM), auditArch, unix.SYS_CLOCK_ADJTIME, nil},
		"clone3":           {errno(unix.ENOSYS), auditArch, unix.SYS_CLONE3, nil},
		"other machine":    {errno(unix.ENOSYS), auditArch ^ 1, unix.SYS_READ, nil},
		"thread":           {retAllow, auditArch, unix.SYS_CLONE, []uint64{0x3d0f00}},
		"fork":             {retAllow, auditArch, unix.SYS_CLONE, []uint64{0x1200011}},
		"high bits":        {retAllow, auditArch, unix.SYS_CLONE, []uint64{0x10000000 << 32}},
		"clone newuser":    {errno(unix.EPERM), auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER | 17}},
		"clone newuts":     {errno(unix.EPERM), auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_NEWUTS | 17}},
		"unshare newns":    {errno(unix.EPERM), auditArch, unix.SYS_UNSHARE, []uint64{unix.CLONE_NEWNS}},
		"unshare newtime":  {errno(unix.EPERM), auditArch, unix.SYS_UNSHARE, []uint64{unix.CLONE_NEWTIME}},
		"unshare files":    {retAllow, auditArch, unix.SYS_UNSHARE, []uint64{unix.CLONE_FILES}},
		"unshare newuts":   {retAllow, auditArch, unix.SYS_UNSHARE, []uint64{unix.CLONE_NEWUTS}},
		"ioctl":            {retAllow, auditArch, unix.SYS_IOCTL, []uint64{0, unix.TCGETS}},
		"tiocsti":          {errno(unix.EPERM), auditArch, unix.SYS_IOCTL, []uint64{0, unix.TIOCSTI}},
		"tiocsti disguise": {errno(unix.EPERM), auditArch, unix.SYS_IOCTL, []uint64{0, unix.TIOCSTI | 1<<32}},
		"tioclinux":        {errno(unix.EPERM), auditArch, unix.SYS_IOCTL, []uint64{0, unix.TIOCLINUX}},
		"unix socket":      {retAllow, auditArch, unix.SYS_SOCKET, []uint64{unix.AF_UNIX, 1, 0}},
		"inet socket":      {retAllow, auditArch, unix.SYS_SOCKET, []uint64{unix.AF_INET, 1, 6}},
		"inet6 socket":     {retAllow, auditArch, unix.SYS_SOCKET, []uint64{unix.AF_INET6, 1, 0}},
		"route":            {retAllow, auditArch, unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, 3, 0}},
		"netfilter":        {errno(unix.EPROTONOSUPPORT), auditArch, unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, 3, 12}},
		"packet":           {errno(unix.EAFNOSUPPORT), auditArch, unix.SYS_SOCKET, []uint64{unix.AF_PACKET, 3, 0}},
		"vsock":            {errno(unix.EAFNOSUPPORT), auditArch, unix.SYS_SOCKET, []uint64{unix.AF_VSOCK, 1, 0}},
	} {
		if got := run(t, prog, c.arch, c.nr, c.args...); got != c.want {
			t.Errorf("%s: got %#x, want %#x", name, got, c.want)
		}
	}
}

func TestEveryForbiddenCallIsRefused(t *testing.T) {
	prog := Assemble(Table())
	for _, nr := range append(forbidden[:len(forbidden):len(forbidden)], forbiddenHere...) {
		if got := run(t, prog, auditArch, nr); got != retErrno|uint32(unix.EPERM) {
			t.Errorf("%d: %#x", nr, got)
		}
	}
}
