package shell

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// simple runs a simple command: assignments, and what is to be called.
func (sh *shell) simple(c *syntax.CallExpr) {
	sh.substSt = -1
	defer sh.endSubsts(len(sh.substs))
	args, ok := sh.fields(c.Args...)
	if !ok {
		return
	}
	if len(args) == 0 {
		sh.assignments(c.Assigns)
		return
	}
	if len(c.Assigns) > 0 {
		sh.withAssigns(c, args)
		return
	}
	sh.trace(args)
	sh.call(args, "")
}

func (sh *shell) assignments(list []*syntax.Assign) {
	for _, as := range list {
		if !sh.assign(as, func(x *expand.Variable) {
			x.Exported = x.Exported || sh.opts.allexport
		}) {
			return
		}
		if sh.opts.xtrace {
			sh.trace([]string{as.Name.Value + "=" + sh.vars.get(as.Name.Value).String()})
		}
	}
	sh.status = max(sh.substSt, 0) // not before: "c=$?" asks for what was
}

// withAssigns sets variables for the length of one command.
func (sh *shell) withAssigns(c *syntax.CallExpr, args []string) {
	saved := map[string]*expand.Variable{}
	for _, as := range c.Assigns {
		saved[as.Name.Value] = sh.vars.set[as.Name.Value]
		if !sh.assign(as, func(x *expand.Variable) { x.Exported = true }) {
			return
		}
	}
	defer func() {
		if specialBuiltins[args[0]] {
			return // POSIX: these keep the assignments
		}
		for name, old := range saved {
			if delete(sh.vars.set, name); old != nil {
				sh.vars.set[name] = old
			}
		}
	}()
	sh.trace(args)
	sh.call(args, "")
}

var specialBuiltins = map[string]bool{
	":": true, ".": true, "eval": true, "exec": true, "exit": true, "export": true,
	"readonly": true, "return": true, "set": true, "shift": true, "trap": true, "unset": true,
}

// call runs a function, a builtin or a command. skip is "function" to pass
// over functions, and "builtin" to run a command only.
func (sh *shell) call(args []string, skip string) {
	if body := sh.funcs[args[0]]; body != nil && skip == "" {
		sh.function(body, args)
		return
	}
	if b := builtins[args[0]]; b != nil && skip != "builtin" {
		sh.status = b(sh, args)
		return
	}
	if words, ok := sh.aliases[args[0]]; ok && skip == "" {
		sh.alias(words, args)
		return
	}
	sh.status = sh.external(args)
}

// alias replaces the name when the command is run, not when it is read, which
// is the same for aliases that are whole commands.
func (sh *shell) alias(words string, args []string) {
	saved := sh.aliases
	sh.aliases = nil
	defer func() {
		if sh.aliases == nil {
			sh.aliases = saved
		}
	}()
	for _, a := range args[1:] {
		words += " " + quote(a)
	}
	sh.eval(words)
}

func (sh *shell) external(args []string) int {
	p := sh.environment()
	p.Args, p.umask, p.fds, p.pid = args, sh.umask, &sh.fds, 0
	return p.exec(sh.ctx)
}

func (sh *shell) function(body *syntax.Stmt, args []string) {
	if len(sh.vars.frames) > 1000 {
		sh.errorf("%s: maximum function nesting level exceeded", args[0])
		sh.status, sh.flow = 1, exiting
		return
	}
	params, loops := sh.params, sh.loops
	sh.params, sh.loops = args[1:], 0
	sh.vars.frames = append(sh.vars.frames, nil)
	defer func() {
		sh.params, sh.loops = params, loops
		sh.vars.leave()
	}()
	sh.stmt(body)
	if sh.flow == returning {
		sh.flow = goOn
	}
}

func (sh *shell) trace(args []string) {
	if !sh.opts.xtrace {
		return
	}
	var b strings.Builder
	b.WriteString("+")
	for _, a := range args {
		b.WriteString(" " + quoteIfNeeded(a))
	}
	fmt.Fprint(sh.stderr(), b.String()+"\n")
}

