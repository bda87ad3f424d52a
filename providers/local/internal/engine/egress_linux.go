package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/egress"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// egressName is the socket, in a sandbox's directory, of the process that
// connects for it.
const egressName = "egress"

// SetNetwork changes what the sandbox may reach. It starts the process that
// connects for it, unless there is one; connections that are no longer allowed
// are cut. If it fails, what was allowed before still is.
func (b *Box) SetNetwork(ctx context.Context, n Network) error {
	order := n.order()
	err := b.orderEgress(ctx, order)
	if !errors.Is(err, ErrGone) {
		return err
	}
	if len(n.Allow) == 0 {
		return b.Ping(ctx) // nothing leaves the sandbox without the process
	}
	return b.startEgress(ctx, order, spawnEgress())
}

// withNetwork makes a sandbox that may reach something from the start. The
// process that connects for it comes up while init does.
func withNetwork(ctx context.Context, l *launcher) error {
	if len(l.spec.Network.Allow) == 0 {
		return l.launch(ctx)
	}
	spawned := make(chan *connector, 1)
	go func() { spawned <- spawnEgress() }()
	if err := l.launch(ctx); err != nil {
		(<-spawned).end()
		return err
	}
	b := &Box{dir: l.spec.Dir}
	return b.startEgress(ctx, l.spec.Network.order(), <-spawned)
}

func (n Network) order() *wire.Egress { return &wire.Egress{Allow: n.Allow, Resolver: n.Resolver} }

// orderEgress tells the process that runs. It fails with ErrGone if none does.
func (b *Box) orderEgress(ctx context.Context, order *wire.Egress) error {
	conn, err := dialEgress(b.dir)
	if err != nil {
		return err
	}
	defer conn.Close()
	return converseEgress(ctx, wire.Conn{UnixConn: conn}, order)
}

// dialEgress fails with ErrGone if there is no such process.
func dialEgress(dir string) (conn *net.UnixConn, err error) {
	err = withShortPath(filepath.Join(dir, egressName), func(short string) (err error) {
		conn, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrGone
	}
	return conn, err
}

// awaitEgress waits for the end of the process that connects for a sandbox whose
// init has ended, which it sees by itself.
func awaitEgress(ctx context.Context, dir string) {
	conn, err := dialEgress(dir)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(grace))
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	_, _ = conn.Read(make([]byte, 1)) // it says nothing unasked
}

// converseEgress gives an order and waits for word that it was carried out.
func converseEgress(ctx context.Context, c wire.Conn, order *wire.Egress, files ...int) error {
	_ = c.SetDeadline(time.Now().Add(grace))
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var r wire.Reply
	err := c.Send(order, files...)
	if err == nil {
		var got []*os.File
		got, err = c.Receive(&r, wire.MaxReply)
		wire.CloseAll(got)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("the process that connects for the sandbox does not answer: %w", err)
	case r.Fault.Code != "":
		return remoteError(r.Fault)
	}
	return nil
}

// startEgress sets the process to work, on sockets that init makes.
func (b *Box) startEgress(ctx context.Context, order *wire.Egress, c *connector) (err error) {
	defer func() {
		if err != nil {
			c.end()
		}
	}()
	if c.err != nil {
		return c.err
	}
	r, err := readRecord(b.dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	init, err := r.pidfd()
	if err != nil {
		return err
	}
	defer unix.Close(init)
	sockets, err := b.networkSockets(ctx)
	if err != nil {
		return err
	}
	defer wire.CloseAll(sockets)
	path := filepath.Join(b.dir, egressName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	orders, err := listen(path)
	if err != nil {
		return err
	}
	defer orders.Close()
	files := []int{init, int(orders.Fd())}
	for _, s := range sockets {
		files = append(files, int(s.Fd()))
	}
	defer c.control.Close()
	if err := converseEgress(ctx, c.control, order, files...); err != nil {
		return err
	}
	adopt(c.proc)
	return nil
}

// networkSockets has init make the sockets where traffic arrives.
func (b *Box) networkSockets(ctx context.Context) ([]*os.File, error) {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpNetwork})
	if err != nil {
		return nil, err
	}
	defer c.close()
	r, files, err := c.receive()
	if err != nil {
		return nil, err
	}
	if want := map[bool]int{true: 3, false: 1}[r.Done]; len(files) != want {
		wire.CloseAll(files)
		return nil, fmt.Errorf("%w: %d sockets came where %d should", wire.ErrMalformed, len(files), want)
	}
	return files, nil
}

// A connector is the process that connects for a sandbox, waiting for its
// first orders. It ends with their socket.
type connector struct {
	control wire.Conn
	proc    *os.Process
	err     error // that it could not be started
}

func spawnEgress() *connector {
	c := &connector{}
	program, err := self()
	if err != nil {
		return &connector{err: err}
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return &connector{err: err}
	}
	defer theirs.Close()
	c.control = ours
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err == nil {
		defer null.Close()
		c.proc, err = os.StartProcess(program, []string{egress.ProcessName}, &os.ProcAttr{
			Dir: "/", Env: []string{}, Files: []*os.File{null, null, null, theirs}, Sys: egressAttributes(),
		})
	}
	if err != nil {
		_ = ours.Close()
		c.err = fmt.Errorf("starting the process that connects for the sandbox: %w", err)
	}
	return c
}

// end ends a process that was not set to work.
func (c *connector) end() {
	if c.proc != nil {
		_ = c.control.Close()
		_ = c.proc.Kill()
		_, _ = c.proc.Wait()
	}
}

// egressID is a user and group that nobody else has: the one below those of
// sandboxes.
const egressID = rangeBase - 1

// egressAttributes make the process nobody. An ordinary user cannot, and it
// keeps that user's rights as far as it does not give them up itself.
func egressAttributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() != 0 {
		return attr
	}
	first, count, err := ownRange()
	id := int64(egressID)
	if err != nil || id < first || id >= first+count {
		id = first + count - 1 // root of a container
	}
	if id > 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}
	}
	return attr
}
