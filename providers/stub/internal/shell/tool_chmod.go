package shell

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
)

var errMode = errors.New("invalid mode")

// parseMode applies an octal or symbolic mode to old. Without who, the umask
// counts.
func parseMode(s string, old fs.FileMode, umask uint32, dir bool) (fs.FileMode, error) {
	if n, err := strconv.ParseUint(s, 8, 16); err == nil {
		return fromBits(uint32(n)), nil
	}
	bits := toBits(old)
	for clause := range strings.SplitSeq(s, ",") {
		var err error
		if bits, err = modeClause(clause, bits, umask, dir); err != nil {
			return 0, err
		}
	}
	return fromBits(bits), nil
}

func modeClause(s string, bits, umask uint32, dir bool) (uint32, error) {
	who := uint32(0)
	for s != "" && strings.IndexByte("ugoa", s[0]) >= 0 {
		who |= map[byte]uint32{'u': 0o4700, 'g': 0o2070, 'o': 0o1007, 'a': 0o7777}[s[0]]
		s = s[1:]
	}
	mask := uint32(0o7777)
	if who == 0 {
		who, mask = 0o7777, 0o7777&^umask
	}
	if s == "" {
		return 0, errMode
	}
	for s != "" {
		op := s[0]
		if op != '+' && op != '-' && op != '=' {
			return 0, errMode
		}
		end := 1 + len(s[1:]) - len(strings.TrimLeft(s[1:], "rwxXstugo"))
		perm := permBits(s[1:end], bits, dir) & who & mask
		s = s[end:]
		switch op {
		case '+':
			bits |= perm
		case '-':
			bits &^= perm
		default:
			bits = bits&^(who&0o777) | perm
		}
	}
	return bits, nil
}

func permBits(s string, bits uint32, dir bool) (out uint32) {
	for _, c := range s {
		switch c {
		case 'r':
			out |= 0o444
		case 'w':
			out |= 0o222
		case 'x':
			out |= 0o111
		case 'X':
			if dir || bits&0o111 != 0 {
				out |= 0o111
			}
		case 's':
			out |= 0o6000
		case 't':
			out |= 0o1000
		case 'u':
			out |= bits >> 6 & 7 * 0o111
		case 'g':
			out |= bits >> 3 & 7 * 0o111
		case 'o':
			out |= bits & 7 * 0o111
		}
	}
	return out
}

func toBits(m fs.FileMode) uint32 {
	b := uint32(m.Perm())
	for i, special := range []fs.FileMode{fs.ModeSticky, fs.ModeSetgid, fs.ModeSetuid} {
		if m&special != 0 {
			b |= 0o1000 << i
		}
	}
	return b
}

func fromBits(b uint32) fs.FileMode {
	m := fs.FileMode(b & 0o777)
	for i, special := range []fs.FileMode{fs.ModeSticky, fs.ModeSetgid, fs.ModeSetuid} {
		if b&(0o1000<<i) != 0 {
			m |= special
		}
	}
	return m
}

func chmodTool(_ context.Context, p *Proc) int {
	args := p.Args[1:]
	recursive := false
	for len(args) > 0 && (args[0] == "-R" || args[0] == "--recursive" || args[0] == "--") {
		recursive = recursive || args[0] != "--"
		args = args[1:]
	}
	if len(args) < 2 {
		return p.errorf("missing operand")
	}
	if _, err := parseMode(args[0], 0, 0, false); err != nil {
		if args[0][0] == '-' {
			return p.errorf("invalid option -- '%s'", args[0][1:])
		}
		return p.errorf("invalid mode: '%s'", args[0])
	}
	code := 0
	for _, name := range args[1:] {
		code |= p.chmod(args[0], name, recursive)
	}
	return code
}

func (p *Proc) chmod(mode, name string, recursive bool) int {
	fi, err := p.FS.Stat(p.Path(name))
	if err != nil {
		return p.errorf("cannot access '%s': %s", name, because(err))
	}
	m, _ := parseMode(mode, fi.Mode(), p.umask, fi.IsDir())
	if err := p.FS.Chmod(p.Path(name), m); err != nil {
		return p.errorf("changing permissions of '%s': %s", name, because(err))
	}
	if !recursive || !fi.IsDir() {
		return 0
	}
	list, err := p.FS.ReadDir(p.Path(name))
	if err != nil {
		return p.errorf("cannot read directory '%s': %s", name, because(err))
	}
	code := 0
	for _, e := range list {
		if e.Type()&fs.ModeSymlink == 0 {
			code |= p.chmod(mode, name+"/"+e.Name(), true)
		}
	}
	return code
}
