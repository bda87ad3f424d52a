package stub

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/stub/internal/memfs"
	"github.com/computekit/compute/providers/stub/internal/shell"
)

// workdir is where commands run that do not say.
const workdir = "/workspace"

// RunCommand implements [compute.Sandbox]. A command's User must be the
// sandbox's. A terminal merges the outputs and is nothing else.
func (s *Sandbox) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	const op = "run command"
	if err := cmd.Validate(); err != nil {
		return nil, err
	}
	if cmd.OpenStdin {
		return nil, s.p.fail(op, s.ID(), compute.ErrInvalid, "OpenStdin is for background processes")
	}
	t, err := s.use(ctx, op)
	if err != nil {
		return nil, err
	}
	x, err := s.prepare(op, cmd)
	if err != nil {
		return nil, err
	}
	out := providers.NewStreams(cmd)
	x.connect(x.input(cmd.Stdin), t.writer(out.Stdout), out.Stderr)
	code := x.run(ctx)
	res := &compute.Result{ExitCode: code, Duration: x.took}
	out.Close(res)
	if err := x.outcome(ctx, op, res); err != nil {
		return res, err
	}
	if err := t.after(); err != nil {
		return nil, err
	}
	return res, nil
}

// execution is a command that runs, in the foreground or the background.
type execution struct {
	s      *Sandbox
	proc   shell.Proc
	ctx    context.Context
	cancel context.CancelFunc
	took   time.Duration

	mu     sync.Mutex
	broken error // of the first stream that failed

	in   input
	outs [2]output
}

// prepare checks what a command needs and makes its execution.
func (s *Sandbox) prepare(op string, cmd *compute.Command) (*execution, error) {
	fsys := s.files()
	if cmd.User != "" && !hasUser(fsys, cmd.User) {
		return nil, s.p.fail(op, s.ID(), compute.ErrInvalid, "the sandbox has no user %q", cmd.User)
	}
	dir, err := s.directory(fsys, cmd.Dir)
	if err != nil {
		return nil, &compute.Error{Op: op, Provider: s.p.Name(), ID: s.ID(), Err: err}
	}
	x := &execution{s: s}
	x.proc = shell.Proc{Args: cmd.Args, Env: s.env, Dir: dir, FS: fsys, Sys: s.sys, KeepJobs: true, User: cmd.User}
	if cmd.Script != "" {
		x.proc.Args = []string{"sh", "-c", "--", cmd.Script}
	}
	if cmd.TTY != nil {
		size := sizeOf(*cmd.TTY)
		x.proc.TTY = func() (int, int) { return size.Rows, size.Cols }
	}
	x.proc.Env = appendEnv(x.proc.Env, cmd.Env)
	x.ctx, x.cancel = context.WithCancel(context.Background())
	return x, nil
}

// directory resolves a command's directory. That of commands that do not say
// may be missing: they then run in the root.
func (s *Sandbox) directory(fsys *memfs.FS, dir string) (string, error) {
	full := workdir
	if dir != "" {
		full = memfs.Join(workdir, dir)
	}
	ok, err := fsys.IsDir(full)
	switch {
	case dir == "" && !ok:
		return "/", nil
	case err != nil:
		return "", &fs.PathError{Op: "chdir", Path: dir, Err: err}
	case !ok:
		return "", &fs.PathError{Op: "chdir", Path: dir, Err: memfs.ErrNotDir}
	}
	return path.Clean(full), nil
}

func (s *Sandbox) files() *memfs.FS {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fs
}

func (x *execution) kill() { x.cancel() }

// run runs the command to its end, or to that of ctx. Jobs that a script leaves
// in the background live on if it ends by itself.
func (x *execution) run(ctx context.Context) int {
	s := x.s
	if !s.enlist(x) {
		return -1
	}
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, x.cancel)()
	}
	begin := s.p.cfg.Now()
	code := shell.Run(x.ctx, &x.proc, s.lookup)
	x.took = s.p.cfg.Now().Sub(begin)
	s.delist(x)
	return code
}

func (s *Sandbox) delist(x *execution) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, x)
}

// enlist makes the end of s the end of x too.
func (s *Sandbox) enlist(x *execution) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone != "" || s.info.Status != compute.StatusRunning {
		return false
	}
	if s.running == nil {
		s.running = map[*execution]struct{}{}
	}
	s.running[x] = struct{}{}
	return true
}

// outcome tells how the command ended, other than by itself.
func (x *execution) outcome(ctx context.Context, op string, res *compute.Result) error {
	fail := func(kind, err error) error {
		res.ExitCode = -1
		return &compute.Error{Op: op, Provider: x.s.p.Name(), ID: x.s.ID(), Kind: kind, Err: err}
	}
	switch {
	case x.failure() != nil:
		return fail(nil, x.failure())
	case ctx.Err() != nil && x.ctx.Err() != nil:
		return fail(nil, ctx.Err())
	case x.ctx.Err() != nil || res.ExitCode < 0:
		return fail(compute.ErrUnavailable, errors.New("the sandbox was stopped"))
	}
	return nil
}

// lookup finds what a command's name stands for.
func (s *Sandbox) lookup(name string) shell.Tool {
	if prog := s.p.cfg.Programs[name]; prog != nil {
		return s.tool(prog)
	}
	return shell.Lookup(name)
}

// hasUser reports whether /etc/passwd names the user.
func hasUser(fsys *memfs.FS, user string) bool {
	passwd, err := fsys.ReadFile("/etc/passwd")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(passwd)) {
		if name, _, ok := strings.Cut(line, ":"); ok && name == user {
			return true
		}
	}
	return false
}

func sizeOf(t compute.TTY) compute.TTY {
	return compute.TTY{Rows: cmp.Or(t.Rows, 24), Cols: cmp.Or(t.Cols, 80)}
}

// connect gives the command its streams. A terminal has one output.
func (x *execution) connect(stdin io.Reader, stdout, stderr io.Writer) {
	x.proc.Stdin = stdin
	x.outs = [2]output{{x, stdout}, {x, stderr}}
	x.proc.Stdout, x.proc.Stderr = &x.outs[0], &x.outs[1]
	if x.proc.TTY != nil {
		x.proc.Stderr = x.proc.Stdout
	}
}

// input is a reader whose failure is the command's: half an input must not
// pass for a whole one.
func (x *execution) input(r io.Reader) io.Reader {
	if r == nil {
		return nil
	}
	x.in = input{x, r}
	return &x.in
}

type input struct {
	x *execution
	r io.Reader
}

func (i *input) Read(b []byte) (int, error) {
	n, err := i.r.Read(b)
	if err != nil && err != io.EOF {
		i.x.breaks(err)
	}
	return n, err
}

// breaks ends the command because one of its streams failed.
func (x *execution) breaks(err error) {
	x.mu.Lock()
	if x.broken == nil {
		x.broken = err
	}
	x.mu.Unlock()
	x.kill()
}

// output ends the command when a write fails.
type output struct {
	x *execution
	w io.Writer
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		o.x.breaks(err)
	}
	return n, err
}

func (x *execution) failure() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.broken
}
