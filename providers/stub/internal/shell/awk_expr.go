package shell

import "strconv"

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
