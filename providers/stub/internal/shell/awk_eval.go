package shell

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
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

func (r *awkRun) call(n *awkNode) awkValue {
	arg := func(i int) string { return r.eval(n.kids[i]).str(r) }
	switch n.text {
	case "length":
		if len(n.kids) == 0 {
			return awkNum(float64(utf8.RuneCountInString(r.whole())))
		}
		if k := n.kids[0]; k.op == "var" && r.arrays[k.text] != nil {
			return awkNum(float64(len(r.arrays[k.text])))
		}
		return awkNum(float64(utf8.RuneCountInString(arg(0))))
	case "substr":
		return r.substr(n)
	case "index":
		s := arg(0)
		i := strings.Index(s, arg(1))
		if i > 0 {
			i = utf8.RuneCountInString(s[:i])
		}
		return awkNum(float64(i + 1))
	case "split":
		return r.splitInto(n)
	case "sub", "gsub":
		return r.replace(n)
	case "match":
		s := arg(0)
		m := r.pattern(n.kids[1]).FindStringIndex(s)
		at, length := 0, -1
		if m != nil {
			at, length = utf8.RuneCountInString(s[:m[0]])+1, utf8.RuneCountInString(s[m[0]:m[1]])
		}
		r.vars["RSTART"], r.vars["RLENGTH"] = awkNum(float64(at)), awkNum(float64(length))
		return r.vars["RSTART"]
	case "sprintf":
		return awkStr(r.format(n.kids))
	case "tolower":
		return awkStr(strings.ToLower(arg(0)))
	case "toupper":
		return awkStr(strings.ToUpper(arg(0)))
	}
	x := r.eval(n.kids[0]).num()
	if n.text == "atan2" {
		return awkNum(math.Atan2(x, r.eval(n.kids[1]).num()))
	}
	return awkNum(awkMath[n.text](x))
}

var awkMath = map[string]func(float64) float64{
	"int": math.Trunc, "sqrt": math.Sqrt, "exp": math.Exp, "log": math.Log, "sin": math.Sin, "cos": math.Cos,
}

func (r *awkRun) substr(n *awkNode) awkValue {
	s := []rune(r.eval(n.kids[0]).str(r))
	from := math.RoundToEven(r.eval(n.kids[1]).num())
	to := float64(len(s) + 1)
	if len(n.kids) > 2 {
		to = min(to, from+math.RoundToEven(r.eval(n.kids[2]).num()))
	}
	from = max(from, 1)
	if !(from < to) {
		return awkStr("")
	}
	return awkStr(string(s[int(from)-1 : int(to)-1]))
}

func (r *awkRun) splitInto(n *awkNode) awkValue {
	s := r.eval(n.kids[0]).str(r)
	if n.kids[1].op != "var" {
		panic(awkError("split: second argument is not an array"))
	}
	sep := r.vars["FS"].str(r)
	if len(n.kids) > 2 {
		if k := n.kids[2]; k.op == "re" {
			sep = "(" + k.text + ")"
		} else {
			sep = r.eval(k).str(r)
		}
	}
	a := map[string]awkValue{}
	parts := r.split(s, sep)
	for i, part := range parts {
		a[strconv.Itoa(i+1)] = awkInput(part)
	}
	r.arrays[n.kids[1].text] = a
	return awkNum(float64(len(parts)))
}

func (r *awkRun) replace(n *awkNode) awkValue {
	target := node("$", &awkNode{op: "num"})
	if len(n.kids) > 2 {
		target = n.kids[2]
	}
	s, with := r.eval(target).str(r), r.eval(n.kids[1]).str(r)
	most := -1
	if n.text == "sub" {
		most = 1
	}
	found := r.pattern(n.kids[0]).FindAllStringIndex(s, most)
	if len(found) == 0 {
		return awkNum(0)
	}
	var b strings.Builder
	last := 0
	for _, m := range found {
		b.WriteString(s[last:m[0]])
		b.WriteString(ampersands(with, s[m[0]:m[1]]))
		last = m[1]
	}
	if target.op == "var" || target.op == "index" || target.op == "$" {
		r.set(target, awkStr(b.String()+s[last:]))
	}
	return awkNum(float64(len(found)))
}

func ampersands(with, match string) string {
	var b strings.Builder
	for i := 0; i < len(with); i++ {
		switch {
		case with[i] == '\\' && i+1 < len(with) && (with[i+1] == '&' || with[i+1] == '\\'):
			i++
			b.WriteByte(with[i])
		case with[i] == '&':
			b.WriteString(match)
		default:
			b.WriteByte(with[i])
		}
	}
	return b.String()
}
