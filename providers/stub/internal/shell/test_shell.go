package shell

import (
	"errors"
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

func testBuiltin(sh *shell, args []string) int {
	t := sh.tester()
	code, err := bracketTest(&t, args)
	if err != nil {
		sh.errorf("%s: %v", args[0], err)
	}
	return code
}

func bracketTest(t *tester, args []string) (int, error) {
	if args[0] == "[" {
		if args[len(args)-1] != "]" {
			return 2, errors.New("missing ]")
		}
		args = args[:len(args)-1]
	}
	return t.run(args[1:])
}

func (sh *shell) tester() tester {
	return tester{
		fds: &sh.fds,
		fs:  sh.fs, dir: sh.dir,
		isSet: func(name string) bool { return sh.vars.get(name).IsSet() },
		isOpt: func(name string) bool { p := sh.opts.byName(name); return p != nil && *p },
	}
}

// testExpr evaluates [[ ]].
func (sh *shell) testExpr(x syntax.TestExpr) (bool, error) {
	switch x := x.(type) {
	case *syntax.Word:
		return sh.literal(x) != "", nil
	case *syntax.ParenTest:
		return sh.testExpr(x.X)
	case *syntax.UnaryTest:
		if x.Op == syntax.TsNot {
			ok, err := sh.testExpr(x.X)
			return !ok, err
		}
		t := sh.tester()
		op := x.Op.String()
		if op == "-a" {
			op = "-e"
		}
		return t.unary(op[1], sh.literal(x.X.(*syntax.Word))), t.err
	case *syntax.BinaryTest:
		return sh.binaryTest(x)
	}
	return false, errors.New("not supported in [[")
}

func (sh *shell) binaryTest(x *syntax.BinaryTest) (bool, error) {
	if x.Op == syntax.AndTest || x.Op == syntax.OrTest {
		ok, err := sh.testExpr(x.X)
		if err != nil || ok == (x.Op == syntax.OrTest) {
			return ok, err
		}
		return sh.testExpr(x.Y)
	}
	left, right := sh.literal(x.X.(*syntax.Word)), x.Y.(*syntax.Word)
	switch x.Op {
	case syntax.TsReMatch:
		return sh.regexTest(left, right)
	case syntax.TsMatch, syntax.TsMatchShort, syntax.TsNoMatch:
		pat, err := expand.Pattern(sh.config(), right)
		return globMatch(pat, left) == (x.Op != syntax.TsNoMatch), err
	}
	t := sh.tester()
	op := x.Op.String()
	if strings.HasPrefix(op, "-") && len(op) == 3 && !strings.Contains("-nt-ot-ef", op) {
		return t.compareNumbers(sh.evalNumber(left), op, sh.evalNumber(sh.literal(right))), nil
	}
	return t.binary(left, op, sh.literal(right)), t.err
}

// evalNumber is an arithmetic expression given as text.
func (sh *shell) evalNumber(s string) int64 {
	x, err := syntax.NewParser().Arithmetic(strings.NewReader(s))
	if err != nil || x == nil {
		return 0
	}
	return int64(sh.arithm(x))
}

func (sh *shell) regexTest(s string, w *syntax.Word) (bool, error) {
	re, err := regexp.Compile(sh.regexWord(w))
	if err != nil {
		return false, errors.New("invalid regular expression")
	}
	m := re.FindStringSubmatch(s)
	sh.vars.put("BASH_REMATCH", expand.Variable{Set: true, Kind: expand.Indexed, List: m})
	return m != nil, nil
}

// regexWord expands a word in which quoted parts stand for themselves.
func (sh *shell) regexWord(w *syntax.Word) string {
	var b strings.Builder
	for _, part := range w.Parts {
		s := ""
		switch part := part.(type) {
		case *syntax.Lit:
			s = part.Value
		case *syntax.SglQuoted, *syntax.DblQuoted:
			s = regexp.QuoteMeta(sh.literal(&syntax.Word{Parts: []syntax.WordPart{part}}))
		default:
			s = sh.literal(&syntax.Word{Parts: []syntax.WordPart{part}})
		}
		b.WriteString(s)
	}
	return b.String()
}
