package runloop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// allLines asks for all of a command's output.
const allLines = 1 << 20

// RunCommand implements [compute.Sandbox]. A command that ends within 25 seconds
// and has neither writers nor an input that takes its time is one request.
// Of the fields of the result Signal and Limit are not known.
func (s *Sandbox) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	const op = "run command"
	if err := cmd.Validate(); err != nil {
		return nil, named(err)
	}
	if cmd.OpenStdin {
		return nil, failf(op, s.id, compute.ErrInvalid, "OpenStdin is for background processes")
	}
	if err := ctx.Err(); err != nil {
		return nil, wrap(ctx, op, s.id, err)
	}
	ctx, cancel := bounded(ctx, s.p.timeouts.Command)
	defer cancel()
	r := &run{s: s, op: op, ctx: ctx, l: newLaunch(cmd), streams: providers.NewStreams(cmd), began: time.Now()}
	in, err := s.input(ctx, r.l)
	if err != nil {
		return nil, s.wrap(ctx, op, err)
	}
	if in != nil || cmd.Stdout != nil || cmd.Stderr != nil || cmd.TTY != nil {
		return r.live(in)
	}
	r.l.sweep = s.sweep()
	return r.captured()
}

// run is one command in the foreground.
type run struct {
	s       *Sandbox
	op      string
	ctx     context.Context
	l       *launch
	streams *providers.Streams
	began   time.Time
}

// captured runs the command and takes its output from the answer.
func (r *run) captured() (*compute.Result, error) {
	text, err := r.l.captured()
	if err != nil {
		return nil, err
	}
	view, err := r.execute(r.ctx, text)
	if err == nil {
		return r.result(r.ctx, view)
	}
	if r.ctx.Err() == nil && !lost(err) {
		return nil, r.s.wrap(r.ctx, r.op, err)
	}
	// It may run. The same request again answers for the same command, which
	// has been killed then, or was never begun.
	clean, cancel := r.s.p.cleanUp(r.ctx)
	defer cancel()
	if kerr := r.s.kill(clean, r.l.id); kerr != nil {
		return nil, r.s.wrap(r.ctx, r.op, errors.Join(err, fmt.Errorf("the command may run on: %w", kerr)))
	}
	view, verr := r.execute(clean, text)
	if verr != nil {
		return r.cut(&compute.Result{}), r.s.wrap(r.ctx, r.op, err)
	}
	res, rerr := r.result(clean, view)
	switch {
	case res == nil:
		res = &compute.Result{}
	case r.ctx.Err() == nil && rerr == nil && res.ExitCode != 137:
		return res, nil // the answer was lost, and not the outcome
	}
	return r.cut(res), r.s.wrap(r.ctx, r.op, err)
}

// cut marks the result of a command that was killed for its context.
func (r *run) cut(res *compute.Result) *compute.Result {
	res.ExitCode, res.Duration = -1, time.Since(r.began)
	return res
}

// execute makes the request, and waits for the end of the command.
func (r *run) execute(ctx context.Context, text string) (*runloopapi.ExecutionView, error) {
	return r.s.p.client.Devboxes.ExecuteAndAwait(ctx, r.s.id, &runloopapi.ExecuteParams{Command: text, CommandID: r.l.id}, allLines)
}

// result decodes what a command has printed. What the answer does not hold is
// streamed.
func (r *run) result(ctx context.Context, view *runloopapi.ExecutionView) (*compute.Result, error) {
	out, errs := &frames{w: r.streams.Stdout}, &frames{w: r.streams.Stderr}
	for _, side := range []struct {
		f         *frames
		text      *string
		truncated bool
		stream    func(context.Context, string, string, int64, ...runloopapi.RequestOption) func(func(runloopapi.OutputChunk, error) bool)
	}{
		{out, view.Stdout, view.StdoutTruncated, r.stdout},
		{errs, view.Stderr, view.StderrTruncated, r.stderr},
	} {
		if side.text != nil && !side.truncated && complete(*side.text) {
			if err := side.f.text(*side.text); err != nil {
				return nil, wrap(ctx, r.op, r.s.id, err)
			}
			continue
		}
		if err := side.f.read(side.stream(ctx, view.DevboxID, view.ExecutionID, 0)); err != nil {
			return nil, r.s.wrap(ctx, r.op, err)
		}
	}
	return r.finish(out, errs, view)
}

