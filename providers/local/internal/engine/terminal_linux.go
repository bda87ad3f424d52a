package engine

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// A Terminal is a command on a terminal of its own. What it prints is read
// from the Terminal, what is written is typed.
type Terminal struct {
	call *call
	file *os.File
	late int // bytes read after the deadline
	done chan struct{}
	exit Exit
	err  error

	budget budget
}

// lateMax is more than the kernel keeps of what is printed on a terminal.
const lateMax = 128 << 10

// Terminal starts a command on a new terminal. It lives until it exits, ctx
// ends, or the Terminal is closed, which must be done in any case.
func (b *Box) Terminal(ctx context.Context, cmd Command, size Size) (*Terminal, error) {
	cmd.Terminal, cmd.Stdin = &size, nil
	c, err := b.call(ctx, request(wire.OpExec, cmd))
	if err != nil {
		return nil, err
	}
	return newTerminal(ctx, c, cmd)
}

// newTerminal is the Terminal of a command that has been sent.
func newTerminal(ctx context.Context, c *call, cmd Command) (*Terminal, error) {
	c.release()
	r := &run{call: c}
	stop := r.killAfter(ctx)
	files, err := c.replyFiles(1)
	if err != nil {
		stop()
		c.close()
		return nil, err
	}
	r.runs()
	t := &Terminal{call: c, file: files[0], done: make(chan struct{}), budget: budget{limit: cmd.MaxOutput}}
	go func() {
		defer close(t.done)
		t.exit, t.err = r.wait(ctx, stop)
		// Reading ends by itself when nothing has the terminal open any more.
		_ = t.file.SetReadDeadline(time.Now().Add(drainMax))
	}()
	return t, nil
}

// Read reads what was printed. It returns io.EOF when the command has ended.
func (t *Terminal) Read(p []byte) (int, error) {
	n, err := t.file.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) && t.late < lateMax {
		n, err = wire.ReadNow(t.file, p) // what was printed before the end
		t.late += n
	}
	n = t.budget.take(n, t.call)
	if err != nil && !errors.Is(err, os.ErrClosed) {
		err = io.EOF // EIO: nothing has the terminal open
	}
	return n, err
}

// Write types.
func (t *Terminal) Write(p []byte) (int, error) { return t.file.Write(p) }

// Resize tells the command of the terminal's new size.
func (t *Terminal) Resize(size Size) error {
	return t.call.Send(&wire.Request{Op: wire.OpResize, Size: size.wire()})
}

// Signal sends the command's process group a signal.
func (t *Terminal) Signal(sig syscall.Signal) error {
	return t.call.Send(&wire.Request{Op: wire.OpSignal, Signal: int(sig)})
}

// Wait returns when the command has ended.
func (t *Terminal) Wait() (Exit, error) {
	<-t.done
	return t.budget.judge(t.exit), t.err
}

// Close kills what still runs on the terminal and gives it back.
func (t *Terminal) Close() error {
	select {
	case <-t.done:
	default:
		_ = t.call.Send(&wire.Request{Op: wire.OpKill})
		_ = t.call.SetReadDeadline(time.Now().Add(grace))
		<-t.done
	}
	t.call.close()
	return t.file.Close()
}
