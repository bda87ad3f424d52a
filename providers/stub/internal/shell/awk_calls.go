package shell

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

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