// complete reports whether text has the last line of a script's.
func complete(text string) bool {
	i := len(text) - 1
	for ; i > 0 && text[i-1] != '\n'; i-- {
	}
	return i >= 0 && len(text) > 0 && text[len(text)-1] == '\n' && text[i] == '='
}

func (r *run) stdout(ctx context.Context, devbox, id string, offset int64, opts ...runloopapi.RequestOption) func(func(runloopapi.OutputChunk, error) bool) {
	return r.s.p.client.Executions.StreamStdout(ctx, devbox, id, offset, opts...)
}

func (r *run) stderr(ctx context.Context, devbox, id string, offset int64, opts ...runloopapi.RequestOption) func(func(runloopapi.OutputChunk, error) bool) {
	return r.s.p.client.Executions.StreamStderr(ctx, devbox, id, offset, opts...)
}

// finish makes the result of a command from the ends of its outputs.
func (r *run) finish(out, errs *frames, view *runloopapi.ExecutionView) (*compute.Result, error) {
	res := &compute.Result{Duration: time.Since(r.began)}
	r.streams.Close(res)
	if err := r.s.outcome(r.op, r.l.cmd, out, errs, view, res); err != nil {
		return nil, err
	}
	return res, nil
}

// outcome puts the exit code into res. Where there is none it returns why.
func (s *Sandbox) outcome(op string, cmd *compute.Command, out, errs *frames, view *runloopapi.ExecutionView, res *compute.Result) error {
	if !out.done || !errs.done {
		state := "not known"
		if view != nil && view.ExitStatus != nil {
			state = fmt.Sprintf("%d of the shell around it", *view.ExitStatus)
		}
		return failf(op, s.id, compute.ErrUnavailable, "the end of the command was not reported: its exit code is %s", state)
	}
	switch out.last {
	case endNoDir:
		return fail(op, s.id, nil, &fs.PathError{Op: "chdir", Path: cmd.Dir, Err: fs.ErrNotExist})
	case endDirDenied:
		return fail(op, s.id, nil, &fs.PathError{Op: "chdir", Path: cmd.Dir, Err: fs.ErrPermission})
	case endNoUser:
		return failf(op, s.id, compute.ErrInvalid, "the sandbox has no user %q", cmd.User)
	case endUserNo:
		return failf(op, s.id, errors.ErrUnsupported, "option User: the sandbox has no way to become %q: it takes setpriv as root, or sudo", cmd.User)
	case endNoTTY:
		return failf(op, s.id, errors.ErrUnsupported, "option TTY: the sandbox lacks the programs script and stty")
	case endTwice:
		return failf(op, s.id, compute.ErrUnavailable, "the command was begun or killed before: what came of it is not known")
	}
	code, err := strconv.Atoi(out.last)
	if err != nil || code < 0 || code > 255 {
		return failf(op, s.id, compute.ErrUnavailable, "%q is no exit code", cut(out.last, 20))
	}
	res.ExitCode = code
	return nil
}

// live runs the command with its output as it comes. in is nil if the input
// goes along.
func (r *run) live(in *feeder) (*compute.Result, error) {
	text, err := r.l.live()
	if err != nil {
		return nil, err
	}
	id, err := r.s.startAsync(r.ctx, text, r.l)
	if err != nil {
		return r.lostStart(err)
	}
	// The streams do not end with ctx: what was printed until then is to come.
	flow, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
	defer cancel()
	out := &frames{w: r.streams.Stdout, end: r.l.end}
	errs := &frames{w: r.streams.Stderr, end: r.l.end}
	t := r.s.tail(flow, id, out, errs, in)
	var cause error
	select {
	case <-t.done:
		if cause = t.err(); cause == nil {
			return r.finish(out, errs, nil)
		}
	case cause = <-t.failed:
	case <-r.ctx.Done():
		cause = r.ctx.Err()
	}
	return r.stop(t, cancel, cause)
}

