//go:build linux && (amd64 || arm64)

package seccomp

import (
	"cmp"
	"errors"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data. Arguments are 64 bits, little endian on
// both architectures, so the low word of argument n is at argOffset+8n.
const (
	nrOffset   = 0
	archOffset = 4
	argOffset  = 16
)

const (
	retAllow = unix.SECCOMP_RET_ALLOW
	retErrno = unix.SECCOMP_RET_ERRNO
)

func stmt(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }

func load(offset uint32) unix.SockFilter {
	return stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset)
}

func ret(action uint32) unix.SockFilter { return stmt(unix.BPF_RET|unix.BPF_K, action) }

func fail(errno unix.Errno) unix.SockFilter { return ret(retErrno | uint32(errno)) }

// jump skips yes instructions when the test holds and no when it does not.
func jump(test uint16, k uint32, yes, no int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, Jt: uint8(yes), Jf: uint8(no), K: k}
}

// Assemble turns the table into a program: a binary search for the system
// call's number, since the kernel runs the program for every number there is
// when it is installed. Each rule is a block that falls through to the next
// with the number still loaded.
func Assemble(rules []Rule) []unix.SockFilter {
	prog := []unix.SockFilter{
		load(archOffset),
		jump(unix.BPF_JEQ, auditArch, 1, 0),
		fail(unix.ENOSYS),
		load(nrOffset),
		jump(unix.BPF_JGE, ceiling, 0, 1),
		fail(unix.ENOSYS),
	}
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, func(a, b Rule) int { return cmp.Compare(a.Nr, b.Nr) })
	return append(prog, search(rules)...)
}

const (
	fewRules = 4
	maxJump  = 255
)

// search assembles rules that are sorted by number.
func search(rules []Rule) []unix.SockFilter {
	mid := len(rules) / 2
	for mid < len(rules) && mid > 0 && rules[mid].Nr == rules[mid-1].Nr {
		mid++ // the rules of one call stay together
	}
	if len(rules) <= fewRules || mid == len(rules) {
		return linear(rules)
	}
	low, high := search(rules[:mid]), search(rules[mid:])
	if len(low) > maxJump {
		return linear(rules)
	}
	prog := append([]unix.SockFilter{jump(unix.BPF_JGE, rules[mid].Nr, len(low), 0)}, low...)
	return append(prog, high...)
}

func linear(rules []Rule) []unix.SockFilter {
	var prog []unix.SockFilter
	for _, r := range rules {
		prog = append(prog, r.assemble()...)
	}
	return append(prog, ret(retAllow))
}

func (r Rule) assemble() []unix.SockFilter {
	verdict := fail(r.Errno)
	if len(r.When) == 0 {
		return []unix.SockFilter{jump(unix.BPF_JEQ, r.Nr, 0, 1), verdict}
	}
	var body []unix.SockFilter
	for _, c := range r.When {
		body = append(body, c.load()...)
		body = append(body, c.jump(r.skip(len(body))))
	}
	body = append(body, verdict, load(nrOffset))
	return append([]unix.SockFilter{jump(unix.BPF_JEQ, r.Nr, 0, len(body))}, body...)
}

// skip counts the instructions between the condition at index done and the
// block's end, where the number is loaded again.
func (r Rule) skip(done int) int {
	all := len(r.When)
	for _, c := range r.When {
		all += len(c.load())
	}
	return all - done
}

// load fetches what the condition compares.
func (c Cond) load() []unix.SockFilter {
	offset := argOffset + 8*c.Arg
	if c.High {
		offset += 4
	}
	if c.Mask == 0 {
		return []unix.SockFilter{load(offset)}
	}
	return []unix.SockFilter{load(offset), stmt(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, c.Mask)}
}

// jump goes on when the condition holds and to the block's end when not.
func (c Cond) jump(end int) unix.SockFilter {
	switch c.Op {
	case AnyBit:
		return jump(unix.BPF_JSET, c.Value, 0, end)
	case NoBit:
		return jump(unix.BPF_JSET, c.Value, end, 0)
	case NotEqual:
		return jump(unix.BPF_JEQ, c.Value, end, 0)
	default:
		return jump(unix.BPF_JEQ, c.Value, 0, end)
	}
}

// Install puts the filter on all threads of this process, for ever, and on
// everything it will start. It also gives up gaining privileges by exec.
func Install() error { return installEverywhere(Table()) }

// InstallAlone is Install for a process that is to start and touch no other.
func InstallAlone() error { return installEverywhere(append(Table(), alone()...)) }

func installEverywhere(rules []Rule) error {
	runtime.LockOSThread() // the filter spreads this thread's state to the others
	defer runtime.UnlockOSThread()
	return install(rules, unix.SECCOMP_FILTER_FLAG_TSYNC)
}

// InstallHere puts the filter of some rules on the calling thread alone, which
// the caller must have locked, and on everything that this thread will start.
func InstallHere(rules []Rule) error { return install(rules, 0) }

func install(rules []Rule, flags uintptr) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := Assemble(rules)
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	tid, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		flags, uintptr(unsafe.Pointer(&fprog)))
	switch {
	case errno != 0:
		return errno
	case tid != 0:
		return errors.New("a thread refused the seccomp filter")
	}
	return nil
}
