package shell

import (
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

func (sh *shell) stmts(list []*syntax.Stmt) {
	for _, st := range list {
		if sh.stmt(st); sh.flow != goOn {
			return
		}
	}
}

func (sh *shell) stmt(st *syntax.Stmt) {
	if sh.check(); sh.flow == exiting || sh.opts.noexec {
		return
	}
	if st.Background || st.Coprocess || st.Disown {
		sh.background(st)
		return
	}
	if st.Negated {
		sh.noErr++
	}
	sh.redirected(st)
	if st.Negated {
		sh.noErr--
		sh.status = oneIf(sh.status == 0)
		return
	}
	if sh.status != 0 && sh.flow == goOn && exits(st.Cmd) {
		sh.failed()
	}
}

// exits reports whether set -e looks at the command itself, rather than at
// what it is made of.
func exits(cmd syntax.Command) bool {
	switch c := cmd.(type) {
	case *syntax.BinaryCmd:
		return c.Op == syntax.Pipe || c.Op == syntax.PipeAll
	case *syntax.CallExpr, *syntax.Subshell, *syntax.TestClause, *syntax.ArithmCmd,
		*syntax.LetClause, *syntax.DeclClause, nil:
		return true
	}
	return false
}

func (sh *shell) failed() {
	if sh.noErr > 0 {
		return
	}
	sh.runTrap("ERR")
	if sh.opts.errexit {
		sh.flow = exiting
	}
}

func (sh *shell) redirected(st *syntax.Stmt) {
	if len(st.Redirs) == 0 {
		sh.command(st.Cmd)
		return
	}
	saved := sh.fds.clone()
	keep := false
	defer func() {
		if keep {
			saved.closeAll()
			return
		}
		sh.fds.closeAll()
		sh.fds = saved
	}()
	for _, rd := range st.Redirs {
		if err := sh.redirect(rd); err != nil {
			sh.errorf("%v", err)
			sh.status = 1
			return
		}
	}
	if st.Cmd == nil {
		sh.status = 0
		return
	}
	sh.command(st.Cmd)
	keep = bareExec(st.Cmd)
}

// bareExec recognises the exec that changes the shell's own descriptors.
func bareExec(cmd syntax.Command) bool {
	call, ok := cmd.(*syntax.CallExpr)
	return ok && len(call.Args) == 1 && call.Args[0].Lit() == "exec"
}

func (sh *shell) command(cmd syntax.Command) {
	switch c := cmd.(type) {
	case nil:
		sh.status = 0
	case *syntax.CallExpr:
		sh.simple(c)
	case *syntax.Block:
		sh.stmts(c.Stmts)
	case *syntax.Subshell:
		sh.status = sh.subshell(func(c2 *shell) { c2.stmts(c.Stmts) })
	case *syntax.BinaryCmd:
		sh.binary(c)
	case *syntax.IfClause:
		sh.ifClause(c)
	case *syntax.WhileClause:
		sh.whileClause(c)
	case *syntax.ForClause:
		sh.forClause(c)
	case *syntax.CaseClause:
		sh.caseClause(c)
	case *syntax.FuncDecl:
		sh.define(c)
	default:
		sh.bashCommand(cmd)
	}
}

func (sh *shell) bashCommand(cmd syntax.Command) {
	switch c := cmd.(type) {
	case *syntax.TestClause:
		ok, err := sh.testExpr(c.X)
		if err != nil {
			sh.errorf("%v", err)
			sh.status = 2
			return
		}
		sh.status = oneIf(!ok)
	case *syntax.ArithmCmd:
		sh.status = oneIf(sh.arithm(c.X) == 0)
	case *syntax.LetClause:
		for _, x := range c.Exprs {
			sh.status = oneIf(sh.arithm(x) == 0)
		}
	case *syntax.DeclClause:
		sh.declare(c)
	case *syntax.TimeClause:
		sh.timeClause(c)
	default:
		sh.errorf("%s: not supported", strings.TrimPrefix(fmt.Sprintf("%T", cmd), "*syntax."))
		sh.status = 2
	}
}

func (sh *shell) define(c *syntax.FuncDecl) {
	if sh.funcs == nil {
		sh.funcs = map[string]*syntax.Stmt{}
	}
	sh.funcs[c.Name.Value] = c.Body
	sh.status = 0
}

// subshell runs in a copy of the shell, on the same goroutine.
func (sh *shell) subshell(run func(*shell)) int {
	c := sh.fork()
	return c.guard(func() { run(c) })
}

func (sh *shell) binary(c *syntax.BinaryCmd) {
	switch c.Op {
	case syntax.Pipe, syntax.PipeAll:
		sh.pipeline(c)
	default:
		sh.noErr++
		sh.stmt(c.X)
		sh.noErr--
		if sh.flow == goOn && (sh.status == 0) == (c.Op == syntax.AndStmt) {
			sh.stmt(c.Y)
		}
	}
}

// pipeline runs all but the last command on goroutines of their own.
func (sh *shell) pipeline(c *syntax.BinaryCmd) {
	r, w := newPipe()
	left, right := sh.fork(), sh.fork()
	left.fds.set(1, w)
	if c.Op == syntax.PipeAll {
		left.fds.set(2, w.hold())
	}
	right.fds.set(0, r)
	// A pipeline of the left is part of ours: set -e is for the whole only.
	left.noErr++
	right.noErr++
	done := make(chan int, 1)
	go func() { done <- left.guard(func() { left.element(c.X) }) }()
	status := right.guard(func() { right.element(c.Y) })
	if first := <-done; sh.opts.pipefail && status == 0 {
		status = first
	}
	sh.status = status
}

// element starts with the errexit of the pipeline's own statements intact when
// the element is a compound command.
func (sh *shell) element(st *syntax.Stmt) {
	switch st.Cmd.(type) {
	case *syntax.CallExpr, *syntax.BinaryCmd:
	default:
		sh.noErr--
	}
	sh.stmt(st)
}

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
