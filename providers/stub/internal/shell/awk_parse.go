package shell

import (
	"fmt"
	"slices"
	"strconv"
)

// awkNode is an expression or a statement. op says what it is; for operators
// it is the operator itself.
type awkNode struct {
	op   string
	text string
	num  float64
	kids []*awkNode
}

type awkRule struct {
	kind    string // BEGIN, END, or ""
	pattern *awkNode
	end     *awkNode // of a range
	body    *awkNode // nil prints
	inRange bool
}

type awkParser struct {
	toks  []awkToken
	rules []*awkRule
	noIn  bool // within the head of a for
	noGT  bool // within the arguments of print, where > is a redirection
	depth int
}

// awkError is panicked with by the parser; parseAwk returns it.
type awkError string

func (e awkError) Error() string { return string(e) }

func parseAwk(src string) (rules []*awkRule, err error) {
	toks, err := awkLex(src)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e, ok := recover().(awkError); ok {
			rules, err = nil, e
		}
	}()
	p := &awkParser{toks: toks}
	for p.skip(); p.toks[0].kind != 0; p.skip() {
		p.rule()
	}
	return p.rules, nil
}

func (p *awkParser) fail() {
	what := p.toks[0].text
	if p.toks[0].kind == 0 {
		what = "end of program"
	}
	panic(awkError(fmt.Sprintf("syntax error at or near %s", what)))
}

func (p *awkParser) peek(ops ...string) bool {
	return p.toks[0].kind == 'o' && slices.Contains(ops, p.toks[0].text)
}

func (p *awkParser) next() awkToken {
	t := p.toks[0]
	if t.kind != 0 {
		p.toks = p.toks[1:]
	}
	return t
}

func (p *awkParser) accept(op string) bool {
	if p.peek(op) {
		p.next()
		return true
	}
	return false
}

func (p *awkParser) expect(op string) {
	if !p.accept(op) {
		p.fail()
	}
}

func (p *awkParser) skip() {
	for p.toks[0].kind == ';' {
		p.next()
	}
}

func (p *awkParser) newlines() {
	for p.toks[0].kind == ';' && p.toks[0].text == "\n" {
		p.next()
	}
}

func (p *awkParser) rule() {
	r := &awkRule{}
	switch {
	case p.peek("BEGIN", "END"):
		r.kind = p.next().text
	case p.peek("function", "getline"):
		panic(awkError(p.toks[0].text + ": not supported"))
	case !p.peek("{"):
		r.pattern = p.expr()
		if p.accept(",") {
			p.newlines()
			r.end = p.expr()
		}
	}
	if p.peek("{") {
		r.body = p.block()
	} else if r.kind != "" {
		p.fail()
	}
	p.rules = append(p.rules, r)
}

func (p *awkParser) block() *awkNode {
	p.expect("{")
	n := &awkNode{op: "block"}
	for p.skip(); !p.accept("}"); p.skip() {
		if p.toks[0].kind == 0 {
			p.fail()
		}
		n.kids = append(n.kids, p.stmt())
	}
	return n
}

func (p *awkParser) body() *awkNode {
	p.newlines()
	if p.toks[0].kind == ';' {
		p.next()
		return &awkNode{op: "block"}
	}
	return p.stmt()
}

// deeper bounds the recursion, so that no program overflows the stack.
func (p *awkParser) deeper() {
	if p.depth++; p.depth > 500 {
		panic(awkError("program nested too deeply"))
	}
}

func (p *awkParser) stmt() *awkNode {
	p.deeper()
	defer func() { p.depth-- }()
	if p.peek("{") {
		return p.block()
	}
	if p.toks[0].kind == 'o' {
		switch p.toks[0].text {
		case "if":
			return p.ifStmt()
		case "while":
			p.next()
			p.expect("(")
			cond := p.expr()
			p.expect(")")
			return &awkNode{op: "while", kids: []*awkNode{cond, p.body()}}
		case "do":
			p.next()
			body := p.body()
			p.skip()
			p.expect("while")
			p.expect("(")
			cond := p.expr()
			p.expect(")")
			return &awkNode{op: "do", kids: []*awkNode{body, cond}}
		case "for":
			return p.forStmt()
		}
	}
	n := p.simple()
	if !p.peek("}") && p.toks[0].kind != ';' && p.toks[0].kind != 0 {
		p.fail()
	}
	return n
}

func (p *awkParser) ifStmt() *awkNode {
	p.next()
	p.expect("(")
	n := &awkNode{op: "if", kids: []*awkNode{p.expr()}}
	p.expect(")")
	n.kids = append(n.kids, p.body())
	saved := p.toks
	p.skip()
	if p.accept("else") {
		n.kids = append(n.kids, p.body())
	} else {
		p.toks = saved
	}
	return n
}

