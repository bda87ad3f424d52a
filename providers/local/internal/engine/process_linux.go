package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// StartProcess starts a command in the background: it runs until it ends or
// is killed, whatever becomes of this program. The sandbox keeps the last
// 8 MiB of each of its outputs. cmd.Stdin, Stdout and Stderr are not used. Only
// cmd.Held makes it wait for anybody who reads.
func (b *Box) StartProcess(ctx context.Context, cmd Command) (Process, error) {
	req := request(wire.OpStart, cmd)
	req.Stdin = cmd.KeepStdin
	if cmd.Held != 0 {
		req.Hold, req.Stream = true, int(cmd.Held)
	}
	c, err := b.call(ctx, req)
	if err != nil {
		return Process{}, err
	}
	p, err := c.started()
	switch {
	case err != nil:
		c.giveUp()
	case cmd.Held == 0:
		c.close()
	default:
		c.release()
		context.AfterFunc(cmd.HoldContext, c.close)
	}
	return p, err
}

// started receives a process that has been started, and commits to it.
func (c *call) started() (Process, error) {
	p, err := c.process()
	if err != nil {
		return Process{}, err
	}
	if err := c.Send(&wire.Request{Op: wire.OpCommit}); err != nil {
		return Process{}, c.failed(err)
	}
	return p, nil
}

// Process returns what is known of a background process.
func (b *Box) Process(ctx context.Context, id string) (Process, error) {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpInfo, ID: id})
	if err != nil {
		return Process{}, err
	}
	defer c.close()
	return c.process()
}

// process receives a process.
func (c *call) process() (Process, error) {
	r, err := c.reply()
	if err != nil {
		return Process{}, err
	}
	if len(r.Processes) != 1 {
		return Process{}, wire.ErrMalformed
	}
	return processOf(r.Processes[0]), nil
}

// Processes lists the background processes, also those that have ended, the
// oldest first. The sandbox remembers a thousand.
func (b *Box) Processes(ctx context.Context) ([]Process, error) {
	// Init is not trusted to stop: it answers with one process at a time, and
	// at most 32 KiB of each one's arguments.
	const atMost, mostBytes = 10000, 64 << 20
	replies, size := 0, 0
	c, err := b.call(ctx, &wire.Request{Op: wire.OpList})
	if err != nil {
		return nil, err
	}
	defer c.close()
	var list []Process
	for replies < atMost && size < mostBytes && len(list) < atMost {
		r, err := c.reply()
		if err != nil {
			return nil, err
		}
		replies++
		size += sizeOf(r.Processes)
		for _, p := range r.Processes {
			list = append(list, processOf(p))
		}
		if r.Done {
			return list, nil
		}
	}
	return nil, wire.ErrMalformed
}

// sizeOf is about how much memory descriptions take.
func sizeOf(ps []wire.Process) (n int) {
	for _, p := range ps {
		const fixed, each = 200, 16
		n += fixed + len(p.ID) + len(p.Dir)
		for _, a := range p.Argv {
			n += each + len(a)
		}
	}
	return n
}

func processOf(p wire.Process) Process {
	return Process{
		ID: p.ID, PID: p.PID, Argv: p.Argv, Dir: p.Dir, TTY: p.TTY, Started: time.Unix(0, p.Started),
		Done: p.Done, Exit: exitOf(p.Exit), Stdout: p.Stdout, Stderr: p.Stderr,
	}
}

// WaitProcess returns when a background process has ended.
func (b *Box) WaitProcess(ctx context.Context, id string) (Exit, error) {
	r, err := b.ask(ctx, &wire.Request{Op: wire.OpWait, ID: id})
	if err != nil {
		return Exit{}, err
	}
	return exitOf(r.Exit), nil
}

// steer asks for something to be done to a background process. Without an ID it
// would be about the command that the connection had before.
func (b *Box) steer(ctx context.Context, r *wire.Request) error {
	if r.ID == "" {
		return ErrNoProcess
	}
	_, err := b.ask(ctx, r)
	return err
}

