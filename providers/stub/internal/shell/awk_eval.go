package shell

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// looksNumeric parses the longest number at the start; whole is whether there
// is nothing else.
func looksNumeric(s string) (v float64, whole bool) {
	s = strings.TrimSpace(s)
	end := 0
	if end < len(s) && (s[end] == '-' || s[end] == '+') {
		end++
	}
	end += awkNumberLen(s[end:])
	v, err := strconv.ParseFloat(s[:end], 64)
	for err != nil && end > 0 && v == 0 {
		end--
		v, err = strconv.ParseFloat(s[:end], 64)
	}
	return v, end == len(s) && end > 0
}

func (v awkValue) num() float64 {
	if v.isNum {
		return v.n
	}
	n, _ := looksNumeric(v.s)
	return n
}

func (v awkValue) str(r *awkRun) string {
	if !v.isNum {
		return v.s
	}
	if v.n == math.Trunc(v.n) && math.Abs(v.n) < 1e16 {
		return strconv.FormatFloat(v.n, 'f', 0, 64)
	}
	return fmt.Sprintf(r.vars["CONVFMT"].s, v.n)
}

// numeric is whether the value compares as a number.
func (v awkValue) numeric() bool {
	if v.isNum || v == (awkValue{}) {
		return true
	}
	_, whole := looksNumeric(v.s)
	return v.loose && whole
}

func (v awkValue) truth() bool {
	if v.numeric() {
		return v.num() != 0
	}
	return v.s != ""
}

func awkBool(b bool) awkValue { return awkNum(float64(oneIf(b))) }

func (r *awkRun) eval(n *awkNode) awkValue {
	switch n.op {
	case "num":
		return awkNum(n.num)
	case "str":
		return awkStr(n.text)
	case "re":
		return awkBool(r.regex(n.text).MatchString(r.whole()))
	case "group":
		return r.eval(n.kids[0])
	case "var", "index", "$":
		return r.get(n)
	case "assign":
		return r.assign(n)
	case "pre", "post":
		old := r.get(n.kids[0]).num()
		v := old + 1
		if n.text == "-" {
			v = old - 1
		}
		r.set(n.kids[0], awkNum(v))
		if n.op == "post" {
			v = old
		}
		return awkNum(v)
	case "call":
		return r.call(n)
	case "?":
		if r.eval(n.kids[0]).truth() {
			return r.eval(n.kids[1])
		}
		return r.eval(n.kids[2])
	case "&&":
		return awkBool(r.eval(n.kids[0]).truth() && r.eval(n.kids[1]).truth())
	case "||":
		return awkBool(r.eval(n.kids[0]).truth() || r.eval(n.kids[1]).truth())
	case "in":
		_, ok := r.arrays[n.text][r.subscript(n.kids)]
		return awkBool(ok)
	case "u!":
		return awkBool(!r.eval(n.kids[0]).truth())
	case "u-":
		return awkNum(-r.eval(n.kids[0]).num())
	case "u+":
		return awkNum(r.eval(n.kids[0]).num())
	case "~", "!~":
		return awkBool(r.pattern(n.kids[1]).MatchString(r.eval(n.kids[0]).str(r)) == (n.op == "~"))
	case "concat":
		left := r.eval(n.kids[0]).str(r)
		return awkStr(left + r.eval(n.kids[1]).str(r))
	}
	x, y := r.eval(n.kids[0]), r.eval(n.kids[1])
	switch n.op {
	case "<", "<=", "==", "!=", ">", ">=":
		return awkBool(compares(r.compare(x, y), n.op))
	}
	return awkNum(awkArith(n.op, x.num(), y.num()))
}

func (r *awkRun) compare(x, y awkValue) int {
	if x.numeric() && y.numeric() {
		a, b := x.num(), y.num()
		return oneIf(a > b) - oneIf(a < b)
	}
	return strings.Compare(x.str(r), y.str(r))
}

func awkArith(op string, x, y float64) float64 {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "^":
		return math.Pow(x, y)
	}
	if y == 0 {
		panic(awkError("division by zero"))
	}
	if op == "%" {
		return math.Mod(x, y)
	}
	return x / y
}

func (r *awkRun) subscript(kids []*awkNode) string {
	parts := make([]string, len(kids))
	for i, k := range kids {
		parts[i] = r.eval(k).str(r)
	}
	return strings.Join(parts, r.vars["SUBSEP"].s)
}

func (r *awkRun) get(n *awkNode) awkValue {
	switch n.op {
	case "var":
		if n.text == "ENVIRON" {
			return awkValue{}
		}
		return r.vars[n.text]
	case "index":
		key := r.subscript(n.kids)
		if n.text == "ENVIRON" {
			v, _ := r.p.Lookup(key)
			return awkInput(v)
		}
		a := r.array(n.text)
		v, ok := a[key]
		if !ok {
			a[key] = awkValue{}
		}
		return v
	}
	i := int(r.eval(n.kids[0]).num())
	switch {
	case i == 0:
		return awkInput(r.whole())
	case i < 0:
		panic(awkError(fmt.Sprintf("trying to access out of range field %d", i)))
	case i >= len(r.fields):
		return awkValue{}
	}
	return awkInput(r.fields[i])
}

func (r *awkRun) array(name string) map[string]awkValue {
	a := r.arrays[name]
	if a == nil {
		a = map[string]awkValue{}
		r.arrays[name] = a
	}
	return a
}

func (r *awkRun) set(n *awkNode, v awkValue) {
	switch n.op {
	case "index":
		r.array(n.text)[r.subscript(n.kids)] = v
	case "$":
		r.setField(int(r.eval(n.kids[0]).num()), v.str(r))
	default:
		if r.vars[n.text] = v; n.text == "NF" {
			r.setNF(int(v.num()))
		}
	}
}

func (r *awkRun) assign(n *awkNode) awkValue {
	v := r.eval(n.kids[1])
	if n.text != "" {
		v = awkNum(awkArith(n.text, r.get(n.kids[0]).num(), v.num()))
	}
	r.set(n.kids[0], v)
	return v
}

// pattern is the regular expression that an operand stands for.
func (r *awkRun) pattern(n *awkNode) *regexp.Regexp {
	if n.op == "re" {
		return r.regex(n.text)
	}
	return r.regex(r.eval(n).str(r))
}