func (p *awkParser) forStmt() *awkNode {
	p.next()
	p.expect("(")
	t := p.toks
	if len(t) > 3 && t[0].kind == 'i' && t[1].text == "in" && t[2].kind == 'i' && t[3].text == ")" {
		p.toks = t[4:]
		return &awkNode{op: "forin", text: t[0].text, kids: []*awkNode{{op: "var", text: t[2].text}, p.body()}}
	}
	n := &awkNode{op: "for", kids: make([]*awkNode, 4)}
	for i := range 3 {
		if p.toks[0].kind != ';' && !p.peek(")") {
			n.kids[i] = p.simple()
		}
		if i < 2 && p.next().kind != ';' {
			p.fail()
		}
	}
	p.expect(")")
	n.kids[3] = p.body()
	return n
}

func (p *awkParser) simple() *awkNode {
	if p.toks[0].kind != 'o' {
		return &awkNode{op: "expr", kids: []*awkNode{p.expr()}}
	}
	switch op := p.toks[0].text; op {
	case "print", "printf":
		p.next()
		return p.print(op)
	case "next", "break", "continue":
		p.next()
		return &awkNode{op: op}
	case "exit":
		p.next()
		n := &awkNode{op: op}
		if p.toks[0].kind != ';' && p.toks[0].kind != 0 && !p.peek("}") {
			n.kids = append(n.kids, p.expr())
		}
		return n
	case "delete":
		p.next()
		name := p.next()
		n := &awkNode{op: op, text: name.text}
		if name.kind != 'i' {
			p.fail()
		}
		if p.accept("[") {
			n.kids = p.list("]")
		}
		return n
	case "getline", "function", "return":
		panic(awkError(op + ": not supported"))
	}
	return &awkNode{op: "expr", kids: []*awkNode{p.expr()}}
}

func (p *awkParser) print(op string) *awkNode {
	n := &awkNode{op: op}
	p.noGT = true
	if p.peek("(") && p.wholeList() {
		p.next()
		p.noGT = false
		n.kids = p.list(")")
	} else if p.toks[0].kind != ';' && p.toks[0].kind != 0 && !p.peek("}", ">", ">>", "|") {
		for again := true; again; again = p.accept(",") {
			p.newlines()
			n.kids = append(n.kids, p.expr())
		}
	}
	p.noGT = false
	if p.peek(">", ">>") {
		to := &awkNode{op: p.next().text, kids: []*awkNode{p.concat()}}
		return &awkNode{op: "to", kids: []*awkNode{n, to}}
	}
	if p.peek("|") {
		panic(awkError("pipes in print: not supported"))
	}
	return n
}

// wholeList reports whether the parenthesis closes just before the end of the
// statement, so that it encloses the list of arguments.
func (p *awkParser) wholeList() bool {
	depth := 0
	for i, t := range p.toks {
		if t.kind != 'o' {
			continue
		}
		switch t.text {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				after := p.toks[i+1]
				return after.kind == ';' || after.kind == 0 || after.kind == 'o' && slices.Contains([]string{"}", ">", ">>", "|"}, after.text)
			}
		}
	}
	return false
}

func (p *awkParser) list(end string) (out []*awkNode) {
	noIn, noGT := p.noIn, p.noGT
	p.noIn, p.noGT = false, false
	defer func() { p.noIn, p.noGT = noIn, noGT }()
	for !p.accept(end) {
		p.newlines()
		out = append(out, p.expr())
		if p.newlines(); !p.peek(end) {
			p.expect(",")
		}
	}
	return out
}

func node(op string, kids ...*awkNode) *awkNode { return &awkNode{op: op, kids: kids} }

func (p *awkParser) expr() *awkNode {
	p.deeper()
	defer func() { p.depth-- }()
	left := p.ternary()
	if !p.peek("=", "+=", "-=", "*=", "/=", "%=", "^=") {
		return left
	}
	if left.op != "var" && left.op != "index" && left.op != "$" {
		p.fail()
	}
	op := p.next().text
	return &awkNode{op: "assign", text: op[:len(op)-1], kids: []*awkNode{left, p.expr()}}
}

func (p *awkParser) ternary() *awkNode {
	c := p.binary(0)
	if !p.accept("?") {
		return c
	}
	p.newlines()
	yes := p.expr()
	p.newlines()
	p.expect(":")
	p.newlines()
	return node("?", c, yes, p.expr())
}

