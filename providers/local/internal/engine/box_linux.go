package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// A Box is a sandbox. It holds nothing that has to be closed, and may be used
// by many goroutines at once: each operation is a connection of its own.
type Box struct {
	dir    string
	gvisor bool // its init's socket is elsewhere
	spare  spare
}

// Open returns the running sandbox of a directory. It fails with ErrGone if
// none is running there.
func Open(ctx context.Context, dir string) (*Box, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	b := &Box{dir: dir}
	return b, b.Ping(ctx)
}

// Dir returns the sandbox's directory.
func (b *Box) Dir() string { return b.dir }

// Upper returns the directory that holds what the sandbox has written: the
// source for CopyLayer.
func (b *Box) Upper() string { return filepath.Join(b.dir, fsName, "upper") }

// Ping asks the sandbox for a sign of life.
func (b *Box) Ping(ctx context.Context) error {
	_, err := b.ask(ctx, &wire.Request{Op: wire.OpPing})
	return err
}

// Gone reports that the sandbox's init has ended: nobody listens to it any
// more. That is no use of a sandbox that lives.
func (b *Box) Gone(ctx context.Context) bool {
	c, err := b.dial(ctx)
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, ErrGone)
}

// Shutdown ends the sandbox's processes; its directory stays.
func (b *Box) Shutdown(ctx context.Context) error {
	err := endInit(ctx, b.dir)
	sweep()
	if err != nil {
		return err
	}
	return b.Release()
}

// Freeze stops all processes of the sandbox until Thaw. Operations that would
// change it wait meanwhile.
func (b *Box) Freeze(ctx context.Context) error {
	_, err := b.ask(ctx, &wire.Request{Op: wire.OpFreeze})
	return err
}

// Thaw lets the processes go on that Freeze stopped.
func (b *Box) Thaw(ctx context.Context) error {
	_, err := b.ask(ctx, &wire.Request{Op: wire.OpThaw})
	return err
}

// WhileFrozen runs f while the sandbox is frozen. It thaws even if this
// program dies meanwhile.
func (b *Box) WhileFrozen(ctx context.Context, f func() error) error {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpFreeze, Hold: true})
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.reply(); err != nil {
		return err
	}
	err = f()
	// Wait for the thaw, so that what the caller does next finds it done.
	c.release()
	_ = c.SetDeadline(time.Now().Add(grace))
	if c.Send(&wire.Request{Op: wire.OpThaw}) == nil {
		_, _ = c.reply()
	}
	return err
}

// Snapshot copies what the sandbox has written into a new layer.
func (b *Box) Snapshot(ctx context.Context, layer string) error {
	return b.WhileFrozen(ctx, func() error { return CopyLayer(ctx, b.Upper(), layer) })
}

// Dial connects to an address inside the sandbox: of the networks "tcp",
// "tcp4", "tcp6", or "unix".
func (b *Box) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpDial, Net: network, Path: address})
	if err != nil {
		return nil, err
	}
	defer c.close()
	files, err := c.replyFiles(1)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	defer wire.CloseAll(files)
	return net.FileConn(files[0])
}

// A call is one operation's connection.
type call struct {
	wire.Conn
	ctx  context.Context
	stop func() bool // ends the power of ctx over the connection, and whether it was never used
}

// call sends a request, with files. Until release or close, the end of ctx
// interrupts whatever waits on the connection.
func (b *Box) call(ctx context.Context, r *wire.Request, files ...int) (*call, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if c := b.callSpare(ctx, r, files...); c != nil {
		return c, nil
	}
	if ctx.Err() != nil { // that may be why
		return nil, context.Cause(ctx)
	}
	conn, err := b.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := newCall(ctx, conn)
	if err := c.Send(r, files...); err != nil {
		c.close()
		return nil, c.failed(err)
	}
	return c, nil
}

func newCall(ctx context.Context, conn wire.Conn) *call {
	c := &call{Conn: conn, ctx: ctx}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = conn.SetDeadline(time.Unix(1, 0))
	})
	c.stop = sync.OnceValue(func() bool {
		unused := stop()
		if !unused {
			<-interrupted // lest it spoil a deadline that comes after
		}
		return unused
	})
	return c
}

