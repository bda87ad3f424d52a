package remote

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// feed serves the readers and writers of a process that this program has
// started. A nil feed serves none.
type feed struct {
	cmd  *compute.Command
	done chan struct{} // closed when all output is delivered

	mu  sync.Mutex
	err error // the first failure of a reader or writer
}

// serve begins to serve. It ends with the process, or with the Provider. The
// output is what a has still to read, if there is such an answer.
func (p *process) serve(ctx context.Context, cmd *compute.Command, a *attached) {
	own := *cmd
	p.feed = &feed{cmd: &own, done: make(chan struct{})}
	if a == nil {
		a = &attached{}
		a.ctx, a.cancel = p.s.background(ctx)
	}
	if cmd.Stdin != nil {
		go p.pump(a.ctx) // one that blocks in Read is nobody's to wait for
	}
	p.s.serving.Go(func() {
		defer a.cancel()
		defer close(p.feed.done)
		if err := p.follow(a, cmd.Stdout, cmd.Stderr); err != nil {
			p.giveUp(a.ctx, err)
		}
	})
}

// giveUp keeps the failure and kills the process: it must not pass for one
// whose streams were whole.
func (p *process) giveUp(ctx context.Context, err error) {
	p.feed.fail(err)
	if errors.Is(err, compute.ErrTruncated) || ctx.Err() != nil {
		return
	}
	ctx, cancel := providers.Cleanup(ctx)
	defer cancel()
	_ = p.Kill(ctx) // Wait tells
}

// pump copies the input, piece by piece. A process that has ended takes none,
// which is not a failure.
func (p *process) pump(ctx context.Context) {
	in := &input{process: p, ctx: ctx}
	buf := make([]byte, maxInput)
	for {
		n, err := p.feed.cmd.Stdin.Read(buf)
		if n > 0 {
			if _, err := in.Write(buf[:n]); err != nil {
				return
			}
		}
		if errors.Is(err, io.EOF) {
			_ = in.Close()
			return
		}
		if err != nil {
			p.giveUp(ctx, err)
			return
		}
	}
}

func (f *feed) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

// wait waits for the output to be delivered.
func (f *feed) wait(ctx context.Context) error {
	if f == nil {
		return nil
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// taken takes out of res what has gone to a writer.
func (f *feed) taken(res *compute.Result) (*compute.Result, error) {
	if f == nil {
		return res, nil
	}
	if f.cmd.Stdout != nil {
		res.Stdout = ""
	}
	if f.cmd.Stderr != nil {
		res.Stderr = ""
	}
	if f.cmd.Stdout != nil && (f.cmd.Stderr != nil || f.cmd.TTY != nil) {
		res.Truncated = false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(f.err, compute.ErrTruncated) {
		res.Truncated = true
		return res, nil
	}
	return res, f.err
}

// maxInput bounds one request with input, in bytes.
const maxInput = 128 << 10

// input is the open input of a process.
type input struct {
	*process
	ctx context.Context
}

// OpenStdin implements [compute.StdinOpener].
func (p processAbilities) OpenStdin(ctx context.Context) (io.WriteCloser, error) {
	if _, err := p.s.do(ctx, p.call("open stdin", "stdin")); err != nil { // no data: is it open?
		return nil, err
	}
	return &input{p.process, ctx}, nil
}

// Write is not tried again: the far end may have written.
func (in *input) Write(data []byte) (n int, err error) {
	for len(data) > 0 {
		do := in.call("write stdin", "stdin")
		do.idempotent = false
		do.req.DataBase64 = data[:min(len(data), maxInput)]
		if _, err := in.s.do(in.ctx, do); err != nil {
			return n, err
		}
		n, data = n+len(do.req.DataBase64), data[len(do.req.DataBase64):]
	}
	return n, nil
}

// Close ends the input.
func (in *input) Close() error {
	_, err := in.s.do(in.ctx, in.call("close stdin", "closeStdin"))
	return err
}
