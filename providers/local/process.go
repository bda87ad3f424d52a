package local

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// Process implements [compute.Process] and its optional interfaces. Of each
// stream the last 8 MiB are kept, of processes that have ended the last
// thousand. They live until the sandbox is suspended or destroyed.
//
// A process that was started with a writer waits for it, and so loses nothing,
// while the program that started it lives and the provider is open. After that
// it waits for nobody.
type Process struct {
	s      *Sandbox
	id     string
	out    *providers.Streams // of a process that this handle started
	served sync.WaitGroup     // the streams that this handle serves
	lost   atomic.Bool        // some of what they carry
	cmd    *compute.Command
	in     *typed // nil without an input of the command's
}

// StartCommand implements [compute.Starter].
func (s *Sandbox) StartCommand(ctx context.Context, cmd *compute.Command) (compute.Process, error) {
	const op = "start command"
	if err := cmd.Validate(); err != nil {
		return nil, err
	}
	c := s.command(cmd)
	c.KeepStdin = cmd.OpenStdin || cmd.Stdin != nil
	if cmd.TTY != nil {
		size := terminalSize(*cmd.TTY)
		c.Terminal = &size
	}
	own := *cmd
	p := &Process{s: s, cmd: &own}
	hold, release := context.WithCancel(s.p.ctx)
	c.Held, c.HoldContext = held(cmd), hold
	err := s.with(ctx, op, func(m machine) error {
		info, err := m.StartProcess(ctx, c)
		if script := complaint(err); script != "" {
			c.Argv = append([]string{"/bin/sh", "-c", script}, c.Argv...)
			info, err = m.StartProcess(ctx, c)
		}
		p.id = info.ID
		return err
	})
	switch {
	case errors.Is(err, engine.ErrDir):
		release()
		return nil, &compute.Error{Op: op, Provider: name, ID: s.id, NothingDone: true, Err: dirError(cmd.Dir, err)}
	case err != nil:
		release()
		return nil, err
	}
	p.serve(release)
	return p, nil
}

// A program that cannot be run has a process all the same, which says so and
// has a shell's exit code. The program is its $0.
const (
	notFound      = `printf '%s: not found\n' "$0" >&2; exit 127`
	notExecutable = `printf '%s: cannot be executed\n' "$0" >&2; exit 126`
)

// complaint is the script that stands in for what could not be started.
func complaint(err error) string {
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return notFound
	case errors.Is(err, engine.ErrNotExecutable):
		return notExecutable
	}
	return ""
}

// ID implements [compute.Process].
func (p *Process) ID() string { return p.id }

// Info implements [compute.Process].
func (p *Process) Info(ctx context.Context) (info *compute.ProcessInfo, err error) {
	err = p.s.with(ctx, "process info", func(m machine) error {
		pr, err := m.Process(ctx, p.id)
		info = processInfo(pr)
		return err
	})
	if err != nil {
		return nil, p.named(err)
	}
	return info, nil
}

// named makes an error about a process name it.
func (p *Process) named(err error) error {
	if e, ok := errors.AsType[*compute.Error](err); ok && errors.Is(e.Err, engine.ErrNoProcess) {
		own := *e
		own.ID = p.id
		return &own
	}
	return err
}

func processInfo(pr engine.Process) *compute.ProcessInfo {
	info := &compute.ProcessInfo{ID: pr.ID, Args: pr.Argv, Running: !pr.Done, Started: pr.Started}
	if len(pr.Argv) > 3 && (pr.Argv[2] == notFound || pr.Argv[2] == notExecutable) {
		info.Args = pr.Argv[3:]
	}
	if len(pr.Argv) == 4 && slices.Equal(pr.Argv[:3], []string{"/bin/sh", "-c", "--"}) {
		info.Args, info.Script = nil, pr.Argv[3]
	}
	if pr.Done {
		info.ExitCode, info.Ended = exitCode(pr.Exit), pr.Started.Add(pr.Exit.Duration)
	}
	return info
}

func exitCode(e engine.Exit) int {
	if e.Signal != 0 {
		return 128 + e.Signal
	}
	return e.Code
}

// Wait implements [compute.Process].
func (p *Process) Wait(ctx context.Context) (*compute.Result, error) {
	res := &compute.Result{}
	err := p.s.with(ctx, "wait", func(m machine) error {
		exit, err := m.WaitProcess(ctx, p.id)
		res.ExitCode, res.Signal, res.Duration = exitCode(exit), compute.Signal(exit.Signal), exit.Duration
		res.Limit = compute.Limit(exit.Limit)
		return err
	})
	if err != nil {
		return nil, p.named(err)
	}
	if err := p.delivered(ctx); err != nil {
		return nil, err
	}
	if err := p.collect(ctx, res); err != nil {
		return nil, err
	}
	res.Truncated = res.Truncated || p.lost.Load()
	return res, nil
}

