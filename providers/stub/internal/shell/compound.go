package shell

import (
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

func (sh *shell) ifClause(c *syntax.IfClause) {
	for ; c != nil; c = c.Else {
		if len(c.Cond) == 0 { // else
			sh.stmts(c.Then)
			return
		}
		if ok := sh.condition(c.Cond); sh.flow != goOn {
			return
		} else if ok {
			sh.stmts(c.Then)
			return
		}
	}
	sh.status = 0
}

func (sh *shell) condition(list []*syntax.Stmt) bool {
	sh.noErr++
	defer func() { sh.noErr-- }()
	sh.stmts(list)
	return sh.status == 0
}

func (sh *shell) whileClause(c *syntax.WhileClause) {
	status := 0
	sh.loops++
	defer func() { sh.loops-- }()
	for {
		if sh.check(); sh.flow == exiting {
			return
		}
		if ok := sh.condition(c.Cond); sh.flow == goOn && ok == c.Until {
			break
		}
		if sh.flow == goOn {
			sh.stmts(c.Do)
			status = sh.status
		}
		if sh.leaves() {
			break
		}
	}
	if sh.flow == goOn {
		sh.status = status
	}
}

// leaves takes note of break and continue after a round of a loop, and reports
// whether the loop is over.
func (sh *shell) leaves() bool {
	if sh.flow != breaking && sh.flow != continuing {
		return sh.flow != goOn
	}
	if sh.levels--; sh.levels > 0 {
		return true
	}
	over := sh.flow == breaking
	sh.flow = goOn
	return over
}

func (sh *shell) forClause(c *syntax.ForClause) {
	sh.loops++
	defer func() { sh.loops-- }()
	if loop, ok := c.Loop.(*syntax.CStyleLoop); ok {
		sh.countLoop(loop, c.Do)
		return
	}
	loop := c.Loop.(*syntax.WordIter)
	items := sh.params
	if loop.InPos.IsValid() {
		var ok bool
		if items, ok = sh.fields(loop.Items...); !ok {
			return
		}
	}
	if c.Select {
		sh.errorf("select: not supported")
		sh.status = 2
		return
	}
	sh.status = 0
	for _, item := range items {
		if sh.check(); sh.flow == exiting {
			return
		}
		sh.setVar(loop.Name.Value, text(item))
		if sh.stmts(c.Do); sh.leaves() {
			return
		}
	}
}

func (sh *shell) countLoop(loop *syntax.CStyleLoop, do []*syntax.Stmt) {
	if loop.Init != nil {
		sh.arithm(loop.Init)
	}
	sh.status = 0
	for loop.Cond == nil || sh.arithm(loop.Cond) != 0 {
		if sh.check(); sh.flow == exiting {
			return
		}
		if sh.stmts(do); sh.leaves() {
			return
		}
		if loop.Post != nil {
			sh.arithm(loop.Post)
		}
	}
}

func (sh *shell) caseClause(c *syntax.CaseClause) {
	word := sh.literal(c.Word)
	sh.status = 0
	through := false
	for _, item := range c.Items {
		if !through && !sh.caseMatches(item, word) {
			continue
		}
		sh.stmts(item.Stmts)
		switch item.Op {
		case syntax.Fallthrough:
			through = true
		case syntax.Resume:
			through = false
		default:
			return
		}
	}
}

func (sh *shell) caseMatches(item *syntax.CaseItem, word string) bool {
	for _, w := range item.Patterns {
		pat, err := expand.Pattern(sh.config(), w)
		if err != nil {
			sh.expandError(err)
			return false
		}
		if globMatch(pat, word) {
			return true
		}
	}
	return false
}

func oneIf(b bool) int {
	if b {
		return 1
	}
	return 0
}