// config is what package expand works with.
func (sh *shell) config() *expand.Config {
	if sh.cfg == nil {
		sh.cfg = &expand.Config{Env: shellEnv{sh}, CmdSubst: sh.substitute, ProcSubst: sh.procSubst}
		sh.configure()
	}
	return sh.cfg
}

// configure follows the options of the shell.
func (sh *shell) configure() {
	if sh.cfg == nil {
		return
	}
	sh.cfg.NoUnset = sh.opts.nounset
	sh.cfg.NullGlob, sh.cfg.DotGlob = sh.opts.nullglob, sh.opts.dotglob
	sh.cfg.GlobStar, sh.cfg.ExtGlob = sh.opts.globstar, sh.opts.extglob
	sh.cfg.NoCaseGlob = sh.opts.nocaseglob
	sh.cfg.ReadDir2 = sh.readDir
	if sh.opts.noglob {
		sh.cfg.ReadDir2 = nil
	}
}

func (sh *shell) readDir(name string) ([]fs.DirEntry, error) {
	if runtime.GOOS == "windows" {
		name = strings.TrimPrefix(filepath.ToSlash(name), filepath.VolumeName(name))
	}
	return sh.fs.ReadDir(sh.path(name))
}

func (sh *shell) path(name string) string {
	p := Proc{Dir: sh.dir}
	return p.Path(name)
}

func (sh *shell) fields(words ...*syntax.Word) ([]string, bool) {
	if out, ok := plain(words); ok {
		return out, true
	}
	out, err := expand.Fields(sh.config(), words...)
	if err != nil {
		sh.expandError(err)
		return nil, false
	}
	if runtime.GOOS == "windows" {
		slashes(out, words)
	}
	return out, true
}

// plain returns words in which there is nothing to expand, as most are.
func plain(words []*syntax.Word) ([]string, bool) {
	if len(words) == 0 {
		return nil, true
	}
	out := make([]string, len(words))
	for i, w := range words {
		if out[i] = w.Lit(); out[i] == "" || strings.ContainsFunc(out[i], expands) {
			return nil, false
		}
	}
	return out, true
}

// expands reports whether a character of a literal may mean more than itself.
func expands(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_./,+%:@", c)
}

// slashes undoes the separators that package expand gives to globbed names
// where the host has others.
func slashes(fields []string, words []*syntax.Word) {
	if len(words) != 1 {
		return
	}
	for i := range fields {
		fields[i] = filepath.ToSlash(fields[i])
	}
}

func (sh *shell) literal(w *syntax.Word) string {
	if w == nil {
		return ""
	}
	s, err := expand.Literal(sh.config(), w)
	if err != nil {
		sh.expandError(err)
	}
	return s
}

func (sh *shell) arithm(x syntax.ArithmExpr) int {
	n, err := expand.Arithm(sh.config(), x)
	if err != nil {
		sh.expandError(err)
	}
	return n
}

// expandError ends the shell where POSIX says that an expansion error does.
func (sh *shell) expandError(err error) {
	if code, ok := errors.AsType[exitNow](err); ok {
		panic(code)
	}
	var unset expand.UnsetParameterError
	sh.status = 1
	switch {
	case errors.As(err, &unset):
		sh.status = 2
		sh.errorf("%s: %s", unset.Node.Param.Value, cmpOr(unset.Message, "parameter not set"))
	default:
		sh.errorf("%v", err)
	}
	sh.flow = exiting
}

func (e exitNow) Error() string { return "exit" }

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// substitute runs a command substitution.
func (sh *shell) substitute(w io.Writer, cs *syntax.CmdSubst) error {
	if name := inputOnly(cs.Stmts); name != nil {
		return sh.copyFile(w, sh.literal(name))
	}
	c := sh.fork()
	c.noErr = 0
	c.fds.set(1, newDesc(nil, sink{w}, nil))
	sh.status = c.guard(func() { c.stmts(cs.Stmts) })
	sh.substSt = sh.status
	sh.check()
	return nil
}
