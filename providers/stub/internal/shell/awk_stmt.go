package shell

import "slices"

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