func (b *Box) dial(ctx context.Context) (wire.Conn, error) {
	if b.gvisor {
		return b.dialGVisor(ctx)
	}
	path := filepath.Join(b.dir, socketName)
	for {
		conn, err := dialOnce(path)
		switch {
		case err == nil:
			return wire.Conn{UnixConn: conn}, nil
		case ctx.Err() != nil:
			return wire.Conn{}, context.Cause(ctx)
		case errors.Is(err, syscall.EAGAIN): // many connect at once
			time.Sleep(time.Millisecond)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
			return wire.Conn{}, fmt.Errorf("%w: %w", ErrGone, err)
		default:
			return wire.Conn{}, err
		}
	}
}

func dialOnce(path string) (conn *net.UnixConn, err error) {
	err = withShortPath(path, func(short string) (err error) {
		conn, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	return conn, err
}

// giveUp closes the connection, and waits a while for init to close its end, too:
// what it was to do is undone then.
func (c *call) giveUp() {
	c.release()
	if c.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, io.LimitReader(c.UnixConn, wire.MaxReply))
	}
	c.close()
}

func (c *call) close() {
	c.stop()
	_ = c.Conn.Close()
}

// release ends the power of ctx over the connection, which is as if ctx had never
// had any: a command that has been sent has to be killed and waited for when ctx
// ends, even if it has ended already. To hang up would lose what it printed.
func (c *call) release() {
	if !c.stop() {
		_ = c.SetDeadline(time.Time{})
	}
}

// reply receives a reply, and its fault as an error.
func (c *call) reply() (*wire.Reply, error) {
	r, files, err := c.receive()
	wire.CloseAll(files)
	return r, err
}

// replyFiles receives a reply that brings n files.
func (c *call) replyFiles(n int) ([]*os.File, error) {
	_, files, err := c.receive()
	if err == nil && len(files) != n {
		err = fmt.Errorf("%w: %d files came where %d should", wire.ErrMalformed, len(files), n)
	}
	if err != nil {
		wire.CloseAll(files)
		return nil, err
	}
	return files, nil
}

func (c *call) receive() (*wire.Reply, []*os.File, error) {
	var r wire.Reply
	files, err := c.Receive(&r, wire.MaxReply)
	if err != nil {
		return nil, nil, c.failed(err)
	}
	if r.Fault.Code != "" {
		wire.CloseAll(files)
		return &r, nil, typedError(r.Fault)
	}
	return &r, files, nil
}

// failed says why the connection failed: the context, or the end of init.
func (c *call) failed(err error) error {
	var version *wire.VersionError
	switch {
	case c.ctx.Err() != nil:
		return context.Cause(c.ctx)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w: the connection ended", ErrGone)
	case errors.As(err, &version):
		return fmt.Errorf("%w: %w", ErrVersion, err)
	case errors.Is(err, unix.ETOOMANYREFS):
		return fmt.Errorf("%w: the user has too many descriptors under way over Unix sockets: %w", ErrLimit, err)
	}
	return err
}

var sentinels = map[string]error{
	wire.CodeDir: ErrDir, wire.CodeNotFound: ErrNotFound, wire.CodeNotExec: ErrNotExecutable,
	wire.CodeUser: ErrUser, wire.CodeUnmapped: ErrUnmapped, wire.CodeNoProcess: ErrNoProcess, wire.CodeLimit: ErrLimit,
	wire.CodeVersion: ErrVersion, wire.CodeOver: ErrGone,
	wire.CodeNoShell: ErrNoShell, wire.CodeLost: ErrLost,
}

func typedError(f wire.Fault) error {
	err := remoteError(f)
	if s := sentinels[f.Code]; s != nil {
		return fmt.Errorf("%w: %w", s, err)
	}
	return err
}

// ask makes a request that has one reply.
func (b *Box) ask(ctx context.Context, r *wire.Request) (*wire.Reply, error) {
	c, err := b.call(ctx, r)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return c.reply()
}

func unixConn(f *os.File) (wire.Conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return wire.Conn{}, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return wire.Conn{}, unix.ENOTSOCK
	}
	return wire.Conn{UnixConn: u}, nil
}