// Signal sends a signal to the process group of a background process: to it and
// to its children, unless they made groups of their own.
func (b *Box) Signal(ctx context.Context, id string, sig syscall.Signal) error {
	return b.steer(ctx, &wire.Request{Op: wire.OpSignal, ID: id, Signal: int(sig)})
}

// Kill kills a background process and all processes that it started, however
// they detached themselves, and returns when they are gone.
func (b *Box) Kill(ctx context.Context, id string) error {
	return b.steer(ctx, &wire.Request{Op: wire.OpKill, ID: id})
}

// Resize changes the size of a background process's terminal.
func (b *Box) Resize(ctx context.Context, id string, size Size) error {
	return b.steer(ctx, &wire.Request{Op: wire.OpResize, ID: id, Size: size.wire()})
}

// WriteStdin writes to a background process's standard input, and closes it
// afterwards if last.
func (b *Box) WriteStdin(ctx context.Context, id string, data io.Reader, last bool) error {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpStdin, ID: id, EOF: last})
	if err != nil {
		return err
	}
	defer c.close()
	return c.upload(data)
}

// upload sends data in frames and receives the outcome, which may come
// before all is sent.
func (c *call) upload(data io.Reader) error {
	if data != nil {
		_, err := io.CopyBuffer(frameWriter{c}, onlyReader{data}, make([]byte, wire.MaxChunk))
		if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			return err
		}
	}
	_ = c.Send(&wire.Reply{})
	_, err := c.reply()
	return err
}

type onlyReader struct{ io.Reader }

type frameWriter struct{ call *call }

func (w frameWriter) Write(p []byte) (int, error) {
	if err := w.call.WriteFrame(wire.KindData, p); err != nil {
		if w.call.ctx.Err() != nil {
			err = context.Cause(w.call.ctx)
		}
		return 0, err
	}
	return len(p), nil
}

// Output copies a background process's stream to w, from a byte offset on,
// and returns the offset that follows. With follow it lasts until the process
// has ended. Where the sandbox no longer keeps the bytes asked for, it calls
// gap, if not nil, with how many are missing, and goes on behind them.
func (b *Box) Output(ctx context.Context, id string, s Stream, offset int64, follow bool, w io.Writer, gap func(int64)) (int64, error) {
	return b.output(ctx, &wire.Request{Op: wire.OpOutput, ID: id, Stream: int(s), Offset: offset, Follow: follow}, w, gap)
}

// HeldOutput copies all of a stream of Command.Held, as Output does. The process
// does not get far ahead of w.
func (b *Box) HeldOutput(ctx context.Context, id string, s Stream, w io.Writer, gap func(int64)) error {
	_, err := b.output(ctx, &wire.Request{Op: wire.OpOutput, ID: id, Stream: int(s), Follow: true, Hold: true}, w, gap)
	return err
}

func (b *Box) output(ctx context.Context, req *wire.Request, w io.Writer, gap func(int64)) (int64, error) {
	offset := req.Offset
	c, err := b.call(ctx, req)
	if err != nil {
		return offset, err
	}
	defer c.close()
	for {
		kind, data, files, err := c.ReadFrame(wire.MaxChunk)
		wire.CloseAll(files)
		if err != nil {
			return offset, c.failed(err)
		}
		if kind != wire.KindData {
			return offset, outcome(data)
		}
		if offset, err = advance(offset, data, w, gap); err != nil {
			return offset, err
		}
	}
}

func outcome(message []byte) error {
	var r wire.Reply
	if err := wire.Unmarshal(message, &r); err != nil {
		return err
	}
	if r.Fault.Code != "" {
		return typedError(r.Fault)
	}
	return nil
}

// advance writes one portion of a stream, which follows its offset.
func advance(offset int64, frame []byte, w io.Writer, gap func(int64)) (int64, error) {
	const prefix = 8
	if len(frame) < prefix {
		return offset, wire.ErrMalformed
	}
	at := int64(binary.BigEndian.Uint64(frame))
	if at < offset {
		return offset, fmt.Errorf("%w: output goes backwards", wire.ErrMalformed)
	}
	if at > offset && gap != nil {
		gap(at - offset)
	}
	n, err := w.Write(frame[prefix:])
	return at + int64(n), err
}
