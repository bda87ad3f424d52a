package shell

import (
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"mvdan.cc/sh/v3/syntax"
)

// builtin is a command that works on the shell itself.
type builtin func(sh *shell, args []string) int

var builtins map[string]builtin

func init() {
	builtins = map[string]builtin{
		":": success, "true": success, "false": func(*shell, []string) int { return 1 },
		"cd": cd, "pwd": pwd, "echo": echoBuiltin, "printf": printfBuiltin,
		"test": testBuiltin, "[": testBuiltin, "read": readBuiltin,
		"mapfile": mapfile, "readarray": mapfile,
		"break": breakBuiltin, "continue": breakBuiltin,
		"exit": exitBuiltin, "return": exitBuiltin, "eval": evalBuiltin,
		".": sourceBuiltin, "source": sourceBuiltin, "exec": execBuiltin,
		"command": commandBuiltin, "builtin": builtinBuiltin, "type": typeBuiltin, "hash": hashBuiltin,
		"set": setBuiltin, "shopt": shoptBuiltin, "shift": shift, "unset": unset,
		"export": declBuiltin, "readonly": declBuiltin, "local": declBuiltin,
		"declare": declBuiltin, "typeset": declBuiltin, "let": letBuiltin,
		"trap": trapBuiltin, "umask": umask, "ulimit": ulimit, "times": times,
		"wait": waitBuiltin, "jobs": jobsBuiltin, "kill": killBuiltin,
		"fg": fgBuiltin, "bg": success, "disown": success,
		"alias": aliasBuiltin, "unalias": unalias, "getopts": getopts,
		"pushd": pushd, "popd": popd, "dirs": dirsBuiltin,
	}
}

func success(*shell, []string) int { return 0 }

// say writes to standard output; it returns the exit code.
func (sh *shell) say(s string) int {
	if _, err := io.WriteString(sh.stdout(), s); err != nil {
		sh.errorf("write error: %s", because(err))
		return 1
	}
	return 0
}

func echoBuiltin(sh *shell, args []string) int { return sh.say(echoText(args[1:])) }

func printfBuiltin(sh *shell, args []string) int {
	args = args[1:]
	name := ""
	if len(args) > 1 && args[0] == "-v" {
		name, args = args[1], args[2:]
	}
	out, code, complaints := printfText(args)
	for _, c := range complaints {
		sh.errorf("printf: %s", c)
	}
	if name != "" {
		sh.setVar(name, text(out))
		return code
	}
	return max(code, sh.say(out))
}

func breakBuiltin(sh *shell, args []string) int {
	n := 1
	if len(args) > 1 {
		var err error
		if n, err = strconv.Atoi(args[1]); err != nil || n < 1 {
			sh.errorf("%s: Illegal number: %s", args[0], args[1])
			return 2
		}
	}
	if sh.loops == 0 {
		return 0
	}
	sh.levels, sh.flow = min(n, sh.loops), breaking
	if args[0] == "continue" {
		sh.flow = continuing
	}
	return 0
}

func exitBuiltin(sh *shell, args []string) int {
	sh.flow = exiting
	if args[0] == "return" && (len(sh.vars.frames) > 0 || sh.sourced > 0) {
		sh.flow = returning
	}
	if len(args) < 2 {
		return sh.status
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		sh.errorf("%s: Illegal number: %s", args[0], args[1])
		return 2
	}
	return n & 0xff
}

func evalBuiltin(sh *shell, args []string) int {
	sh.status = 0
	sh.eval(strings.Join(args[1:], " "))
	return sh.status
}

func sourceBuiltin(sh *shell, args []string) int {
	if len(args) < 2 {
		sh.errorf("%s: filename argument required", args[0])
		return 2
	}
	src, err := sh.readScript(args[1])
	if err != nil {
		sh.errorf("%s: cannot open %s: %s", args[0], args[1], because(err))
		sh.flow = exiting
		return 2
	}
	params := sh.params
	if len(args) > 2 {
		sh.params = args[2:]
		defer func() { sh.params = params }()
	}
	sh.sourced++
	defer func() { sh.sourced-- }()
	sh.status = 0
	sh.eval(src)
	if sh.flow == returning {
		sh.flow = goOn
	}
	return sh.status
}

