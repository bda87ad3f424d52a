package shell

import (
	"fmt"
	"strings"

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
