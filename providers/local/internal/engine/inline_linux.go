package engine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"syscall"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// Exec is as that of a Box.
func (b GVisorBox) Exec(ctx context.Context, cmd Command) (Exit, error) {
	x, err := b.request(ctx, cmd)
	if err != nil {
		return Exit{}, err
	}
	return x.complete(ctx, cmd)
}

// complete is the rest of a command that has been sent.
func (x *inlineRun) complete(ctx context.Context, cmd Command) (Exit, error) {
	defer x.call.close()
	x.call.release()
	if cmd.Stdin != nil {
		x.started = func() { go x.feed(cmd.Stdin) }
	}
	stdout, stderr := outputs(cmd)
	x.deliver(0, stdout)
	x.deliver(1, stderr)
	exit, err := x.wait(ctx)
	x.finish()
	return exit, errors.Join(err, x.writeErr)
}

// inlineRun is a command under way, whose streams come in frames.
type inlineRun struct {
	run     // for its outcome and its writer's errors
	sending sync.Mutex
	window  chan struct{} // a place for each frame of input that may be under way
	full    chan struct{} // closed when the command takes no more input
	ended   chan struct{} // closed when there is nothing more to come
	queues  [2]chan []byte
}

// queueSize is how many portions of a stream may wait for a slow writer while
// the other stream goes on.
const queueSize = 8

// request asks for the command.
func (b GVisorBox) request(ctx context.Context, cmd Command) (*inlineRun, error) {
	req := request(wire.OpExec, cmd)
	req.Stdin = cmd.Stdin != nil
	c, err := b.call(ctx, req)
	if err != nil {
		return nil, err
	}
	return &inlineRun{run: run{call: c}, window: make(chan struct{}, wire.StdinWindow), full: make(chan struct{}), ended: make(chan struct{})}, nil
}

