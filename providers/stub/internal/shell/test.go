package shell

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

// tester answers the questions of test, [ and [[.
type tester struct {
	fs    *memfs.FS
	dir   string
	fds   *fds
	isSet func(name string) bool
	isOpt func(name string) bool
	// of the expression of test:
	args []string
	err  error
}

func (t *tester) stat(name string, follow bool) (fs.FileInfo, bool) {
	if name == "" {
		return nil, false
	}
	stat := t.fs.Stat
	if !follow {
		stat = t.fs.Lstat
	}
	fi, err := stat(memfs.Join(t.dir, name))
	return fi, err == nil
}

var unaryOps = "bcdefghkLnNoOprsStuvwxzG"

func isUnary(s string) bool {
	return len(s) == 2 && s[0] == '-' && strings.IndexByte(unaryOps, s[1]) >= 0
}

func (t *tester) unary(op byte, arg string) bool {
	switch op {
	case 'n':
		return arg != ""
	case 'z':
		return arg == ""
	case 't':
		n, err := strconv.Atoi(arg)
		return err == nil && t.fds.isTerminal(n)
	case 'v':
		return t.isSet != nil && t.isSet(arg)
	case 'o':
		return t.isOpt != nil && t.isOpt(arg)
	}
	fi, ok := t.stat(arg, op != 'h' && op != 'L')
	return ok && t.file(op, fi)
}

func (t *tester) file(op byte, fi fs.FileInfo) bool {
	m := fi.Mode()
	switch op {
	case 'e', 'O', 'G', 'N':
		return true
	case 'f':
		return m.IsRegular()
	case 'd':
		return m.IsDir()
	case 'h', 'L':
		return m&fs.ModeSymlink != 0
	case 's':
		return fi.Size() > 0 || m.IsDir()
	case 'c':
		return m&fs.ModeCharDevice != 0
	case 'r', 'w', 'x':
		return t.may(op, m)
	case 'u':
		return m&fs.ModeSetuid != 0
	case 'g':
		return m&fs.ModeSetgid != 0
	case 'k':
		return m&fs.ModeSticky != 0
	}
	return false
}

func (t *tester) may(op byte, m fs.FileMode) bool {
	switch {
	case op == 'x' && !t.fs.Unprivileged():
		return m.IsDir() || m&0o111 != 0
	case !t.fs.Unprivileged():
		return true
	case op == 'r':
		return m&0o400 != 0
	case op == 'w':
		return m&0o200 != 0
	}
	return m&0o100 != 0
}

func isBinary(op string) bool {
	switch op {
	case "=", "==", "!=", "<", ">", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef":
		return true
	}
	return false
}

func (t *tester) binary(x, op, y string) bool {
	switch op {
	case "=", "==":
		return x == y
	case "!=":
		return x != y
	case "<":
		return x < y
	case ">":
		return x > y
	case "-nt", "-ot", "-ef":
		return t.compareFiles(x, op, y)
	}
	return t.compareNumbers(t.number(x), op, t.number(y))
}

func (t *tester) number(s string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil && t.err == nil {
		t.err = fmt.Errorf("Illegal number: %s", s)
	}
	return n
}

func (t *tester) compareNumbers(x int64, op string, y int64) bool {
	switch op {
	case "-eq":
		return x == y
	case "-ne":
		return x != y
	case "-lt":
		return x < y
	case "-le":
		return x <= y
	case "-gt":
		return x > y
	}
	return x >= y
}

func (t *tester) compareFiles(x, op, y string) bool {
	a, okA := t.stat(x, true)
	b, okB := t.stat(y, true)
	switch op {
	case "-nt":
		return okA && (!okB || a.ModTime().After(b.ModTime()))
	case "-ot":
		return okB && (!okA || a.ModTime().Before(b.ModTime()))
	}
	return okA && okB && memfs.SameFile(a, b)
}

// run evaluates the arguments of test: 0 true, 1 false, 2 with an error.
func (t *tester) run(args []string) (int, error) {
	t.args = args
	ok := len(args) > 0 && t.or()
	if t.err == nil && len(t.args) > 0 {
		t.err = fmt.Errorf("%s: unexpected operator", t.args[0])
	}
	if t.err != nil {
		return 2, t.err
	}
	return oneIf(!ok), nil
}

func (t *tester) accept(s string) bool {
	if len(t.args) > 0 && t.args[0] == s {
		t.args = t.args[1:]
		return true
	}
	return false
}

func (t *tester) or() bool {
	ok := t.and()
	for t.accept("-o") {
		ok = t.and() || ok
	}
	return ok
}

func (t *tester) and() bool {
	ok := t.primary()
	for t.accept("-a") {
		ok = t.primary() && ok
	}
	return ok
}

// primary lets the number of arguments decide what is an operator.
func (t *tester) primary() bool {
	a := t.args
	switch {
	case len(a) == 0:
		t.err = errors.New("argument expected")
		return false
	case len(a) >= 3 && isBinary(a[1]):
		t.args = a[3:]
		return t.binary(a[0], a[1], a[2])
	case len(a) > 1 && a[0] == "!":
		t.args = a[1:]
		return !t.primary()
	case len(a) > 1 && a[0] == "(":
		t.args = a[1:]
		ok := t.or()
		if !t.accept(")") {
			t.err = errors.New("closing paren expected")
		}
		return ok
	case len(a) > 1 && isUnary(a[0]):
		t.args = a[2:]
		return t.unary(a[0][1], a[1])
	}
	t.args = a[1:]
	return a[0] != ""
}
