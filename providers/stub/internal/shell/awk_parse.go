package shell

import (
	"fmt"
	"slices"
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
