package compute

import (
	"context"
	"errors"
	"io"
	"sync"
)

// startAttached starts cmd and sends what was started, then its output, then its
// result. The process waits for a client that lags. It is there until the client
// has gone; process.output has what comes after that.
func (x *exchange) startAttached(ctx context.Context, sb Sandbox, cmd *Command) error {
	g := &gate{open: make(chan struct{})}
	defer g.leave()
	cmd.Stdout = g.pass(x.limitOutput(x.stdout))
	if cmd.TTY == nil {
		cmd.Stderr = g.pass(x.limitOutput(x.stderr))
	}
	p, err := x.start(ctx, sb, cmd)
	if err != nil {
		return err
	}
	if x.events.numbered("process", x.resp.Process) != nil {
		return nil // it goes on, but its key still undoes it
	}
	close(g.open)
	res, err := p.Wait(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	if isTooLarge(err) {
		cleanup, cancel := detach(ctx)
		defer cancel()
		return errors.Join(err, p.Kill(cleanup))
	}
	if res != nil {
		x.resp.Result = responseResult(res)
	}
	if info, ierr := p.Info(ctx); ierr == nil {
		x.resp.Process.ProcessInfo = info
	}
	return err
}

// gate is in front of a client's writers: closed until the client knows what it
// is that prints, and a way to nowhere once the client has gone.
type gate struct {
	open chan struct{}
	of   []*gated
}

type gated struct {
	open <-chan struct{}
	mu   sync.Mutex // held while writing
	w    io.Writer  // nil once the client has gone
}

func (g *gate) pass(w io.Writer) io.Writer {
	one := &gated{open: g.open, w: w}
	g.of = append(g.of, one)
	return one
}

// leave waits for what is being written.
func (g *gate) leave() {
	select {
	case <-g.open:
	default:
		close(g.open)
	}
	for _, one := range g.of {
		one.mu.Lock()
		one.w = nil
		one.mu.Unlock()
	}
}

func (g *gated) Write(p []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w == nil {
		return len(p), nil
	}
	n, err := g.w.Write(p)
	if err != nil && !isTooLarge(err) { // no reason for the process to end
		g.w = nil
		return len(p), nil
	}
	return n, err
}
