package local

import (
	"strconv"
	"strings"
)

// A fileMode is what --chmod makes of a mode: it is octal digits, or changes
// such as "u=rwX,go=rX".
type fileMode []modeChange

// modeOfSource leaves modes as they are.
var modeOfSource fileMode

// modeChange is a part of a fileMode.
type modeChange struct {
	who    int64  // bits that it may set
	all    bool   // it does not say whose: "=" takes all away
	op     byte   // '=', '+' or '-'
	perm   string // letters of rwxXst
	copied byte   // or u, g or o, whose permissions are taken
	octal  int64  // or all of the mode; op is 0 then
}

// usualMask are the bits that changes leave alone which do not say whose.
const usualMask = 0o022

// parseMode reads octal digits.
func parseMode(s string) (int64, error) {
	m, err := strconv.ParseUint(s, 8, 12)
	if err != nil {
		return 0, wrong("a mode is octal digits, such as 755")
	}
	return int64(m), nil
}

func parseFileMode(s string) (fileMode, error) {
	if s != "" && strings.Trim(s, "0123456789") == "" {
		m, err := parseMode(s)
		return fileMode{{octal: m}}, err
	}
	var all fileMode
	for _, clause := range strings.Split(s, ",") {
		changes, ok := parseClause(clause)
		if !ok {
			return nil, wrong("a mode is octal digits, such as 755, or changes, such as u=rwX,go=rX")
		}
		all = append(all, changes...)
	}
	return all, nil
}

// parseClause reads whose permissions are changed, and how: "go-w+r".
func parseClause(s string) (fileMode, bool) {
	rest := strings.TrimLeft(s, "ugoa")
	who := int64(0)
	for _, c := range s[:len(s)-len(rest)] {
		who |= map[rune]int64{'u': 0o4700, 'g': 0o2070, 'o': 0o1007, 'a': 0o7777}[c]
	}
	all := who == 0
	if all {
		who = 0o7777 &^ usualMask
	}
	var changes fileMode
	for rest != "" {
		c := modeChange{who: who, all: all, op: rest[0]}
		if !strings.ContainsRune("=+-", rune(c.op)) {
			return nil, false
		}
		rest = rest[1:]
		end := strings.IndexAny(rest, "=+-")
		if end < 0 {
			end = len(rest)
		}
		c.perm, rest = rest[:end], rest[end:]
		switch {
		case c.perm == "u" || c.perm == "g" || c.perm == "o":
			c.copied, c.perm = c.perm[0], ""
		case strings.Trim(c.perm, "rwxXst") != "":
			return nil, false
		}
		changes = append(changes, c)
	}
	return changes, len(changes) > 0
}

// of returns what becomes of a mode.
func (m fileMode) of(mode int64, isDir bool) int64 {
	for _, c := range m {
		bits := c.bits(mode, isDir) & c.who
		switch c.op {
		case '+':
			mode |= bits
		case '-':
			mode &^= bits
		case '=':
			kept := ^c.who
			if c.all {
				kept = 0
			}
			if isDir { // which keep those of special bits that are not named
				kept |= 0o6000
			}
			mode = mode&kept | bits
		default:
			mode = c.octal
		}
	}
	return mode
}

// bits are those that a change names, for everybody.
func (c modeChange) bits(mode int64, isDir bool) int64 {
	switch c.copied {
	case 'u':
		return mode >> 6 & 7 * 0o111
	case 'g':
		return mode >> 3 & 7 * 0o111
	case 'o':
		return mode & 7 * 0o111
	}
	var bits int64
	for _, p := range c.perm {
		switch p {
		case 'r':
			bits |= 0o444
		case 'w':
			bits |= 0o222
		case 'x':
			bits |= 0o111
		case 'X':
			if isDir || mode&0o111 != 0 {
				bits |= 0o111
			}
		case 's':
			bits |= 0o6000
		case 't':
			bits |= 0o1000
		}
	}
	return bits
}
