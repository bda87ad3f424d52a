package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// RunCommand implements [compute.Sandbox]. User is a name that the sandbox's
// /etc/passwd has or a number up to 65535, and may have a group behind a colon.
// It comes with its home directory and, from /etc/group, with its other groups.
func (s *Sandbox) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	const op = "run command"
	if err := cmd.Validate(); err != nil {
		return nil, err
	}
	if cmd.OpenStdin {
		return nil, fail(op, s.id, compute.ErrInvalid, "OpenStdin is for background processes")
	}
	if err := ended(ctx, op, s.id); err != nil {
		return nil, err
	}
	x := execution{cmd: cmd, in: &source{r: cmd.Stdin}, out: providers.NewStreams(cmd)}
	var exit engine.Exit
	err := s.with(ctx, op, func(m machine) (err error) {
		exit, err = x.run(ctx, m, s.command(cmd))
		return err
	})
	res := &compute.Result{ExitCode: exit.Code, Duration: exit.Duration, Limit: compute.Limit(exit.Limit)}
	if exit.Signal != 0 {
		res.ExitCode, res.Signal = 128+exit.Signal, compute.Signal(exit.Signal)
	}
	if err = s.judge(ctx, op, &x, res, err); err != nil {
		res.Limit = "" // it was killed for another reason
	}
	x.out.Close(res)
	res.Truncated = res.Truncated || res.Limit == compute.LimitOutput
	if err != nil && ctx.Err() == nil && x.err() == nil && !errors.Is(err, compute.ErrUnavailable) {
		return nil, err // it did not run
	}
	return res, err
}

// command is cmd in the engine's words.
func (s *Sandbox) command(cmd *compute.Command) engine.Command {
	c := engine.Command{Argv: cmd.Args, Dir: cmd.Dir, User: cmd.User, MaxOutput: s.maxOutput}
	if cmd.Script != "" {
		c.Argv = []string{"/bin/sh", "-c", "--", cmd.Script} // it may begin with a dash
	}
	if c.User == "" {
		c.User = s.user
	}
	for _, k := range slices.Sorted(maps.Keys(cmd.Env)) {
		c.Env = append(c.Env, k+"="+cmd.Env[k])
	}
	return c
}

// execution is a command that runs in the foreground.
type execution struct {
	cmd *compute.Command
	in  *source
	out *providers.Streams
}

// err is the failure of one of the caller's writers, or of its reader.
func (x *execution) err() error { return cmp.Or(x.out.Err(), x.in.failure()) }

// run runs the command, and kills it when a writer or the reader fails.
func (x *execution) run(ctx context.Context, m machine, c engine.Command) (engine.Exit, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.Stdout, c.Stderr = breaker{x.out.Stdout, cancel}, breaker{x.out.Stderr, cancel}
	x.in.end = cancel
	if x.cmd.TTY != nil {
		return x.terminal(ctx, m, c)
	}
	if x.cmd.Stdin != nil {
		c.Stdin = x.in
	}
	c.Captured = x.cmd.Stdout == nil && x.cmd.Stderr == nil
	return m.Exec(ctx, c)
}

// source ends a command when a read fails: half an input must not pass for a
// whole one.
type source struct {
	r   io.Reader // nil is empty
	end context.CancelFunc
	mu  sync.Mutex
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if s.r == nil {
		return 0, io.EOF
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		s.end()
	}
	return n, err
}

func (s *source) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// breaker ends a command when a write fails.
type breaker struct {
	w   io.Writer
	end context.CancelFunc
}

func (b breaker) Write(p []byte) (int, error) {
	n, err := b.w.Write(p)
	if err != nil {
		b.end()
	}
	return n, err
}

// terminal runs the command on a terminal.
func (x *execution) terminal(ctx context.Context, m machine, c engine.Command) (engine.Exit, error) {
	t, err := m.Terminal(ctx, c, terminalSize(*x.cmd.TTY))
	if err != nil {
		return engine.Exit{}, err
	}
	go typeIn(t, x.in) // ends with the terminal, or with a Read of the caller's
	_, err = io.Copy(c.Stdout, t)
	exit, werr := t.Wait()
	return exit, errors.Join(werr, err, ignoreClosed(t.Close()))
}

func terminalSize(t compute.TTY) engine.Size {
	size := engine.Size{Rows: 24, Cols: 80}
	if t.Rows > 0 {
		size.Rows = t.Rows
	}
	if t.Cols > 0 {
		size.Cols = t.Cols
	}
	return size
}

func ignoreClosed(err error) error {
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}

const endOfFile = 4 // Ctrl-D

// typeIn types what r holds and then end-of-file: twice where the first would
// only end an unfinished line.
func typeIn(t io.Writer, r io.Reader) {
	last := byte('\n')
	if _, err := io.Copy(t, remember{r, &last}); err != nil {
		return
	}
	eof := []byte{endOfFile, endOfFile}
	if last == '\n' {
		eof = eof[:1]
	}
	_, _ = t.Write(eof) // the command may have ended
}

// remember reads and remembers the last byte.
type remember struct {
	r    io.Reader
	last *byte
}

func (r remember) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if n > 0 {
		*r.last = p[n-1]
	}
	return n, err
}

// judge tells apart the ways in which a command can end.
func (s *Sandbox) judge(ctx context.Context, op string, x *execution, res *compute.Result, err error) error {
	if own := x.err(); own != nil {
		res.ExitCode, res.Signal = -1, 0
		return &compute.Error{Op: op, Provider: name, ID: s.id, Err: own}
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
	case errors.Is(err, engine.ErrNotFound):
		return notRun(x, res, 127, "not found")
	case errors.Is(err, engine.ErrNotExecutable):
		return notRun(x, res, 126, "cannot be executed")
	case errors.Is(err, engine.ErrDir):
		err = &compute.Error{Op: op, Provider: name, ID: s.id, NothingDone: true, Err: dirError(x.cmd.Dir, err)}
	}
	res.ExitCode, res.Signal = -1, 0
	return err
}

// notRun is the result that a shell has for a program that cannot be run.
func notRun(x *execution, res *compute.Result, code int, why string) error {
	res.ExitCode = code
	w := x.out.Stderr
	if x.cmd.TTY != nil {
		w = x.out.Stdout
	}
	program := "/bin/sh"
	if len(x.cmd.Args) > 0 {
		program = x.cmd.Args[0]
	}
	_, err := fmt.Fprintf(w, "%s: %s\n", program, why)
	return err
}
