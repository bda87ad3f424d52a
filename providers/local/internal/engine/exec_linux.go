package engine

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/computekit/compute/providers/local/internal/wire"
)

const (
	// drainQuiet is how long output may pause, once the command has exited,
	// before what still holds it open counts as a process in the background.
	drainQuiet = 50 * time.Millisecond
	// drainMax bounds that for a background process that never pauses.
	drainMax = 2 * time.Second
	// startGrace is how long init may take to answer that it kills a command whose
	// context has ended.
	startGrace = time.Second
)

// Exec runs a command to its end. A command that ran is no error, whatever
// its exit code. When ctx ends, all processes that the command started are
// killed, and the error is ctx's cause.
//
// A read from cmd.Stdin that is under way when the command ends is not waited
// for. If cmd.Stdout and cmd.Stderr are the same, it is written to by one
// goroutine at a time.
func (b *Box) Exec(ctx context.Context, cmd Command) (Exit, error) {
	req := request(wire.OpExec, cmd)
	req.Stdin = cmd.Stdin != nil
	p, err := newPipes(req.Stdin)
	if err != nil {
		return Exit{}, err
	}
	c, err := b.call(ctx, req, p.theirs...)
	p.closeTheirs()
	if err != nil {
		p.close()
		return Exit{}, err
	}
	return b.finish(ctx, c, p, cmd)
}

// finish is the rest of a command that has been sent.
func (b *Box) finish(ctx context.Context, c *call, p *pipes, cmd Command) (Exit, error) {
	c.release()
	r := run{call: c, budget: budget{limit: cmd.MaxOutput}}
	stdout, stderr := outputs(cmd)
	streams := [2]io.Writer{stdout, stderr}
	defer p.close()
	if p.in != nil {
		defer stopFeeding(p.in)
		r.started = func() { r.feed(p.in, cmd.Stdin) }
	}
	soon := cmd.unwatched() && r.endsSoon()
	if !soon {
		r.pumpAll(p, streams)
	}
	ended := r.relay(cmd.Signals)
	exit, err := r.wait(ctx, r.killAfter(ctx))
	ended()
	if soon {
		r.takeAll(p, &streams)
		r.pumpAll(p, streams) // what is left
	}
	r.drain(p.out[:])
	if err == nil && r.whole.Load() == int32(len(p.out)) && cmd.Signals == nil && !r.budget.over.Load() {
		b.keep(c) // on which nothing more will come about this command
	} else {
		c.close()
	}
	return r.budget.judge(exit), errors.Join(err, r.writeErr)
}

// relay sends the command signals until the returned function is called.
func (r *run) relay(signals <-chan syscall.Signal) (stop func()) {
	if signals == nil {
		return func() {}
	}
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case sig := <-signals:
				_ = r.call.Send(&wire.Request{Op: wire.OpSignal, Signal: int(sig)})
			case <-ended:
				return
			}
		}
	}()
	return func() { close(ended) }
}

func request(op string, cmd Command) *wire.Request {
	r := &wire.Request{Op: op, Argv: cmd.Argv, Env: cmd.Env, Dir: cmd.Dir, User: cmd.User}
	if cmd.Terminal != nil {
		r.TTY, r.Size = true, cmd.Terminal.wire()
	}
	return r
}

func (s Size) wire() wire.Size {
	clamp := func(n int) uint32 { return uint32(min(max(n, 0), 1<<15)) }
	return wire.Size{Rows: clamp(s.Rows), Cols: clamp(s.Cols)}
}

// A run is a command under way.
type run struct {
	call     *call
	budget   budget
	started  func() // called when the command runs, if it has an input
	running  atomic.Bool
	killed   atomic.Bool
	hurries  sync.Mutex
	pumps    sync.WaitGroup
	exited   atomic.Int64 // when, in Unix nanoseconds
	owed     [2]atomic.Int64
	whole    atomic.Int32 // streams that have ended: nothing has them open any more
	mu       sync.Mutex
	writeErr error
}

// killAfter has the command killed when ctx ends, unless it is stopped before.
func (r *run) killAfter(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, r.kill)
}

// wait returns when the command has ended, by itself or because ctx has.
func (r *run) wait(ctx context.Context, stop func() bool) (Exit, error) {
	reply, err := r.outcome()
	switch killed := !stop(); {
	case killed:
		return exitOf(reply.Exit), context.Cause(ctx)
	case err != nil:
		return Exit{}, r.call.failed(err)
	case reply.Fault.Code != "":
		return Exit{}, typedError(reply.Fault)
	}
	return exitOf(reply.Exit), nil
}

// kill has init kill the command, now or as soon as it runs.
func (r *run) kill() {
	r.killed.Store(true)
	r.hurry()
	_ = r.call.Send(&wire.Request{Op: wire.OpKill})
}

// hurry bounds how long init may take, once the command is to be killed. If that
// does not run yet init is not waited for long: it kills a command whose
// connection has ended.
func (r *run) hurry() {
	r.hurries.Lock()
	defer r.hurries.Unlock()
	if r.running.Load() {
		_ = r.call.SetDeadline(time.Now().Add(grace))
	} else {
		_ = r.call.SetDeadline(time.Now().Add(startGrace))
	}
}

// runs notes that the command has been started. It reports whether that is news.
func (r *run) runs() bool {
	news := !r.running.Swap(true)
	if news && r.killed.Load() {
		r.hurry()
	}
	return news
}

// outcome receives the answer that the command has ended, and those before it:
// that it runs, if it has an input, and that it is being killed, for its context
// or for its output.
func (r *run) outcome() (reply wire.Reply, err error) {
	const before = 3 // init is not trusted to stop
	for range before + 1 {
		reply = wire.Reply{}
		files, err := r.call.Receive(&reply, wire.MaxReply)
		wire.CloseAll(files)
		switch {
		case err != nil, reply.Done, reply.Fault.Code != "":
			return reply, err
		case r.runs() && r.started != nil:
			r.started()
		}
	}
	return reply, wire.ErrMalformed
}

func exitOf(e wire.Exit) Exit {
	exit := Exit{
		Code: e.Code, Signal: e.Signal, MaxRSS: e.MaxRSS, Limit: e.Limit,
		Duration: time.Duration(e.Duration), User: time.Duration(e.User), System: time.Duration(e.System),
	}
	if e.Signal != 0 {
		exit.Code = -1
	}
	return exit
}