// lostStart is the end of a command of which it is not known whether it began.
func (r *run) lostStart(cause error) (*compute.Result, error) {
	if r.ctx.Err() == nil && !lost(cause) {
		return nil, r.s.wrap(r.ctx, r.op, cause)
	}
	clean, cancel := r.s.p.cleanUp(r.ctx)
	defer cancel()
	if err := r.s.kill(clean, r.l.id); err != nil {
		cause = errors.Join(cause, fmt.Errorf("the command may run on: %w", err))
	}
	return r.cut(&compute.Result{}), r.s.wrap(r.ctx, r.op, cause)
}

// stop kills the command because of cause, and waits for the rest of its output.
func (r *run) stop(t *tail, cancel context.CancelFunc, cause error) (*compute.Result, error) {
	clean, stop := r.s.p.cleanUp(r.ctx)
	defer stop()
	err := r.s.kill(clean, r.l.id)
	switch {
	case err == nil:
	case errors.Is(r.s.wrap(clean, r.op, err), compute.ErrNotFound):
		cancel() // it has ended with the devbox
	default:
		_, err2 := r.s.p.client.Executions.Kill(clean, r.s.id, t.id, &runloopapi.KillParams{KillProcessGroup: true})
		if err2 != nil {
			cause = errors.Join(cause, fmt.Errorf("the command may run on: %w", err))
		}
	}
	select {
	case <-t.done:
	case <-clean.Done():
	}
	cancel()
	<-t.done
	res := &compute.Result{}
	r.streams.Close(res)
	if w, ok := errors.AsType[*writeError](cause); ok {
		cause = w.err
	}
	return r.cut(res), r.s.wrap(r.ctx, r.op, cause)
}

// startAsync starts a script in the background of the service, and returns the
// ID of its execution. It is not tried again when the answer was lost. When ctx
// ends the answer is waited for a little longer: without it nobody finds what the
// command has printed.
func (s *Sandbox) startAsync(ctx context.Context, text string, l *launch) (string, error) {
	params := &runloopapi.ExecuteAsyncParams{Command: text, AttachStdin: l.feed}
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		long, stop := lingering(ctx, startGrace)
		view, err := s.p.client.Devboxes.ExecuteAsync(long, s.id, params, runloopapi.WithRequestRetries(0))
		given := long.Err() != nil
		stop()
		if err == nil {
			return view.ExecutionID, nil
		}
		if given {
			return "", context.Cause(ctx)
		}
		var api *runloopapi.Error
		if !errors.As(err, &api) || api.StatusCode != http.StatusTooManyRequests || n >= 4 {
			return "", err
		}
		pause := min(max(api.RetryAfter, s.p.timeouts.createStep), time.Minute)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", fmt.Errorf("%w; the last try: %w", ctx.Err(), err)
		}
	}
}

// startGrace is how long that is.
const startGrace = time.Second

// lingering is a context that ends d after ctx. The caller must call stop.
func lingering(ctx context.Context, d time.Duration) (long context.Context, stop func()) {
	long, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unwatch := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return long, func() {
		unwatch()
		cancel()
	}
}

// tail is the output of an execution as it comes, and the input as it goes.
type tail struct {
	id     string
	done   chan struct{} // closed when both outputs have ended
	failed chan error    // what should end the command

	mu    sync.Mutex
	first error
}

// tail begins to serve the streams of an execution, until flow ends or they do.
func (s *Sandbox) tail(flow context.Context, id string, out, errs *frames, in *feeder) *tail {
	t := &tail{id: id, done: make(chan struct{}), failed: make(chan error, 3)}
	var wg sync.WaitGroup
	wg.Go(func() { t.note(out.read(s.p.client.Executions.StreamStdout(flow, s.id, id, 0))) })
	wg.Go(func() { t.note(errs.read(s.p.client.Executions.StreamStderr(flow, s.id, id, 0))) })
	stop := func() {}
	if in != nil {
		stop = in.serve(flow, s, id, t.note)
	}
	go func() {
		wg.Wait()
		stop()
		close(t.done)
	}()
	return t
}

func (t *tail) note(err error) {
	if err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first == nil {
		t.first = err
	}
	select {
	case t.failed <- err:
	default:
	}
}

func (t *tail) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first
}