// delivered waits for the writers to have all output.
func (p *Process) delivered(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		p.served.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return ended(ctx, "wait", p.id)
	}
	err := p.in.failure()
	if p.out != nil && p.out.Err() != nil {
		err = p.out.Err()
	}
	if err != nil {
		return &compute.Error{Op: "wait", Provider: name, ID: p.id, Err: err}
	}
	return nil
}

// collect puts the output that had no writer into the result.
func (p *Process) collect(ctx context.Context, res *compute.Result) error {
	for _, o := range []struct {
		stream engine.Stream
		had    bool
		to     *string
	}{
		{engine.Stdout, p.cmd != nil && p.cmd.Stdout != nil, &res.Stdout},
		{engine.Stderr, p.cmd != nil && p.cmd.Stderr != nil, &res.Stderr},
	} {
		if o.had {
			continue
		}
		var kept providers.Capture
		if err := p.copy(ctx, o.stream, &kept, func(int64) { res.Truncated = true }); err != nil {
			return err
		}
		*o.to = kept.String()
		res.Truncated = res.Truncated || kept.Truncated()
	}
	return nil
}

// Attach implements [compute.Process].
func (p *Process) Attach(ctx context.Context, stdout, stderr io.Writer) error {
	const op = "attach"
	if err := ended(ctx, op, p.id); err != nil {
		return err
	}
	out := providers.NewStreams(&compute.Command{Stdout: orDiscard(stdout), Stderr: orDiscard(stderr)})
	var lost [2]bool
	g, own := errgroup.WithContext(ctx)
	for i, w := range []io.Writer{out.Stdout, out.Stderr} {
		g.Go(func() error {
			return p.copy(own, engine.Stdout+engine.Stream(i), w, func(int64) { lost[i] = true })
		})
	}
	err := g.Wait()
	switch {
	case ctx.Err() != nil:
		return ended(ctx, op, p.id)
	case out.Err() != nil:
		return &compute.Error{Op: op, Provider: name, ID: p.id, Err: out.Err()}
	case err != nil:
		return p.named(err)
	case lost[0] || lost[1]:
		return fail(op, p.id, compute.ErrTruncated, "the beginning of the output was not kept")
	}
	return nil
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// Kill implements [compute.Process].
func (p *Process) Kill(ctx context.Context) error {
	return p.named(p.s.with(ctx, "kill", func(m machine) error { return m.Kill(ctx, p.id) }))
}

// Signal implements [compute.Signaler].
func (p *Process) Signal(ctx context.Context, sig compute.Signal) error {
	const op = "send signal"
	if sig < 1 || sig > 64 {
		return fail(op, p.id, compute.ErrInvalid, "there is no signal %d", sig)
	}
	info, err := p.Info(ctx)
	if err != nil {
		return err
	}
	if !info.Running {
		return fail(op, p.id, compute.ErrConflict, "it has ended")
	}
	return p.named(p.s.with(ctx, op, func(m machine) error { return m.Signal(ctx, p.id, syscall.Signal(sig)) }))
}

// Resize implements [compute.Resizer].
func (p *Process) Resize(ctx context.Context, size compute.TTY) error {
	return p.named(p.s.with(ctx, "resize", func(m machine) error { return m.Resize(ctx, p.id, terminalSize(size)) }))
}

// GetProcess implements [compute.ProcessGetter].
func (s *Sandbox) GetProcess(ctx context.Context, id string) (compute.Process, error) {
	p := &Process{s: s, id: id}
	err := s.with(ctx, "get process", func(m machine) error {
		_, err := m.Process(ctx, id)
		return err
	})
	if err != nil {
		return nil, p.named(err)
	}
	return p, nil
}

// ListProcesses implements [compute.ProcessLister].
func (s *Sandbox) ListProcesses(ctx context.Context) iter.Seq2[*compute.ProcessInfo, error] {
	return func(yield func(*compute.ProcessInfo, error) bool) {
		var all []engine.Process
		err := s.with(ctx, "list processes", func(m machine) (err error) {
			all, err = m.Processes(ctx)
			return err
		})
		if err != nil {
			yield(nil, err)
			return
		}
		for _, pr := range slices.Backward(all) {
			if !yield(processInfo(pr), nil) {
				return
			}
		}
	}
}
