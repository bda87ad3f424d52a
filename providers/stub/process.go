package stub

import (
	"context"
	"io"
	"slices"
	"sync"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub/internal/shell"
)

// maxProcesses is how many background processes that have ended a sandbox
// remembers.
const maxProcesses = 1000

// Process implements [compute.Process] and its optional interfaces.
type Process struct {
	s     *Sandbox
	id    string
	seq   int
	cmd   compute.Command
	x     *execution
	logs  [2]*spool
	stdin *pipe
	done  chan struct{}

	signals shell.Signals

	mu    sync.Mutex
	info  compute.ProcessInfo
	sig   compute.Signal
	res   *compute.Result
	winsz *compute.TTY
}

// StartCommand implements [compute.Starter].
func (s *Sandbox) StartCommand(ctx context.Context, cmd *compute.Command) (compute.Process, error) {
	const op = "start command"
	if err := cmd.Validate(); err != nil {
		return nil, err
	}
	t, err := s.use(ctx, op)
	if err != nil {
		return nil, err
	}
	x, err := s.prepare(op, cmd)
	if err != nil {
		return nil, err
	}
	p := &Process{s: s, cmd: *cmd, x: x, done: make(chan struct{})}
	p.logs = [2]*spool{newSpool(), newSpool()}
	p.connect(cmd, t)
	if !s.adopt(p) {
		return nil, s.p.fail(op, s.ID(), compute.ErrNotFound, "")
	}
	go p.run() //nolint:gosec // a background process outlives the context that started it
	if err := t.after(); err != nil {
		return nil, err
	}
	return p, nil
}

// connect joins the process to its input and its outputs.
func (p *Process) connect(cmd *compute.Command, t trouble) {
	stdin := p.x.input(cmd.Stdin)
	if cmd.OpenStdin {
		p.stdin = newPipe()
		stdin = p.stdin
	}
	if cmd.TTY != nil {
		size := sizeOf(*cmd.TTY)
		p.winsz = &size
		p.x.proc.TTY = p.size
	}
	p.x.proc.Signals = &p.signals
	p.x.connect(stdin, t.writer(tee(p.logs[0], cmd.Stdout)), tee(p.logs[1], cmd.Stderr))
}

func (p *Process) size() (rows, cols int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.winsz.Rows, p.winsz.Cols
}

func tee(log *spool, w io.Writer) io.Writer {
	if w == nil {
		return log
	}
	return io.MultiWriter(log, w)
}

// adopt puts the process on the sandbox's list.
func (s *Sandbox) adopt(p *Process) bool {
	s.p.mu.Lock()
	p.id, p.seq = s.p.id("proc")
	s.p.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone != "" {
		return false
	}
	p.info = compute.ProcessInfo{ID: p.id, Args: slices.Clone(p.cmd.Args), Script: p.cmd.Script,
		Running: true, Started: s.p.cfg.Now()}
	s.procs = append(s.procs, p)
	if i := slices.IndexFunc(s.procs, (*Process).ended); i >= 0 && len(s.procs) > maxProcesses {
		s.procs = slices.Delete(s.procs, i, i+1)
	}
	s.work.Add(1)
	return true
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// run is the process's goroutine; the sandbox waits for it.
func (p *Process) run() {
	defer p.s.work.Done()
	defer close(p.done)
	code := p.x.run(context.Background())
	if p.stdin != nil {
		_ = p.stdin.Close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.x.ctx.Err() != nil {
		p.sig = compute.SIGKILL
		code = 128 + int(p.sig)
	}
	if code != 128+int(p.sig) {
		p.sig = 0 // it had other ideas about the signal
	}
	p.info.Running, p.info.ExitCode, p.info.Ended = false, code, p.s.p.cfg.Now()
	p.res = &compute.Result{ExitCode: code, Signal: p.sig, Duration: p.x.took}
	for _, log := range p.logs {
		log.close()
	}
}

// ID implements [compute.Process].
func (p *Process) ID() string { return p.id }

// Info implements [compute.Process].
func (p *Process) Info(ctx context.Context) (*compute.ProcessInfo, error) {
	if err := p.check(ctx, "process info"); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	info := p.info
	info.Args = slices.Clone(info.Args)
	return &info, nil
}

func (p *Process) check(ctx context.Context, op string) error {
	if _, err := p.s.p.before(ctx, op, p.s.ID()); err != nil {
		return err
	}
	return p.s.alive(op)
}

// Wait implements [compute.Process].
func (p *Process) Wait(ctx context.Context) (*compute.Result, error) {
	if _, err := p.s.p.before(ctx, "wait", p.s.ID()); err != nil {
		return nil, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return nil, p.s.p.ended(ctx, "wait", p.id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	res := *p.res
	if p.cmd.Stdout == nil {
		res.Stdout = p.logs[0].String()
	}
	if p.cmd.Stderr == nil {
		res.Stderr = p.logs[1].String()
	}
	res.Truncated = p.cmd.Stdout == nil && p.logs[0].lost() || p.cmd.Stderr == nil && p.logs[1].lost()
	return &res, nil
}

// Kill implements [compute.Process].
func (p *Process) Kill(ctx context.Context) error {
	if err := p.check(ctx, "kill"); err != nil {
		return err
	}
	p.x.kill()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return p.s.p.ended(ctx, "kill", p.id)
	}
}

// Signal implements [compute.Signaler]. A signal goes to the process itself:
// to its traps, if it is a script that has some. Stopping does nothing.
func (p *Process) Signal(ctx context.Context, sig compute.Signal) error {
	if err := p.check(ctx, "send signal"); err != nil {
		return err
	}
	if sig < 1 || sig > 64 {
		return p.s.p.fail("send signal", p.id, compute.ErrInvalid, "there is no signal %d", sig)
	}
	if p.ended() {
		return p.s.p.fail("send signal", p.id, compute.ErrConflict, "it has ended")
	}
	p.mu.Lock()
	p.sig = sig
	p.mu.Unlock()
	p.signals.Send(int(sig))
	return nil
}

// OpenStdin implements [compute.StdinOpener].
func (p *Process) OpenStdin(ctx context.Context) (io.WriteCloser, error) {
	if err := p.check(ctx, "open stdin"); err != nil {
		return nil, err
	}
	if p.stdin == nil {
		return nil, p.s.p.fail("open stdin", p.id, compute.ErrConflict, "it was started without OpenStdin")
	}
	return p.stdin.writer(ctx), nil
}

// Resize implements [compute.Resizer].
func (p *Process) Resize(ctx context.Context, size compute.TTY) error {
	if err := p.check(ctx, "resize"); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.winsz == nil {
		return p.s.p.fail("resize", p.id, compute.ErrInvalid, "it has no terminal")
	}
	*p.winsz = sizeOf(size)
	p.signals.Send(int(compute.SIGWINCH))
	return nil
}
