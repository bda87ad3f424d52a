package stub

import (
	"context"
	"errors"
	"sync"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/stub/internal/shell"
)

// shellSession implements [compute.ShellSession].
type shellSession struct {
	s    *Sandbox
	name string
	own  *shell.Session

	mu   sync.Mutex // one command at a time
	over bool
}

// OpenShell implements [compute.ShellOpener].
func (s *Sandbox) OpenShell(ctx context.Context, name string) (compute.ShellSession, error) {
	t, err := s.use(ctx, "open shell")
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, s.p.fail("open shell", s.ID(), compute.ErrInvalid, "a shell needs a name")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh := s.shells[name]; sh != nil {
		return sh, t.after()
	}
	if s.shells == nil {
		s.shells = map[string]*shellSession{}
	}
	proc := &shell.Proc{Args: []string{"sh"}, Env: s.env, Dir: workdir, FS: s.fs, Sys: s.sys}
	sh := &shellSession{s: s, name: name, own: shell.NewSession(proc, s.lookup)}
	s.shells[name] = sh
	return sh, t.after()
}

// RunCommand implements [compute.ShellSession]. What the shell cannot have for
// one command alone (a directory, an environment, a user, a terminal) the
// script has to say.
func (sh *shellSession) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	const op = "run command"
	if err := cmd.Validate(); err != nil {
		return nil, err
	}
	if cmd.Dir != "" || len(cmd.Env) > 0 || cmd.User != "" || cmd.TTY != nil || cmd.OpenStdin {
		return nil, sh.s.p.fail(op, sh.s.ID(), errors.ErrUnsupported, "a named shell keeps its own directory, environment and user")
	}
	t, err := sh.s.use(ctx, op)
	if err != nil {
		return nil, err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.over {
		return nil, sh.s.p.fail(op, sh.name, compute.ErrConflict, "the shell has ended")
	}
	return sh.run(ctx, op, cmd, t)
}

func (sh *shellSession) run(ctx context.Context, op string, cmd *compute.Command, t trouble) (*compute.Result, error) {
	x := &execution{s: sh.s}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	out := providers.NewStreams(cmd)
	x.connect(x.input(cmd.Stdin), t.writer(out.Stdout), out.Stderr)
	if !sh.s.enlist(x) {
		return nil, sh.s.p.fail(op, sh.s.ID(), compute.ErrNotFound, "")
	}
	stop := context.AfterFunc(ctx, x.cancel)
	defer stop()
	begin := sh.s.p.cfg.Now()
	code, exited := sh.own.Run(x.ctx, script(cmd), x.proc.Stdin, x.proc.Stdout, x.proc.Stderr)
	x.took = sh.s.p.cfg.Now().Sub(begin)
	sh.s.delist(x)
	if exited {
		sh.forget()
	}
	res := &compute.Result{ExitCode: code, Duration: x.took}
	out.Close(res)
	if err := x.outcome(ctx, op, res); err != nil {
		return res, err
	}
	return res, t.after()
}

// script is what the shell is given to run.
func script(cmd *compute.Command) string {
	if cmd.Script != "" {
		return cmd.Script
	}
	line := ""
	for _, arg := range cmd.Args {
		line += providers.Quote(arg) + " "
	}
	return line
}

// forget makes the name free for a new shell.
func (sh *shellSession) forget() {
	sh.over = true
	sh.s.mu.Lock()
	defer sh.s.mu.Unlock()
	if sh.s.shells[sh.name] == sh {
		delete(sh.s.shells, sh.name)
	}
}

// Close implements [compute.ShellSession].
func (sh *shellSession) Close(ctx context.Context) error {
	if _, err := sh.s.p.before(ctx, "close shell", sh.s.ID()); err != nil {
		return err
	}
	sh.end()
	return nil
}

func (sh *shellSession) end() {
	sh.own.Close() // ends a command that runs
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.forget()
}
