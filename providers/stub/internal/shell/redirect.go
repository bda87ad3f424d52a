package shell

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

const (
	forWriting   = syscall.O_WRONLY | syscall.O_CREAT | syscall.O_TRUNC
	forAppending = syscall.O_WRONLY | syscall.O_CREAT | syscall.O_APPEND
)

func (sh *shell) redirect(rd *syntax.Redirect) error {
	n, err := target(rd)
	if err != nil {
		return err
	}
	switch rd.Op {
	case syntax.Hdoc, syntax.DashHdoc, syntax.WordHdoc:
		body, err := sh.hereDoc(rd)
		if err == nil {
			sh.fds.set(n, newDesc(textEnd{strings.NewReader(body)}, nil, nil))
		}
		return err
	case syntax.DplIn, syntax.DplOut:
		return sh.duplicate(rd, n)
	}
	name := sh.literal(rd.Word)
	if sh.flow == exiting {
		return errors.New(name + ": bad redirection")
	}
	return sh.toFile(rd.Op, n, name)
}

// target is the descriptor that is redirected.
func target(rd *syntax.Redirect) (int, error) {
	if rd.N == nil {
		switch rd.Op {
		case syntax.RdrIn, syntax.RdrInOut, syntax.DplIn, syntax.Hdoc, syntax.DashHdoc, syntax.WordHdoc:
			return 0, nil
		}
		return 1, nil
	}
	n, err := strconv.Atoi(rd.N.Value)
	if err != nil || n < 0 || n >= maxFD {
		return 0, fmt.Errorf("%s: %w", rd.N.Value, errBadFD)
	}
	return n, nil
}

func (sh *shell) hereDoc(rd *syntax.Redirect) (string, error) {
	if rd.Op == syntax.WordHdoc {
		return sh.literal(rd.Word) + "\n", nil
	}
	if rd.Hdoc == nil {
		return "", nil
	}
	body := rd.Hdoc
	if rd.Op == syntax.DashHdoc {
		body = withoutTabs(body)
	}
	if quoted(rd.Word) {
		return body.Lit(), nil
	}
	return expand.Document(sh.config(), body)
}

func quoted(w *syntax.Word) bool {
	for _, part := range w.Parts {
		lit, ok := part.(*syntax.Lit)
		if !ok || strings.Contains(lit.Value, `\`) {
			return true
		}
	}
	return false
}

// withoutTabs strips the tabs that lines begin with. A line begins only in the
// literal parts, or with the first part.
func withoutTabs(w *syntax.Word) *syntax.Word {
	out := &syntax.Word{}
	for i, part := range w.Parts {
		lit, ok := part.(*syntax.Lit)
		if !ok {
			out.Parts = append(out.Parts, part)
			continue
		}
		lines := strings.SplitAfter(lit.Value, "\n")
		for j := range lines {
			if i == 0 || j > 0 {
				lines[j] = strings.TrimLeft(lines[j], "\t")
			}
		}
		out.Parts = append(out.Parts, &syntax.Lit{Value: strings.Join(lines, "")})
	}
	return out
}

func (sh *shell) duplicate(rd *syntax.Redirect, n int) error {
	word := sh.literal(rd.Word)
	from, moved := strings.CutSuffix(word, "-")
	if word == "-" {
		sh.fds.set(n, nil)
		return nil
	}
	m, err := strconv.Atoi(from)
	switch {
	case err != nil && rd.Op == syntax.DplOut && rd.N == nil:
		return sh.toFile(syntax.RdrAll, 1, word)
	case err != nil || m < 0 || m >= maxFD || sh.fds[m] == nil:
		return fmt.Errorf("%s: %w", word, errBadFD)
	}
	sh.fds.set(n, sh.fds[m].hold())
	if moved && m != n {
		sh.fds.set(m, nil)
	}
	return nil
}

func (sh *shell) toFile(op syntax.RedirOperator, n int, name string) error {
	flag, both := syscall.O_RDONLY, false
	switch op {
	case syntax.RdrIn:
	case syntax.RdrInOut:
		flag = syscall.O_RDWR | syscall.O_CREAT
	case syntax.RdrOut, syntax.RdrClob:
		flag = forWriting
		if op == syntax.RdrOut && sh.opts.noclobber && sh.isRegular(name) {
			return fmt.Errorf("cannot create %s: File exists", name)
		}
	case syntax.AppOut:
		flag = forAppending
	case syntax.RdrAll:
		flag, both = forWriting, true
	case syntax.AppAll:
		flag, both = forAppending, true
	default:
		return fmt.Errorf("%s: not supported", op)
	}
	d, err := sh.open(name, flag)
	if err != nil {
		return err
	}
	sh.fds.set(n, d)
	if both {
		sh.fds.set(2, d.hold())
	}
	return nil
}

func (sh *shell) isRegular(name string) bool {
	fi, err := sh.fs.Stat(sh.path(name))
	return err == nil && fi.Mode().IsRegular()
}

// open opens a file or one of the process's own descriptors.
func (sh *shell) open(name string, flag int) (*desc, error) {
	if n, ok := ownFD(name); ok {
		if n >= maxFD || sh.fds[n] == nil {
			return nil, fmt.Errorf("cannot open %s: No such file", name)
		}
		return sh.fds[n].hold(), nil
	}
	f, err := sh.fs.OpenFile(sh.path(name), flag, 0o666&^modeOf(sh.umask))
	if err == nil {
		return fileDesc(f), nil
	}
	verb := "open"
	if flag&syscall.O_CREAT != 0 {
		verb = "create"
	}
	return nil, fmt.Errorf("cannot %s %s: %s", verb, name, because(err))
}

// ownFD recognises the names of a process's own descriptors.
func ownFD(name string) (int, bool) {
	switch name {
	case "/dev/stdin":
		return 0, true
	case "/dev/stdout":
		return 1, true
	case "/dev/stderr":
		return 2, true
	}
	s, ok := strings.CutPrefix(name, "/dev/fd/")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0
}