// readScript reads a file that is named by a path or found in PATH.
func (sh *shell) readScript(name string) (string, error) {
	if n, ok := ownFD(name); ok && n < maxFD && sh.fds[n] != nil {
		b, err := io.ReadAll(&stdin{ctx: sh.ctx, d: sh.fds[n]})
		return string(b), err
	}
	if !strings.Contains(name, "/") {
		p := sh.environment()
		if full, _ := p.which(name); full != "" {
			name = full
		}
	}
	b, err := sh.fs.ReadFile(sh.path(name))
	return string(b), err
}

// environment is a process as a command of this shell would be.
func (sh *shell) environment() *Proc {
	p := *sh.proc
	p.Env, p.Dir = sh.vars.exported(), sh.dir
	if v := sh.vars.get("PATH"); v.Set && !v.Exported {
		p.Env = append(p.Env[:len(p.Env):len(p.Env)], "PATH="+v.String())
	}
	return &p
}

func execBuiltin(sh *shell, args []string) int {
	if len(args) == 1 {
		return 0
	}
	sh.flow = exiting
	delete(sh.traps, "EXIT")
	return sh.external(args[1:])
}

func shift(sh *shell, args []string) int {
	n := 1
	if len(args) > 1 {
		n, _ = strconv.Atoi(args[1])
	}
	if n < 0 || n > len(sh.params) {
		sh.errorf("shift: can't shift that many")
		return 1
	}
	sh.params = sh.params[n:]
	return 0
}

// declBuiltin is for declarations that the parser has not recognised, as in
// "$cmd x=1" or "command export x".
func declBuiltin(sh *shell, args []string) int {
	c := &syntax.DeclClause{Variant: &syntax.Lit{Value: args[0]}}
	for _, a := range args[1:] {
		c.Args = append(c.Args, assignFrom(a))
	}
	sh.declare(c)
	return sh.status
}

func letBuiltin(sh *shell, args []string) int {
	status := 1
	for _, a := range args[1:] {
		status = oneIf(sh.evalNumber(a) == 0)
	}
	return status
}

func umask(sh *shell, args []string) int {
	args = args[1:]
	if len(args) > 0 && args[0] == "-S" {
		allowed := fs.FileMode(0o777 &^ sh.umask).String()
		return sh.say("u=" + letters(allowed[1:4]) + ",g=" + letters(allowed[4:7]) + ",o=" + letters(allowed[7:]) + "\n")
	}
	if len(args) == 0 {
		return sh.say(fmt.Sprintf("%04o\n", sh.umask))
	}
	mode, err := parseMode(args[0], fs.FileMode(0o777&^sh.umask), 0, false)
	if err != nil {
		sh.errorf("umask: Illegal mode: %s", args[0])
		return 2
	}
	sh.umask = uint32(mode & 0o777)
	if args[0][0] < '0' || args[0][0] > '9' {
		sh.umask = 0o777 &^ sh.umask
	}
	return 0
}

func letters(s string) string { return strings.ReplaceAll(s, "-", "") }

func modeOf(umask uint32) fs.FileMode { return fs.FileMode(umask) }

func ulimit(sh *shell, args []string) int {
	if len(args) > 2 {
		sh.errorf("ulimit: limits cannot be changed: not supported")
		return 2
	}
	return sh.say("unlimited\n")
}

func times(sh *shell, _ []string) int { return sh.say("0m0.00s 0m0.00s\n0m0.00s 0m0.00s\n") }

func (sh *shell) timeClause(c *syntax.TimeClause) {
	start := sh.sys.now(sh.fs)
	if c.Stmt != nil {
		sh.stmt(c.Stmt)
	}
	d := sh.sys.now(sh.fs).Sub(start).Round(time.Millisecond)
	if c.PosixFormat {
		fmt.Fprintf(sh.stderr(), "real %.2f\nuser 0.00\nsys 0.00\n", d.Seconds())
		return
	}
	m := int(d.Minutes())
	fmt.Fprintf(sh.stderr(), "\nreal\t%dm%.3fs\nuser\t0m0.000s\nsys\t0m0.000s\n", m, d.Seconds()-60*float64(m))
}
