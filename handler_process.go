package compute

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"strconv"
)

// onProcess makes an action on a sandbox of one on the process that the request
// names.
func onProcess(f func(context.Context, *exchange, Process) error) func(context.Context, *exchange, Sandbox) error {
	return func(ctx context.Context, x *exchange, sb Sandbox) error {
		p, err := GetProcess(ctx, sb, x.req.ProcessID)
		if err != nil {
			return err
		}
		return f(ctx, x, p)
	}
}

func startProcess(ctx context.Context, x *exchange, sb Sandbox) error {
	cmd := x.command()
	cmd.OpenStdin = x.req.OpenStdin
	if x.events != nil && x.req.CommandOptions.Attach && x.req.Action == actionStart {
		return x.startAttached(ctx, sb, cmd)
	}
	_, err := x.start(ctx, sb, cmd)
	return err
}

// start starts cmd and describes the process.
func (x *exchange) start(ctx context.Context, sb Sandbox, cmd *Command) (Process, error) {
	p, err := Start(ctx, sb, cmd)
	if err != nil {
		return nil, err
	}
	x.resp.Process = &ResponseProcess{ProcessID: p.ID(), PID: pidOf(p.ID()), Abilities: Abilities(p)}
	if ctx.Err() != nil { // the client has gone and will never know the ID
		cleanup, cancel := detach(ctx)
		defer cancel()
		return nil, errors.Join(ctx.Err(), p.Kill(cleanup))
	}
	info, err := p.Info(ctx)
	if err != nil { // it was started all the same
		info = &ProcessInfo{ID: p.ID(), Args: cmd.Args, Script: cmd.Script, Running: true}
	}
	x.resp.Process.ProcessInfo = info
	return p, nil
}

// pidOf makes a number of a process's ID, for clients that know terminals by
// theirs: the ID itself if it is one, and else a hash that JavaScript can hold.
func pidOf(id string) int64 {
	const largest = 1<<53 - 1
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && n > 0 && n <= largest && strconv.FormatInt(n, 10) == id {
		return n
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, id) // it never fails
	return int64(h.Sum64()>>11)&largest | 1<<52
}

func responseProcess(info *ProcessInfo) ResponseProcess {
	return ResponseProcess{ProcessInfo: info, ProcessID: info.ID, PID: pidOf(info.ID)}
}

func listProcesses(ctx context.Context, x *exchange, sb Sandbox) error {
	infos, err := Collect(ListProcesses(ctx, sb), x.req.Options.Limit)
	if err != nil {
		return err
	}
	x.resp.Processes = make([]ResponseProcess, len(infos))
	for i, info := range infos {
		x.resp.Processes[i] = responseProcess(info)
	}
	return nil
}

func getProcess(ctx context.Context, x *exchange, p Process) error {
	info, err := p.Info(ctx)
	if err != nil {
		return err
	}
	x.resp.Process = new(responseProcess(info))
	x.resp.Process.Abilities = Abilities(p)
	return nil
}

// processOutput delivers what the client does not have yet, until the process
// ends. Without events it is collected, and what there is when the request's
// time is over is the answer.
func processOutput(ctx context.Context, x *exchange, p Process) error {
	from := x.req.Offsets
	if o, ok := parseOffsets(x.lastEvent); ok {
		from = o
	}
	if x.events != nil {
		x.events.resume(from)
		if err := x.attach(ctx, p, x.stdout, x.stderr, from); err != nil {
			return err
		}
		return getProcess(ctx, x, p)
	}
	return x.collectOutput(ctx, p, from)
}

func (x *exchange) collectOutput(ctx context.Context, p Process, from Offsets) error {
	limited, cancel, err := x.limited(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	var stdout, stderr capture
	err = x.attach(limited, p, &stdout, &stderr, from)
	if limited.Err() != nil && ctx.Err() == nil {
		err = nil // it runs on
	}
	res := &Result{Stdout: stdout.String(), Stderr: stderr.String(), Truncated: stdout.full || stderr.full}
	if errors.Is(err, ErrTruncated) {
		res.Truncated, err = true, nil
	}
	if err != nil {
		return err
	}
	if err := getProcess(ctx, x, p); err != nil {
		return err
	}
	res.ExitCode = x.resp.Process.ExitCode
	x.resp.Result = responseResult(res)
	return nil
}

// skipper drops the first bytes.
type skipper struct {
	w io.Writer
	n int64
}

func skip(w io.Writer, n int64) io.Writer {
	if n == 0 || w == nil {
		return w
	}
	return &skipper{w, n}
}

func (s *skipper) Write(p []byte) (int, error) {
	dropped := int(min(s.n, int64(len(p))))
	s.n -= int64(dropped)
	if dropped == len(p) {
		return dropped, nil
	}
	n, err := s.w.Write(p[dropped:])
	return n + dropped, err
}

// capture keeps up to MaxCapture bytes.
type capture struct {
	bytes.Buffer
	full bool
}

func (c *capture) Write(p []byte) (int, error) {
	n := min(len(p), MaxCapture-c.Len())
	c.full = c.full || n < len(p)
	_, _ = c.Buffer.Write(p[:n]) // it never fails
	return len(p), nil
}

// waitProcess answers with the result. When the request's time is over, the
// process runs on.
func waitProcess(ctx context.Context, x *exchange, p Process) error {
	ctx, cancel, err := x.limited(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	res, err := p.Wait(ctx)
	if res != nil {
		x.resp.Result = responseResult(res)
	}
	return err
}

// writeProcess leaves the input open unless it is told to close it.
func writeProcess(ctx context.Context, x *exchange, p Process) error {
	return typeInto(ctx, p, bytes.NewReader(x.req.typed()), x.req.Close)
}

// typeInto copies r to the input of p and, if that is all of it, closes it.
func typeInto(ctx context.Context, p Process, r io.Reader, all bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := OpenStdin(ctx, p)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil || !all {
		return err
	}
	return w.Close()
}

func closeProcess(ctx context.Context, _ *exchange, p Process) error {
	return typeInto(ctx, p, bytes.NewReader(nil), true)
}

func signalProcess(ctx context.Context, x *exchange, p Process) error {
	return SendSignal(ctx, p, x.req.Signal)
}

func resizeProcess(ctx context.Context, x *exchange, p Process) error {
	return Resize(ctx, p, TTY{Rows: x.req.Rows, Cols: x.req.Cols})
}

func killProcess(ctx context.Context, _ *exchange, p Process) error { return p.Kill(ctx) }
