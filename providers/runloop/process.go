package runloop

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// Process is a command in the background: an execution of the service. Get it
// with compute.As[*runloop.Process].
type Process struct {
	s      *Sandbox
	id     string // of the execution
	mark   string // of the command within the devbox
	record record

	served *served // streams that this program serves; nil without
}

var _ interface {
	compute.Process
	compute.Signaler
	compute.StdinOpener
	compute.Resizer
} = (*Process)(nil)

// record is what the devbox keeps of a command.
type record struct {
	Args   []string `json:"a,omitempty"`
	Script string   `json:"s,omitempty"`
	Dir    string   `json:"d,omitempty"`
	User   string   `json:"u,omitempty"`
	Open   bool     `json:"o,omitempty"` // OpenStdin
	TTY    bool     `json:"t,omitempty"`
	End    []byte   `json:"e"` // ends the output, once the command has ended
}

func (r *record) command() *compute.Command {
	return &compute.Command{Args: r.Args, Script: r.Script, Dir: r.Dir, User: r.User}
}

// served are the streams of a process that has some in this program.
type served struct {
	done      chan struct{}
	out, errs *frames
	streams   *providers.Streams
	res       compute.Result
	err       error
}

// StartCommand implements [compute.Starter].
func (s *Sandbox) StartCommand(ctx context.Context, cmd *compute.Command) (compute.Process, error) {
	const op = "start command"
	if err := cmd.Validate(); err != nil {
		return nil, named(err)
	}
	if err := ctx.Err(); err != nil {
		return nil, wrap(ctx, op, s.id, err)
	}
	own := *cmd
	l := newLaunch(&own)
	in, err := s.input(ctx, l)
	if err != nil {
		return nil, s.wrap(ctx, op, err)
	}
	p := &Process{s: s, mark: l.id}
	p.record = record{Args: cmd.Args, Script: cmd.Script, Dir: cmd.Dir, User: cmd.User, Open: cmd.OpenStdin, TTY: cmd.TTY != nil}
	if err := p.launch(ctx, op, l); err != nil {
		if in != nil {
			in.stop()
		}
		return nil, err
	}
	if cmd.Stdout != nil || cmd.Stderr != nil || in != nil {
		p.serve(&own, in)
	}
	return p, nil
}

// launch starts the process, and waits until it has begun. When it fails, or ctx
// ends, nothing runs.
func (p *Process) launch(ctx context.Context, op string, l *launch) error {
	ctx, cancel := bounded(ctx, p.s.p.timeouts.Short)
	defer cancel()
	l.feed = l.feed || l.cmd.OpenStdin
	l.end = newEnd()
	p.record.End = l.end
	kept, err := json.Marshal(p.record)
	if err != nil {
		return fail(op, p.s.id, compute.ErrInvalid, err)
	}
	l.record = base64.StdEncoding.EncodeToString(kept)
	text, err := l.live()
	if err != nil {
		return err
	}
	if p.id, err = p.s.startAsync(ctx, text, l); err == nil {
		sign := "p"
		if l.cmd.TTY != nil {
			sign = "g"
		}
		_, err = p.s.script(ctx, fmt.Sprintf(linkScript, p.mark, sign, p.id))
	}
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && !lost(err) && p.id == "" {
		return p.s.wrap(ctx, op, err)
	}
	clean, stop := p.s.p.cleanUp(ctx)
	defer stop()
	if kerr := p.s.kill(clean, p.mark); kerr != nil {
		err = errors.Join(err, fmt.Errorf("the command may run on: %w", kerr))
	}
	return p.s.wrap(ctx, op, err)
}

// linkScript waits until the command has begun, or ended, and keeps the ID of the
// execution with it, so that others who know the one find the other.
const linkScript = `d=` + stateDir + `/%s n=0
while ! [ -s $d/%s ] && ! [ -e $d/r ] && [ $n -lt 1000 ]; do n=$((n+1)); sleep 0.01; done
[ -e $d/c ] && echo %s >$d/l.new && mv $d/l.new $d/l
`

// serve writes the output to cmd's writers, and its input to the process, while
// this program lives.
func (p *Process) serve(cmd *compute.Command, in *feeder) {
	v := &served{done: make(chan struct{}), streams: providers.NewStreams(cmd)}
	v.out = &frames{w: v.streams.Stdout, end: p.record.End}
	v.errs = &frames{w: v.streams.Stderr, end: p.record.End}
	p.served = v
	ok := p.s.p.spawn(func(ctx context.Context) {
		defer close(v.done)
		t := p.s.tail(ctx, p.id, v.out, v.errs, in)
		select {
		case <-t.done:
			v.err = t.err()
		case v.err = <-t.failed:
			clean, cancel := p.s.p.cleanUp(ctx)
			if ctx.Err() == nil {
				_ = p.s.kill(clean, p.mark) // the failure is what is reported
			}
			cancel()
			<-t.done
		}
		v.streams.Close(&v.res)
	})
	if !ok {
		if in != nil {
			in.stop()
		}
		v.err = errors.New("the provider is closed")
		close(v.done)
	}
}

// ID implements [compute.Process]. It is the execution's.
func (p *Process) ID() string { return p.id }