var awkLevels = [][]string{{"||"}, {"&&"}, {"in"}, {"~", "!~"}, {"<", "<=", "!=", "==", ">", ">="}}

func (p *awkParser) binary(level int) *awkNode {
	if level == len(awkLevels) {
		return p.concat()
	}
	left := p.binary(level + 1)
	for p.peek(awkLevels[level]...) && !(p.noGT && p.peek(">")) {
		op := p.next().text
		p.newlines()
		if op == "in" {
			left = &awkNode{op: "in", text: p.next().text, kids: []*awkNode{left}}
			continue
		}
		left = node(op, left, p.binary(level+1))
	}
	return left
}

// concat joins operands that follow each other.
func (p *awkParser) concat() *awkNode {
	left := p.additive()
	for {
		t := p.toks[0]
		starts := t.kind == 'n' || t.kind == 's' || t.kind == 'i' || t.kind == 'f' || t.kind == 'r' || p.peek("(", "$", "!", "-", "+", "++", "--")
		if !starts {
			return left
		}
		left = node("concat", left, p.additive())
	}
}

func (p *awkParser) additive() *awkNode {
	left := p.term()
	for p.peek("+", "-") {
		left = node(p.next().text, left, p.term())
	}
	return left
}

func (p *awkParser) term() *awkNode {
	left := p.unary()
	for p.peek("*", "/", "%") {
		left = node(p.next().text, left, p.unary())
	}
	return left
}

func (p *awkParser) unary() *awkNode {
	p.deeper()
	defer func() { p.depth-- }()
	if p.peek("!", "-", "+") {
		return node("u"+p.next().text, p.unary())
	}
	left := p.postfix()
	if p.accept("^") {
		return node("^", left, p.unary())
	}
	return left
}

func (p *awkParser) postfix() *awkNode {
	if p.peek("++", "--") {
		op := p.next().text
		return &awkNode{op: "pre", text: op[:1], kids: []*awkNode{p.lvalue(p.primary())}}
	}
	n := p.primary()
	if p.peek("++", "--") && (n.op == "var" || n.op == "index" || n.op == "$") {
		return &awkNode{op: "post", text: p.next().text[:1], kids: []*awkNode{n}}
	}
	return n
}

func (p *awkParser) lvalue(n *awkNode) *awkNode {
	if n.op != "var" && n.op != "index" && n.op != "$" {
		p.fail()
	}
	return n
}

func (p *awkParser) primary() *awkNode {
	p.deeper()
	defer func() { p.depth-- }()
	switch t := p.toks[0]; t.kind {
	case 'n':
		v, err := strconv.ParseFloat(p.next().text, 64)
		if err != nil && v == 0 {
			p.fail()
		}
		return &awkNode{op: "num", num: v}
	case 's':
		return &awkNode{op: "str", text: p.next().text}
	case 'r':
		return &awkNode{op: "re", text: p.next().text}
	case 'f':
		name := p.next().text
		p.expect("(")
		return p.call(name, p.list(")"))
	case 'i':
		name := p.next().text
		if p.accept("[") {
			return &awkNode{op: "index", text: name, kids: p.list("]")}
		}
		if name == "length" {
			return &awkNode{op: "call", text: name}
		}
		return &awkNode{op: "var", text: name}
	}
	switch {
	case p.accept("$"):
		if p.peek("++", "--", "-", "+", "!") {
			return node("$", p.unary())
		}
		return node("$", p.primary())
	case p.accept("("):
		list := p.list(")")
		if len(list) == 1 {
			return node("group", list[0])
		}
		if p.accept("in") && len(list) > 1 {
			return &awkNode{op: "in", text: p.next().text, kids: list}
		}
	}
	p.fail()
	return nil
}

var awkFunctions = map[string][2]int{
	"length": {0, 1}, "substr": {2, 3}, "index": {2, 2}, "split": {2, 3}, "sub": {2, 3}, "gsub": {2, 3},
	"match": {2, 2}, "sprintf": {1, 99}, "tolower": {1, 1}, "toupper": {1, 1}, "int": {1, 1}, "sqrt": {1, 1},
	"exp": {1, 1}, "log": {1, 1}, "sin": {1, 1}, "cos": {1, 1}, "atan2": {2, 2},
}

func (p *awkParser) call(name string, args []*awkNode) *awkNode {
	n, ok := awkFunctions[name]
	if !ok {
		panic(awkError("function " + name + ": not supported"))
	}
	if len(args) < n[0] || len(args) > n[1] {
		panic(awkError("wrong number of arguments for " + name))
	}
	return &awkNode{op: "call", text: name, kids: args}
}
