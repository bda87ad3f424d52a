package local

import (
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

// RunCommand implements [compute.Sandbox]. User is a name or number that the
// sandbox's /etc/passwd has.
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
	x := execution{cmd: cmd, out: providers.NewStreams(cmd)}
	var exit engine.Exit
	err := s.with(ctx, op, func(m machine) (err error) {
		exit, err = x.run(ctx, m, s.command(cmd))
		return err
	})
	res := &compute.Result{ExitCode: exit.Code, Duration: exit.Duration}
	if exit.Signal != 0 {
		res.ExitCode, res.Signal = 128+exit.Signal, compute.Signal(exit.Signal)
	}
	err = s.judge(ctx, op, &x, res, err)
	x.out.Close(res)
	if err != nil && ctx.Err() == nil && x.broken() == nil && !errors.Is(err, compute.ErrUnavailable) {
		return nil, err // it did not run
	}
	return res, err
}

// command is cmd in the engine's words.
func (s *Sandbox) command(cmd *compute.Command) engine.Command {
	c := engine.Command{Argv: cmd.Args, Dir: cmd.Dir, User: cmd.User}
	if cmd.Script != "" {
		c.Argv = []string{"/bin/sh", "-c", "--", cmd.Script}
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
	out *providers.Streams
	in  input
}

// broken returns the error of the stream that failed, if one did.
func (x *execution) broken() error {
	if err := x.out.Err(); err != nil {
		return err
	}
	return x.in.failure()
}

// run runs the command, and kills it when a stream fails.
func (x *execution) run(ctx context.Context, m machine, c engine.Command) (engine.Exit, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	x.in.r, x.in.end = x.cmd.Stdin, cancel
	c.Stdout, c.Stderr = breaker{x.out.Stdout, cancel}, breaker{x.out.Stderr, cancel}
	if x.cmd.TTY != nil {
		return x.terminal(ctx, m, c)
	}
	c.Stdin = x.stdin()
	return m.Exec(ctx, c)
}

// input reads the command's input. Half an input must not pass for a whole
// one, so its failure ends the command.
type input struct {
	r   io.Reader
	end context.CancelFunc

	mu  sync.Mutex
	err error
}

func (i *input) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	if err != nil && err != io.EOF {
		i.mu.Lock()
		i.err = err
		i.mu.Unlock()
		i.end()
	}
	return n, err
}

func (i *input) failure() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.err
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
	go typeIn(t, x.stdin()) // ends with the terminal, or with a Read of the caller's
	_, err = io.Copy(c.Stdout, t)
	exit, werr := t.Wait()
	return exit, errors.Join(werr, err, ignoreClosed(t.Close()))
}

// stdin is the command's input, or nil.
func (x *execution) stdin() io.Reader {
	if x.cmd.Stdin == nil {
		return nil
	}
	return &x.in
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
	if r != nil {
		if _, err := io.Copy(t, remember{r, &last}); err != nil {
			return
		}
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
	if broken := x.broken(); broken != nil {
		res.ExitCode, res.Signal = -1, 0
		return &compute.Error{Op: op, Provider: name, ID: s.id, Err: broken}
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
	_, err := fmt.Fprintf(w, "%s: %s\n", x.cmd.Args[0], why)
	return err
}

func dirError(dir string, err error) error {
	why := err
	for _, known := range []error{fs.ErrNotExist, fs.ErrPermission} {
		if errors.Is(err, known) {
			why = known
		}
	}
	return &fs.PathError{Op: "chdir", Path: dir, Err: why}
}
