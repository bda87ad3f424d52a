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
	p := append(make(program, 0, 1024),
		load(archOffset),
		jump(unix.BPF_JEQ, auditArch, 1, 0),
		fail(unix.ENOSYS),
		load(nrOffset),
		jump(unix.BPF_JGE, ceiling, 0, 1),
		fail(unix.ENOSYS),
	)
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, func(a, b Rule) int { return cmp.Compare(a.Nr, b.Nr) })
	p.search(rules)
	return p
}

const (
	fewRules = 4
	maxJump  = 255
)

// A program is what has been assembled of it.
type program []unix.SockFilter

// search assembles rules that are sorted by number.
func (p *program) search(rules []Rule) {
	mid := len(rules) / 2
	for mid < len(rules) && mid > 0 && rules[mid].Nr == rules[mid-1].Nr {
		mid++ // the rules of one call stay together
	}
	if len(rules) <= fewRules || mid == len(rules) {
		p.linear(rules)
		return
	}
	start := len(*p)
	*p = append(*p, jump(unix.BPF_JGE, rules[mid].Nr, 0, 0))
	p.search(rules[:mid])
	low := len(*p) - start - 1
	if low > maxJump {
		*p = (*p)[:start]
		p.linear(rules)
		return
	}
	(*p)[start].Jt = uint8(low)
	p.search(rules[mid:])
}

func (p *program) linear(rules []Rule) {
	for _, r := range rules {
		p.rule(r)
	}
	*p = append(*p, ret(retAllow))
}

func (p *program) rule(r Rule) {
	verdict := fail(r.Errno)
	if len(r.When) == 0 {
		*p = append(*p, jump(unix.BPF_JEQ, r.Nr, 0, 1), verdict)
		return
	}
	const last = 2 // the verdict, and the number loaded again
	end := last - 1
	for _, c := range r.When {
		end += c.size()
	}
	*p = append(*p, jump(unix.BPF_JEQ, r.Nr, 0, end+1))
	for _, c := range r.When {
		*p = append(*p, load(c.offset()))
		if c.Mask != 0 {
			*p = append(*p, stmt(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, c.Mask))
		}
		end -= c.size()
		*p = append(*p, c.jump(end))
	}
	*p = append(*p, verdict, load(nrOffset))
}

// size is how many instructions the condition takes.
func (c Cond) size() int {
	if c.Mask == 0 {
		return 2
	}
	return 3
}

// offset is where the condition finds what it compares.
func (c Cond) offset() uint32 {
	if c.High {
		return argOffset + 8*c.Arg + 4
	}
	return argOffset + 8*c.Arg
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
// everything it will start, with more rules than those of Table if there are to
// be. It also gives up gaining privileges by exec.
func Install(more ...Rule) error { return installEverywhere(append(Table(), more...)) }

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