// begin has the command started.
func (b GVisorBox) begin(ctx context.Context, cmd Command) (*inlineRun, error) {
	x, err := b.request(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return x, x.begun(ctx)
}

// begun waits until a command that has been sent is started.
func (x *inlineRun) begun(ctx context.Context) error {
	x.call.release()
	stop := context.AfterFunc(ctx, x.kill)
	defer stop()
	if _, err := x.call.reply(); err != nil {
		x.call.close()
		return err
	}
	return x.begins()
}

func (x *inlineRun) send(r *wire.Request) error {
	x.sending.Lock()
	defer x.sending.Unlock()
	return x.call.Send(r)
}

// input sends one portion of input, an empty one for its end, when there is
// room for it.
func (x *inlineRun) input(p []byte) error {
	select {
	case x.window <- struct{}{}:
	case <-x.full:
		return syscall.EPIPE
	case <-x.ended:
		return fs.ErrClosed
	}
	x.sending.Lock()
	defer x.sending.Unlock()
	return x.call.WriteFrame(wire.KindData, p)
}

// inputChunk is the most that one frame of input holds.
const inputChunk = 32 << 10

// Write is input for the command; see feed.
func (x *inlineRun) Write(p []byte) (n int, err error) {
	for n < len(p) {
		part := p[n:min(len(p), n+inputChunk)]
		if err := x.input(part); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

// feed copies the input until the command does not take it any more.
func (x *inlineRun) feed(in io.Reader) {
	if _, err := io.CopyBuffer(onlyWriter{x}, onlyReader{in}, make([]byte, inputChunk)); err == nil || !errors.Is(err, syscall.EPIPE) {
		_ = x.input(nil)
	}
}

type onlyWriter struct{ io.Writer }

// deliver gives a stream's portions to its writer.
func (x *inlineRun) deliver(index int, w io.Writer) {
	if w == nil {
		w = io.Discard
	}
	queue := make(chan []byte, queueSize)
	x.queues[index] = queue
	x.pumps.Go(func() {
		for p := range queue {
			w = x.write(w, p)
		}
	})
}

// finish waits until the writers have all.
func (x *inlineRun) finish() {
	for _, q := range x.queues {
		if q != nil {
			close(q)
		}
	}
	x.pumps.Wait()
}

// wait returns when the command has ended, by itself or because ctx has.
func (x *inlineRun) wait(ctx context.Context) (Exit, error) {
	defer close(x.ended)
	stop := context.AfterFunc(ctx, x.kill)
	exit, err := x.receive()
	if !stop() {
		return exit, context.Cause(ctx)
	}
	return exit, err
}

// kill has init kill the command, now or as soon as it runs.
func (x *inlineRun) kill() {
	x.killed.Store(true)
	x.hurry()
	_ = x.send(&wire.Request{Op: wire.OpKill})
}

// begins notes that the command has been started.
func (x *inlineRun) begins() error {
	if !x.runs() {
		return wire.ErrMalformed // init is not trusted to stop
	}
	if x.started != nil {
		x.started()
	}
	return nil
}

func (x *inlineRun) receive() (Exit, error) {
	for {
		kind, data, files, err := x.call.ReadFrame(wire.MaxReply)
		wire.CloseAll(files)
		switch {
		case err != nil:
			return Exit{}, x.call.failed(err)
		case kind == wire.KindData:
			if err := x.output(data); err != nil {
				return Exit{}, err
			}
			continue
		}
		var r wire.Reply
		if err := wire.Unmarshal(data, &r); err != nil {
			return Exit{}, err
		}
		switch {
		case r.Fault.Code != "":
			return Exit{}, typedError(r.Fault)
		case r.ID != "":
			err = x.acknowledged(r.Done)
		case r.Done:
			return exitOf(r.Exit), nil
		default:
			err = x.begins()
		}
		if err != nil {
			return Exit{}, err
		}
	}
}

func (x *inlineRun) output(frame []byte) error {
	if len(frame) == 0 || frame[0] < wire.Stdout || frame[0] > wire.Stderr || x.queues[frame[0]-wire.Stdout] == nil {
		return wire.ErrMalformed
	}
	x.queues[frame[0]-wire.Stdout] <- frame[1:]
	return nil
}

func (x *inlineRun) acknowledged(full bool) error {
	select {
	case <-x.window:
	default:
		return wire.ErrMalformed // what was not sent
	}
	if full {
		select {
		case <-x.full:
		default:
			close(x.full)
		}
	}
	return nil
}

// An InlineTerminal is as a Terminal.
type InlineTerminal struct {
	x    *inlineRun
	r    *io.PipeReader
	done chan struct{}
	exit Exit
	err  error
}

// Terminal is as that of a Box.
func (b GVisorBox) Terminal(ctx context.Context, cmd Command, size Size) (*InlineTerminal, error) {
	cmd.Terminal, cmd.Stdin = &size, nil
	x, err := b.begin(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return x.terminal(ctx), nil
}

func (x *inlineRun) terminal(ctx context.Context) *InlineTerminal {
	r, w := io.Pipe()
	t := &InlineTerminal{x: x, r: r, done: make(chan struct{})}
	x.deliver(0, w)
	go func() {
		defer close(t.done)
		t.exit, t.err = x.wait(ctx)
		x.finish()
		_ = w.Close()
	}()
	return t
}

// Read reads what was printed. It returns io.EOF when the command has ended.
func (t *InlineTerminal) Read(p []byte) (int, error) { return t.r.Read(p) }

// Write types.
func (t *InlineTerminal) Write(p []byte) (int, error) { return t.x.Write(p) }

// Resize tells the command of the terminal's new size.
func (t *InlineTerminal) Resize(size Size) error {
	return t.x.send(&wire.Request{Op: wire.OpResize, Size: size.wire()})
}

// Signal sends the command's process group a signal.
func (t *InlineTerminal) Signal(sig syscall.Signal) error {
	return t.x.send(&wire.Request{Op: wire.OpSignal, Signal: int(sig)})
}

// Wait returns when the command has ended and what it printed was read.
func (t *InlineTerminal) Wait() (Exit, error) {
	<-t.done
	return t.exit, t.err
}

// Close kills what still runs on the terminal and gives it back.
func (t *InlineTerminal) Close() error {
	_ = t.r.Close() // what is printed now is dropped
	select {
	case <-t.done:
	default:
		t.x.kill()
		<-t.done
	}
	t.x.call.close()
	return nil
}
