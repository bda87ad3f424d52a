package shell

import (
	"context"
	"errors"
	"io"
	"strconv"

	"mvdan.cc/sh/v3/syntax"
)

// sink is a descriptor that writes to a Go writer.
type sink struct{ w io.Writer }

func (s sink) write(_ context.Context, b []byte) (int, error) { return s.w.Write(b) }

// inputOnly recognises $(<file).
func inputOnly(list []*syntax.Stmt) *syntax.Word {
	if len(list) != 1 || list[0].Cmd != nil || len(list[0].Redirs) != 1 {
		return nil
	}
	if rd := list[0].Redirs[0]; rd.Op == syntax.RdrIn && rd.N == nil {
		return rd.Word
	}
	return nil
}

func (sh *shell) copyFile(w io.Writer, name string) error {
	b, err := sh.fs.ReadFile(sh.path(name))
	if err != nil {
		sh.errorf("%s: %s", name, because(err))
		sh.substSt = 1
		return nil
	}
	_, err = w.Write(b)
	return err
}

var errNoFD = errors.New("process substitution: too many open descriptors")

// subst is a process substitution that a command uses.
type subst struct {
	fd     int
	output bool // >(...)
	job    *job
}

// endSubsts closes the process substitutions of a command that has ended, and
// waits for those that work on its output.
func (sh *shell) endSubsts(from int) {
	for _, s := range sh.substs[from:] {
		sh.fds.set(s.fd, nil)
		if s.output {
			sh.waitFor(s.job)
		}
	}
	sh.substs = sh.substs[:from]
}

// procSubst joins the command by a pipe whose name is /dev/fd/N. The
// descriptor stays open until the command ends.
func (sh *shell) procSubst(ps *syntax.ProcSubst) (string, error) {
	n := maxFD - 1
	for n > 2 && sh.fds[n] != nil {
		n--
	}
	if n <= 2 {
		return "", errNoFD
	}
	r, w := newPipe()
	ours, theirs, end := r, w, 1
	if ps.Op == syntax.CmdOut {
		ours, theirs, end = w, r, 0
	}
	c := sh.fork()
	c.fds.set(end, theirs)
	sh.fds[n] = ours
	j := sh.launch(c, "process substitution", func() { c.stmts(ps.Stmts) })
	sh.substs = append(sh.substs, subst{n, end == 0, j})
	return "/dev/fd/" + strconv.Itoa(n), nil
}
