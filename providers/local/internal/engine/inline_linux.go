package engine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// Exec is as that of a Box.
func (b GVisorBox) Exec(ctx context.Context, cmd Command) (Exit, error) {
	x, err := b.begin(ctx, cmd)
	if err != nil {
		return Exit{}, err
	}
	defer x.call.close()
	if cmd.Stdin != nil {
		go x.feed(cmd.Stdin)
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
	run     // for its writer's errors
	sending sync.Mutex
	window  chan struct{} // a place for each frame of input that may be under way
	full    chan struct{} // closed when the command takes no more input
	ended   chan struct{} // closed when there is nothing more to come
	queues  [2]chan []byte
}

// queueSize is how many portions of a stream may wait for a slow writer while
// the other stream goes on.
const queueSize = 8

// begin has the command started.
func (b GVisorBox) begin(ctx context.Context, cmd Command) (*inlineRun, error) {
	req := request(wire.OpExec, cmd)
	req.Stdin = cmd.Stdin != nil
	c, err := b.call(ctx, req)
	if err != nil {
		return nil, err
	}
	if _, err := c.reply(); err != nil {
		c.close()
		return nil, err
	}
	c.release() // from now on the end of ctx means to kill, not to hang up
	x := &inlineRun{run: run{call: c}, window: make(chan struct{}, wire.StdinWindow), full: make(chan struct{}), ended: make(chan struct{})}
	return x, nil
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

func (x *inlineRun) kill() {
	_ = x.call.SetDeadline(time.Now().Add(grace))
	_ = x.send(&wire.Request{Op: wire.OpKill})
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
		case r.ID == "":
			return exitOf(r.Exit), nil
		}
		if err := x.acknowledged(r.Done); err != nil {
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
	r, w := io.Pipe()
	t := &InlineTerminal{x: x, r: r, done: make(chan struct{})}
	x.deliver(0, w)
	go func() {
		defer close(t.done)
		t.exit, t.err = x.wait(ctx)
		x.finish()
		_ = w.Close()
	}()
	return t, nil
}

// Read reads what was printed. It returns io.EOF when the command has ended.
func (t *InlineTerminal) Read(p []byte) (int, error) { return t.r.Read(p) }

// Write types.
func (t *InlineTerminal) Write(p []byte) (int, error) { return t.x.Write(p) }

// Resize tells the command of the terminal's new size.
func (t *InlineTerminal) Resize(size Size) error {
	return t.x.send(&wire.Request{Op: wire.OpResize, Size: size.wire()})
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

// OpenFile opens a regular file for reading, and tells its size.
func (b GVisorBox) OpenFile(ctx context.Context, name string) (io.ReadCloser, Entry, error) {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpRead, Path: name})
	if err != nil {
		return nil, Entry{}, err
	}
	r, err := c.reply()
	if err == nil && len(r.Entries) != 1 {
		err = wire.ErrMalformed
	}
	if err != nil {
		c.close()
		return nil, Entry{}, pathError("open", name, err)
	}
	return &inlineReader{call: c, name: name}, entryOf(r.Entries[0]), nil
}

type inlineReader struct {
	call *call
	name string
	rest []byte
	err  error
}

func (r *inlineReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		r.next()
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *inlineReader) next() {
	kind, data, files, err := r.call.ReadFrame(wire.MaxChunk)
	wire.CloseAll(files)
	switch {
	case err != nil:
		r.err = pathError("read", r.name, r.call.failed(err))
	case kind == wire.KindData:
		r.rest = data
	default:
		if r.err = pathError("read", r.name, outcome(data)); r.err == nil {
			r.err = io.EOF
		}
	}
}

func (r *inlineReader) Close() error {
	r.call.close()
	return nil
}

// An InlineWriter is as a FileWriter.
type InlineWriter struct {
	name string
	perm fs.FileMode
	call *call
}

// Create is as that of a Box.
func (b GVisorBox) Create(ctx context.Context, name string, perm fs.FileMode) (*InlineWriter, error) {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpWrite, Path: name})
	if err != nil {
		return nil, err
	}
	if _, err := c.reply(); err != nil {
		c.close()
		return nil, pathError("create", name, err)
	}
	return &InlineWriter{name: name, perm: perm, call: c}, nil
}

// Write appends to the new file. Errors may come late, at Commit at last.
func (w *InlineWriter) Write(p []byte) (n int, err error) {
	for n < len(p) {
		part := p[n:min(len(p), n+wire.MaxChunk)]
		if err := w.call.WriteFrame(wire.KindData, part); err != nil {
			return n, w.reason(err)
		}
		n += len(part)
	}
	return n, nil
}

// reason is why the other side takes no more: it has said so before it hung up.
func (w *InlineWriter) reason(err error) error {
	if _, rerr := w.call.reply(); rerr != nil {
		err = rerr
	}
	return pathError("write", w.name, err)
}

// Commit puts the new file in its place and closes the writer.
func (w *InlineWriter) Commit() error {
	defer w.Close()
	if err := w.call.Send(&wire.Request{Op: wire.OpCommit, Mode: unixMode(w.perm)}); err != nil {
		return w.reason(err)
	}
	_, err := w.call.reply()
	return pathError("write", w.name, err)
}

// Close gives up, unless Commit was called.
func (w *InlineWriter) Close() error {
	w.call.close()
	return nil
}

// Dial is as that of a Box.
func (b GVisorBox) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpDial, Net: network, Path: address})
	if err != nil {
		return nil, err
	}
	if _, err := c.reply(); err != nil {
		c.close()
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	c.release()
	if err := c.SetDeadline(time.Time{}); err != nil {
		c.close()
		return nil, err
	}
	return inlineConn{c.UnixConn, inlineAddr{network, address}}, nil
}

// inlineConn is a connection to what the sandbox's init passes on.
type inlineConn struct {
	*net.UnixConn
	remote inlineAddr
}

func (c inlineConn) RemoteAddr() net.Addr { return c.remote }

type inlineAddr struct{ network, address string }

func (a inlineAddr) Network() string { return a.network }
func (a inlineAddr) String() string  { return a.address }
