package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

// flow is why the statements that follow are not to be run.
type flow uint8

const (
	goOn flow = iota
	breaking
	continuing
	returning
	exiting
)

// shell is one shell process: the main one or a subshell.
type shell struct {
	ctx  context.Context
	proc *Proc // environment and lookup for commands
	sys  *System
	fs   *memfs.FS
	task *task

	name    string // $0
	params  []string
	vars    variables
	funcs   map[string]*syntax.Stmt
	aliases map[string]string
	dir     string
	dirs    []string // of pushd, without the current one
	opts    options
	umask   uint32
	fds     fds

	status  int
	substSt int // of the last command substitution, -1 without
	flow    flow
	levels  int // left to break or continue
	loops   int
	sourced int
	noErr   int // > 0 while failing is no reason to exit
	inTrap  bool
	traps   map[string]string

	jobs    []*job
	substs  []subst
	lastJob int
	random  uint64
	started time.Time
	getopt  int // position within a cluster of options

	cfg *expand.Config
}

var parsers = sync.Pool{New: func() any { return syntax.NewParser() }}

// newShell starts a shell with the descriptors of p.
func newShell(ctx context.Context, p *Proc) *shell {
	sh := &shell{ctx: ctx, proc: p, sys: p.Sys, fs: p.FS, dir: p.Dir, umask: p.umask, name: "sh"}
	sh.vars.env = p.Env
	sh.fds = p.fds.clone()
	sh.random = 1
	sh.started = p.Sys.now(p.FS)
	sh.substSt = -1
	return sh
}

// fork copies the shell for a subshell. Its jobs and traps stay behind.
func (sh *shell) fork() *shell {
	c := *sh
	c.vars = sh.vars.clone()
	c.funcs = maps.Clone(sh.funcs)
	c.aliases = maps.Clone(sh.aliases)
	c.dirs = slices.Clone(sh.dirs)
	c.fds = sh.fds.clone()
	c.jobs, c.substs, c.traps, c.cfg = nil, nil, nil, nil
	c.loops = 0
	return &c
}

// guard runs one process of the shell: its end closes its descriptors, and
// ends nothing else.
func (sh *shell) guard(run func()) (code int) {
	defer func() {
		if v := recover(); v != nil {
			code = sh.died(v)
		}
		sh.fds.closeAll()
	}()
	run()
	sh.exitTrap()
	return sh.status
}

func (sh *shell) died(v any) int {
	if code, ok := v.(exitNow); ok {
		return int(code)
	}
	func() {
		defer func() { _ = recover() }()
		sh.errorf("internal error: %v", v)
	}()
	return 70
}

func (sh *shell) exitTrap() {
	action, ok := sh.traps["EXIT"]
	if !ok {
		return
	}
	delete(sh.traps, "EXIT")
	status := sh.status
	sh.flow = goOn
	sh.eval(action)
	if sh.flow != exiting {
		sh.status = status
	}
}

// eval parses and runs text line by line, so that what comes before a syntax
// error has its effect. A statement waits for the end of its line, because only
// then are its here-documents known.
func (sh *shell) eval(src string) {
	p := parsers.Get().(*syntax.Parser)
	defer parsers.Put(p)
	var room [4]*syntax.Stmt
	line := room[:0]
	var cr returns
	for st, err := range p.StmtsSeq(strings.NewReader(cr.hide(src))) {
		if n := len(line); n > 0 && (err != nil || st.Pos().Line() > line[n-1].End().Line()) {
			if sh.stmts(line); sh.flow != goOn {
				return
			}
			line = line[:0]
		}
		if err != nil {
			sh.syntaxError(err)
			return
		}
		cr.restore(st)
		line = append(line, st)
	}
	sh.stmts(line)
}

func (sh *shell) syntaxError(err error) {
	var pe syntax.ParseError
	if errors.As(err, &pe) {
		sh.errorf("%d: syntax error: %s", pe.Pos.Line(), pe.Text)
	} else {
		sh.errorf("syntax error: %v", err)
	}
	sh.status, sh.flow = 2, exiting
}

func (sh *shell) errorf(format string, args ...any) {
	fmt.Fprintf(sh.stderr(), sh.name+": "+format+"\n", args...)
}

func (sh *shell) stdout() io.Writer { return &stdout{sh.ctx, sh.fds[1]} }
func (sh *shell) stderr() io.Writer { return &stdout{sh.ctx, sh.fds[2]} }

// check runs the traps of pending signals, and ends the process if it has been
// killed.
func (sh *shell) check() {
	if sh.ctx.Err() != nil {
		panic(killed(sh.ctx))
	}
	if sh.task == nil || sh.inTrap {
		return
	}
	for n := sh.task.takePending(); n != 0; n = sh.task.takePending() {
		sh.runTrap(signalName(n))
	}
}

func (sh *shell) runTrap(name string) {
	action := sh.traps[name]
	if action == "" || sh.inTrap {
		return
	}
	sh.inTrap = true
	defer func() { sh.inTrap = false }()
	status := sh.status
	sh.eval(action)
	if sh.flow != exiting {
		sh.status = status
	}
}

// mainPID is $$: the process gets a number when it is first asked for.
func (sh *shell) mainPID() int {
	if sh.proc.pid == 0 {
		sh.proc.pid = sh.sys.newPID()
	}
	return sh.proc.pid
}
