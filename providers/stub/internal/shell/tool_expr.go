package shell

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"
)

const truncFlag = syscall.O_TRUNC

// expression evaluates the arguments of expr.
type expression struct{ args []string }

var exprLevels = [][]string{{"|"}, {"&"}, {"=", "==", "!=", "<", "<=", ">", ">="}, {"+", "-"}, {"*", "/", "%"}, {":"}}

var errSyntax = errors.New("syntax error")

func exprTool(_ context.Context, p *Proc) int {
	args := p.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		p.errorf("missing operand")
		return 2
	}
	e := &expression{args}
	v, err := e.level(0)
	if err == nil && len(e.args) > 0 {
		err = errors.New("syntax error: unexpected argument '" + e.args[0] + "'")
	}
	if err != nil {
		p.errorf("%v", err)
		return 2
	}
	p.write(v + "\n")
	return oneIf(isNull(v))
}

// isNull is what expr takes for false.
func isNull(v string) bool {
	n, err := strconv.Atoi(v)
	return v == "" || err == nil && n == 0
}

func (e *expression) level(n int) (string, error) {
	if n == len(exprLevels) {
		return e.operand()
	}
	left, err := e.level(n + 1)
	for err == nil && len(e.args) > 0 && contains(exprLevels[n], e.args[0]) {
		op := e.args[0]
		e.args = e.args[1:]
		var right string
		if right, err = e.level(n + 1); err == nil {
			left, err = exprOp(left, op, right)
		}
	}
	return left, err
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func (e *expression) operand() (string, error) {
	if len(e.args) == 0 {
		return "", errSyntax
	}
	a := e.args[0]
	e.args = e.args[1:]
	switch {
	case a == "(":
		v, err := e.level(0)
		if err == nil && (len(e.args) == 0 || e.args[0] != ")") {
			return "", errSyntax
		}
		if err == nil {
			e.args = e.args[1:]
		}
		return v, err
	case a == "length" && len(e.args) > 0:
		v, err := e.operand()
		return strconv.Itoa(utf8.RuneCountInString(v)), err
	case a == "match" && len(e.args) > 1:
		return e.two(exprMatch)
	case a == "index" && len(e.args) > 1:
		return e.two(func(s, set string) (string, error) { return strconv.Itoa(strings.IndexAny(s, set) + 1), nil })
	case a == "substr" && len(e.args) > 2:
		return e.substr()
	}
	return a, nil
}

func (e *expression) two(f func(a, b string) (string, error)) (string, error) {
	a, err := e.operand()
	if err != nil {
		return "", err
	}
	b, err := e.operand()
	if err != nil {
		return "", err
	}
	return f(a, b)
}

func (e *expression) substr() (string, error) {
	s, from, n := []rune(e.args[0]), e.args[1], e.args[2]
	e.args = e.args[3:]
	at, err1 := strconv.Atoi(from)
	length, err2 := strconv.Atoi(n)
	if err1 != nil || err2 != nil || at < 1 || length < 1 || at > len(s) {
		return "", nil //nolint:nilerr // POSIX: nothing, where there is no such piece
	}
	return string(s[at-1 : min(len(s), at-1+length)]), nil
}

func exprOp(a, op, b string) (string, error) {
	switch op {
	case "|":
		if !isNull(a) {
			return a, nil
		}
		if isNull(b) {
			return "0", nil
		}
		return b, nil
	case "&":
		if isNull(a) || isNull(b) {
			return "0", nil
		}
		return a, nil
	case ":":
		return exprMatch(a, b)
	}
	x, errX := strconv.ParseInt(a, 10, 64)
	y, errY := strconv.ParseInt(b, 10, 64)
	if strings.ContainsAny(op, "=<>") {
		n := strings.Compare(a, b)
		if errX == nil && errY == nil {
			n = oneIf(x > y) - oneIf(x < y)
		}
		return strconv.Itoa(oneIf(compares(n, op))), nil
	}
	if errX != nil || errY != nil {
		return "", errors.New("non-integer argument")
	}
	return exprArith(x, op, y)
}

func compares(n int, op string) bool {
	switch op {
	case "=", "==":
		return n == 0
	case "!=":
		return n != 0
	case "<":
		return n < 0
	case "<=":
		return n <= 0
	case ">":
		return n > 0
	}
	return n >= 0
}

func exprArith(x int64, op string, y int64) (string, error) {
	if y == 0 && (op == "/" || op == "%") {
		return "", errors.New("division by zero")
	}
	v := int64(0)
	switch op {
	case "+":
		v = x + y
	case "-":
		v = x - y
	case "*":
		v = x * y
	case "/":
		v = x / y
	default:
		v = x % y
	}
	return strconv.FormatInt(v, 10), nil
}

// exprMatch matches at the start; the value is the first group or the length.
func exprMatch(s, pat string) (string, error) {
	re, err := compile("^"+strings.TrimPrefix(pat, "^"), false, false)
	if err != nil {
		return "", err
	}
	m := re.FindStringSubmatch(s)
	switch {
	case re.NumSubexp() > 0 && m != nil:
		return m[1], nil
	case re.NumSubexp() > 0:
		return "", nil
	case m == nil:
		return "0", nil
	}
	return strconv.Itoa(utf8.RuneCountInString(m[0])), nil
}
