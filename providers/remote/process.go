package remote

import (
	"context"
	"io"
	"iter"

	"github.com/computekit/compute"
)

// process is a background process at the far end. Those that were started with
// readers or writers have a feed.
type process struct {
	s    *Sandbox
	id   string
	feed *feed
}

func (p *process) request(verb string) *compute.Request {
	req := p.s.request("process." + verb)
	req.ProcessID = p.id
	return req
}

func (p *process) call(op, verb string) call {
	return call{op: op, id: p.id, idempotent: true, req: p.request(verb)}
}

// StartCommand implements [compute.Starter].
func (a sandboxAbilities) StartCommand(ctx context.Context, cmd *compute.Command) (compute.Process, error) {
	do := call{op: "start command", id: a.id, req: command(a.request("process.start"), cmd)}
	do.req.OpenStdin = cmd.OpenStdin || cmd.Stdin != nil
	if cmd.Stdout != nil || cmd.Stderr != nil {
		return a.startAttached(ctx, do, cmd)
	}
	resp, err := a.createOne(ctx, do)
	if err != nil {
		return nil, err
	}
	if resp.Process == nil || resp.Process.ProcessID == "" {
		return nil, a.incomplete(do)
	}
	p := &process{s: a.Sandbox, id: resp.Process.ProcessID}
	if cmd.Stdin != nil {
		p.serve(ctx, cmd, nil)
	}
	return p.able(resp.Process.Abilities), nil
}

func (p *process) able(names []string) compute.Process {
	return withAbilities[compute.Process](p, processAbilities{p}, ofProcess, names)
}

// GetProcess implements [compute.ProcessGetter].
func (a sandboxAbilities) GetProcess(ctx context.Context, id string) (compute.Process, error) {
	p := &process{s: a.Sandbox, id: id}
	do := p.call("get process", "get")
	if id == "" {
		return nil, a.fail(do, &compute.Error{Kind: compute.ErrNotFound})
	}
	resp, err := a.do(ctx, do)
	if err != nil {
		return nil, err
	}
	if resp.Process == nil {
		return nil, a.incomplete(do)
	}
	return p.able(resp.Process.Abilities), nil
}

// ListProcesses implements [compute.ProcessLister].
func (a sandboxAbilities) ListProcesses(ctx context.Context) iter.Seq2[*compute.ProcessInfo, error] {
	do := call{op: "list processes", id: a.id, req: a.request("process.list")}
	return list(ctx, a.client, do, func(resp *compute.Response) []*compute.ProcessInfo {
		infos := make([]*compute.ProcessInfo, len(resp.Processes))
		for i, p := range resp.Processes {
			infos[i] = p.ProcessInfo
		}
		return infos
	})
}

// ID implements [compute.Process].
func (p *process) ID() string { return p.id }

// Info implements [compute.Process].
func (p *process) Info(ctx context.Context) (*compute.ProcessInfo, error) {
	do := p.call("process info", "get")
	resp, err := p.s.do(ctx, do)
	if err != nil {
		return nil, err
	}
	if resp.Process == nil || resp.Process.ProcessInfo == nil {
		return nil, p.s.incomplete(do)
	}
	return resp.Process.ProcessInfo, nil
}

// Kill implements [compute.Process].
func (p *process) Kill(ctx context.Context) error {
	_, err := p.s.do(ctx, p.call("kill", "kill"))
	return err
}

// Wait implements [compute.Process].
func (p *process) Wait(ctx context.Context) (*compute.Result, error) {
	do := p.call("wait", "wait")
	if err := p.feed.wait(ctx); err != nil && ctx.Err() != nil {
		return nil, p.s.lost(ctx, do, err)
	}
	resp, err := p.s.poll(ctx, do)
	if err != nil {
		return nil, err
	}
	res := result(resp.Result)
	if res == nil {
		return nil, p.s.incomplete(do)
	}
	return p.feed.taken(res)
}

// Attach implements [compute.Process]. When the connection is lost, it goes on
// where it was.
func (p *process) Attach(ctx context.Context, stdout, stderr io.Writer) error {
	return p.s.resume(ctx, p.call("attach", "output"), func(e *event) error { return pass(e, stdout, stderr) })
}

// pass hands a piece of output to its writer, of which nil discards.
func pass(e *event, stdout, stderr io.Writer) error {
	w := stdout
	switch e.name {
	case "stdout":
	case "stderr":
		w = stderr
	default:
		return nil
	}
	data, err := e.bytes()
	if err != nil {
		return &compute.Error{Op: "attach", Kind: compute.ErrUnavailable, Err: err}
	}
	if w == nil {
		return nil
	}
	n, err := w.Write(data)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	return err
}

// Signal implements [compute.Signaler].
func (p processAbilities) Signal(ctx context.Context, sig compute.Signal) error {
	do := p.call("send signal", "signal")
	do.req.Signal, do.idempotent = sig, false
	if sig <= 0 {
		return p.s.fail(do, &compute.Error{Kind: compute.ErrInvalid})
	}
	_, err := p.s.do(ctx, do)
	return err
}

// Resize implements [compute.Resizer].
func (p processAbilities) Resize(ctx context.Context, size compute.TTY) error {
	do := p.call("resize", "resize")
	do.req.Rows, do.req.Cols = size.Rows, size.Cols
	_, err := p.s.do(ctx, do)
	return err
}