// Wait implements [compute.Process].
func (p *Process) Wait(ctx context.Context) (*compute.Result, error) {
	const op = "wait"
	if v := p.served; v != nil {
		select {
		case <-v.done:
		case <-ctx.Done():
			return nil, wrap(ctx, op, p.id, ctx.Err())
		}
		if v.err != nil {
			return nil, p.s.wrap(ctx, op, v.err)
		}
		res := v.res
		return p.finished(ctx, op, v.out, v.errs, &res)
	}
	streams := providers.NewStreams(&compute.Command{})
	out, errs, err := p.follow(ctx, streams.Stdout, streams.Stderr)
	if err != nil {
		return nil, p.s.wrap(ctx, op, err)
	}
	res := &compute.Result{}
	streams.Close(res)
	return p.finished(ctx, op, out, errs, res)
}

// finished completes the result of a process whose output has ended.
func (p *Process) finished(ctx context.Context, op string, out, errs *frames, res *compute.Result) (*compute.Result, error) {
	if err := p.s.outcome(op, p.record.command(), out, errs, nil, res); err != nil {
		if !out.done { // the shell around it ended: by Runloop's own kill, or with the devbox
			if _, verr := p.s.p.view(ctx, op, p.s.id); verr != nil {
				return nil, verr
			}
		}
		return nil, err
	}
	if began, ok := idTime(p.mark); ok {
		res.Duration = time.Since(began)
		if i, err := p.Info(ctx); err == nil && !i.Ended.IsZero() {
			res.Duration = i.Ended.Sub(i.Started)
		}
	}
	return res, nil
}

// follow writes the output from its beginning until it ends or ctx does.
func (p *Process) follow(ctx context.Context, stdout, stderr io.Writer) (out, errs *frames, err error) {
	flow, cancel := context.WithCancel(ctx)
	defer cancel()
	out, errs = &frames{w: stdout, end: p.record.End}, &frames{w: stderr, end: p.record.End}
	t := p.s.tail(flow, p.id, out, errs, nil)
	select {
	case <-t.done:
		err = t.err()
	case err = <-t.failed:
		cancel()
		<-t.done
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if w, ok := errors.AsType[*writeError](err); ok {
		err = w.err
	}
	return out, errs, err
}

// Attach implements [compute.Process]. All output is kept by the service.
func (p *Process) Attach(ctx context.Context, stdout, stderr io.Writer) error {
	own := func(w io.Writer) io.Writer {
		if w == nil {
			return io.Discard
		}
		return w
	}
	streams := providers.NewStreams(&compute.Command{Stdout: own(stdout), Stderr: own(stderr)})
	_, _, err := p.follow(ctx, streams.Stdout, streams.Stderr)
	streams.Close(&compute.Result{})
	return p.s.wrap(ctx, "attach", err)
}

// Info implements [compute.Process].
func (p *Process) Info(ctx context.Context) (*compute.ProcessInfo, error) {
	const op = "get process"
	found, err := p.s.processes(ctx, op, p.id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, gone(op, p.id)
	}
	return found[0].info, nil
}

// Kill implements [compute.Process].
func (p *Process) Kill(ctx context.Context) error {
	ctx, cancel := bounded(ctx, p.s.p.timeouts.Short)
	defer cancel()
	return p.s.wrap(ctx, "kill", p.s.kill(ctx, p.mark))
}

// signalScript says whether the command could be sent a signal. With a terminal
// it is not the leader of the session, and has said which process it is.
const signalScript = `d=` + stateDir + `/%s
[ -e $d/r ] && { echo ended; exit 0; }
` + rootScript + `f=$d/p; [ -s $d/g ] && f=$d/g
read -r p <$f || { echo ended; exit 0; }
$r kill -%d -- -$p 2>/dev/null || $r kill -%[2]d $p 2>/dev/null || { echo ended; exit 0; }
echo sent
`

// Signal implements [compute.Signaler].
func (p *Process) Signal(ctx context.Context, sig compute.Signal) error {
	const op = "send signal"
	if sig < 1 || sig > 64 {
		return failf(op, p.id, compute.ErrInvalid, "there is no signal %d", int(sig))
	}
	ctx, cancel := bounded(ctx, p.s.p.timeouts.Short)
	defer cancel()
	said, err := p.s.script(ctx, fmt.Sprintf(signalScript, p.mark, int(sig)))
	if err != nil {
		return p.s.wrap(ctx, op, err)
	}
	if strings.TrimSpace(said) != "sent" {
		return failf(op, p.id, compute.ErrConflict, "the process has ended")
	}
	return nil
}

// OpenStdin implements [compute.StdinOpener].
func (p *Process) OpenStdin(ctx context.Context) (io.WriteCloser, error) {
	if !p.record.Open {
		return nil, failf("open stdin", p.id, compute.ErrConflict, "the process was started without OpenStdin")
	}
	return &stdin{ctx: ctx, s: p.s, id: p.id}, nil
}

const resizeScript = `read -r t <` + stateDir + `/%s/t && stty rows %d cols %d <"$t"
`

// Resize implements [compute.Resizer].
func (p *Process) Resize(ctx context.Context, size compute.TTY) error {
	const op = "resize"
	if !p.record.TTY {
		return failf(op, p.id, compute.ErrInvalid, "the process has no terminal")
	}
	if size.Rows < 0 || size.Cols < 0 || size.Rows > 1<<15 || size.Cols > 1<<15 {
		return failf(op, p.id, compute.ErrInvalid, "%d by %d is no size of a terminal", size.Cols, size.Rows)
	}
	ctx, cancel := bounded(ctx, p.s.p.timeouts.Short)
	defer cancel()
	_, err := p.s.script(ctx, fmt.Sprintf(resizeScript, p.mark, orDefault(size.Rows, 24), orDefault(size.Cols, 80)))
	return p.s.wrap(ctx, op, err)
}

func orDefault(n, usual int) int {
	if n == 0 {
		return usual
	}
	return n
}
