package local

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// shellMachine is a machine that has named shells.
type shellMachine interface {
	OpenShell(ctx context.Context, name, user string) (id string, err error)
	ExecInShell(ctx context.Context, id, word string, cmd engine.Command) (engine.Exit, error)
	CloseShell(ctx context.Context, id string) error
}

// inShells runs f on the machine of s if that has shells.
func (s *Sandbox) inShells(ctx context.Context, op string, f func(shellMachine) error) error {
	err := s.with(ctx, op, func(m machine) error {
		sm, ok := m.(shellMachine)
		if !ok {
			return errNoShells
		}
		return f(sm)
	})
	switch {
	case errors.Is(err, errNoShells):
		return fail(op, s.id, errors.ErrUnsupported, "%w", errNoShells)
	case errors.Is(err, engine.ErrNoShell) && ctx.Err() == nil:
		return fail(op, s.id, compute.ErrConflict, "%w", engine.ErrNoShell)
	}
	return err
}

var errNoShells = errors.New("without isolation there are no named shells")

// shellSession implements [compute.ShellSession].
type shellSession struct {
	s  *Sandbox
	id string
}

// OpenShell implements [compute.ShellOpener]. The shell is /bin/sh, run by the
// sandbox's user. It lives until it is closed or exits, or the sandbox is
// suspended or destroyed; a sandbox has at most 64.
func (s *Sandbox) OpenShell(ctx context.Context, name string) (compute.ShellSession, error) {
	const op = "open shell"
	if err := ended(ctx, op, s.id); err != nil {
		return nil, err
	}
	if name == "" || len(name) > maxShellName {
		return nil, fail(op, s.id, compute.ErrInvalid, "the name of a shell has 1 to %d bytes", maxShellName)
	}
	sh := &shellSession{s: s}
	err := s.inShells(ctx, op, func(m shellMachine) (err error) {
		sh.id, err = m.OpenShell(ctx, name, s.user)
		return err
	})
	if errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrNotExecutable) {
		return nil, fail(op, s.id, errors.ErrUnsupported, "the sandbox has no /bin/sh: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return sh, nil
}

const maxShellName = 1024

// RunCommand implements [compute.ShellSession]. A Script is run by the shell
// itself; a program by a child of the shell, in its directory and with what it
// exports. What a shell cannot have for one command alone (a directory, an
// environment, a user, a terminal) the script has to say.
//
// When ctx ends, what the command has started is killed and the shell unwinds
// to where it can take the next command; what earlier commands left in the
// background lives on. A shell that cannot be brought back (a builtin that never
// ends; bash, which exits) is killed with all that it runs, and the error says
// so.
func (sh *shellSession) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	const op = "run command"
	if err := cmd.Validate(); err != nil {
		return nil, err
	}
	switch {
	case cmd.OpenStdin:
		return nil, fail(op, sh.s.id, compute.ErrInvalid, "OpenStdin is for background processes")
	case cmd.Dir != "" || len(cmd.Env) > 0 || cmd.User != "" || cmd.TTY != nil:
		return nil, fail(op, sh.s.id, errors.ErrUnsupported, "a named shell has its own directory, environment and user, and no terminal")
	}
	if err := ended(ctx, op, sh.s.id); err != nil {
		return nil, err
	}
	x := execution{cmd: cmd, in: &source{r: cmd.Stdin}, out: providers.NewStreams(cmd)}
	exit, began, err := sh.run(ctx, op, &x)
	res := &compute.Result{ExitCode: exitCode(exit), Signal: compute.Signal(exit.Signal), Duration: exit.Duration}
	err = sh.s.judge(ctx, op, &x, res, err)
	x.out.Close(res)
	if err != nil && !began && x.err() == nil {
		return nil, err
	}
	return res, err
}

// run runs the command, and kills it when a writer or the reader fails. It
// reports whether the shell has taken it, or may have.
func (sh *shellSession) run(outer context.Context, op string, x *execution) (exit engine.Exit, began bool, err error) {
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	c := engine.Command{Stdout: breaker{x.out.Stdout, cancel}, Stderr: breaker{x.out.Stderr, cancel}}
	x.in.end = cancel
	if x.cmd.Stdin != nil {
		c.Stdin = x.in
	}
	lost := false
	err = sh.s.inShells(outer, op, func(m shellMachine) (err error) {
		exit, err = m.ExecInShell(ctx, sh.id, shellWord(x.cmd), c)
		lost = errors.Is(err, engine.ErrNoShell)
		return err
	})
	began = err == nil || outer.Err() != nil || errors.Is(err, compute.ErrUnavailable)
	if lost && outer.Err() != nil {
		err = &compute.Error{Op: op, Provider: name, ID: sh.s.id, Err: fmt.Errorf("%w; the shell could not be kept", outer.Err())}
	}
	return exit, began, err
}

// shellWord is the command as one word of the shell's language. A program goes
// to exec in a child of the shell, which finds no function or builtin of the
// program's name.
func shellWord(cmd *compute.Command) string {
	if cmd.Script != "" {
		return providers.Quote(cmd.Script)
	}
	var line strings.Builder
	line.WriteString(`(\exec`)
	for _, arg := range cmd.Args {
		line.WriteString(" " + providers.Quote(arg))
	}
	line.WriteString(")")
	return providers.Quote(line.String())
}

// Close implements [compute.ShellSession].
func (sh *shellSession) Close(ctx context.Context) error {
	err := sh.s.inShells(ctx, "close shell", func(m shellMachine) error { return m.CloseShell(ctx, sh.id) })
	if errors.Is(err, compute.ErrNotFound) || errors.Is(err, compute.ErrConflict) {
		return nil // it ended with the sandbox's processes
	}
	return err
}
