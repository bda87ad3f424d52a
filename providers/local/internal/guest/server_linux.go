package guest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// A server is the serving part of init.
type server struct {
	config     *wire.Config
	spawner    *spawner
	listener   *net.UnixListener
	null       *os.File
	pts        *os.File // the directory of terminals
	root       *root
	gate       gate
	table      *table
	limits     *limiter
	gateway    gateway
	shells     shells
	watches    atomic.Int32
	conns      atomic.Int32
	processors processors
	begun      bool
	agent      *agent // in a gVisor sandbox
}

func newServer(config *wire.Config) *server {
	return &server{config: config, table: newTable(), limits: newLimiter(&config.Limits), processors: newProcessors()}
}

// openDevices takes hold of what later operations need, before any command
// could have put something else in its place.
func (s *server) openDevices() (err error) {
	if s.null, err = os.OpenFile("/dev/null", os.O_RDWR, 0); err != nil {
		return err
	}
	if s.pts, err = os.Open("/dev/pts"); err != nil {
		return err
	}
	s.root, err = openRoot()
	return err
}

// listen listens anew on the host's socket: that makes init, and not the
// program that bound it, the peer whose identity the kernel tells a client.
func (s *server) listen(f *os.File) error {
	defer f.Close()
	if err := unix.Listen(rawFd(f), 128); err != nil {
		return err
	}
	l, err := net.FileListener(f)
	if err != nil {
		return err
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		return syscall.ENOTSOCK
	}
	u.SetUnlinkOnClose(false)
	s.listener = u
	return nil
}

// begin starts what lasts as long as init.
func (s *server) begin() {
	if s.begun {
		return
	}
	s.begun = true
	go s.spawner.reaper.loop()
	s.spawner.reserve.begin(s)
}

func (s *server) serve() {
	s.begin()
	for {
		c, err := s.listener.AcceptUnix()
		if err != nil {
			// Out of descriptors, perhaps: those in use will be closed.
			time.Sleep(time.Millisecond)
			continue
		}
		go s.handle(wire.Conn{UnixConn: c})
	}
}

// handle serves an operation, and after a command those that follow it.
func (s *server) handle(c wire.Conn) {
	defer c.Close()
	if s.conns.Add(1) > 1 {
		s.processors.use()
	}
	defer s.conns.Add(-1)
	in, err := receive(c)
	for err == nil {
		in, err = s.serveOne(c, in)
	}
	s.refuse(c, err)
}

// An incoming is a request with the descriptors that came along.
type incoming struct {
	wire.Request
	fds []int
}

func receive(c wire.Conn) (*incoming, error) {
	var in incoming
	fds, err := c.ReceiveFds(&in.Request, wire.MaxRequest)
	in.fds = fds
	return &in, err
}

// serveOne serves a request and returns the one that came after it, or io.EOF.
func (s *server) serveOne(c wire.Conn, in *incoming) (next *incoming, err error) {
	next, err = nil, io.EOF
	defer func() {
		// A fault in one operation must not end the sandbox.
		if p := recover(); p != nil {
			reply(c, errors.New("init failed in this operation"))
		}
	}()
	if in.Op == wire.OpExec && !in.TTY && s.agent == nil {
		return s.exec(c, in)
	}
	wire.CloseFds(in.fds)
	op, ok := s.operation(in.Op)
	if !ok {
		reply(c, &opError{code: wire.CodeBadRequest, err: errors.New("no such operation: " + in.Op)})
		return next, err
	}
	defer s.limits.use(in.Op)()
	op(s, c, &in.Request)
	return next, err
}

func (s *server) refuse(c wire.Conn, err error) {
	var version *wire.VersionError
	switch {
	case errors.As(err, &version):
		reply(c, &opError{code: wire.CodeVersion, err: err})
	case errors.Is(err, wire.ErrMalformed):
		reply(c, &opError{code: wire.CodeBadRequest, err: err})
	case errors.Is(err, syscall.EMFILE):
		reply(c, &opError{code: wire.CodeLimit, err: err})
	}
}

var operations = map[string]func(*server, wire.Conn, *wire.Request){
	wire.OpPing:      (*server).ping,
	wire.OpShutdown:  (*server).shutdown,
	wire.OpExec:      (*server).execTerminal,
	wire.OpStart:     (*server).startProcess,
	wire.OpList:      (*server).list,
	wire.OpInfo:      (*server).info,
	wire.OpWait:      (*server).wait,
	wire.OpOutput:    (*server).output,
	wire.OpStdin:     (*server).stdin,
	wire.OpSignal:    (*server).signal,
	wire.OpKill:      (*server).kill,
	wire.OpResize:    (*server).resize,
	wire.OpRead:      (*server).read,
	wire.OpWrite:     (*server).write,
	wire.OpStat:      (*server).stat,
	wire.OpLstat:     (*server).stat,
	wire.OpReadDir:   (*server).readDir,
	wire.OpMkdirAll:  (*server).mkdirAll,
	wire.OpRemoveAll: (*server).removeAll,
	wire.OpRename:    (*server).rename,
	wire.OpTarOut:    (*server).tarOut,
	wire.OpTarIn:     (*server).tarIn,
	wire.OpDial:      (*server).dial,
	wire.OpFreeze:    (*server).freeze,
	wire.OpThaw:      (*server).thaw,
	wire.OpUsage:     (*server).usage,
	wire.OpCPU:       (*server).cpu,
	wire.OpExtend:    (*server).extend,
	wire.OpEvents:    (*server).watchEvents,
	wire.OpNetwork:   (*server).network,

	wire.OpShellOpen:  (*server).openShell,
	wire.OpShellRun:   (*server).runShell,
	wire.OpShellClose: (*server).closeShell,
	wire.OpWatch:      (*server).watch,
	wire.OpOwn:        (*server).own,
}

func (s *server) ping(c wire.Conn, _ *wire.Request) {
	_ = c.Send(&wire.Reply{PID: 1, Done: s.gate.isClosed()})
}

// shutdown ends init, and the kernel ends with it all that it started.
func (s *server) shutdown(c wire.Conn, _ *wire.Request) {
	if plain != nil {
		plain.end()
	}
	_ = c.Send(&wire.Reply{})
	syscall.Exit(0)
}

// An opError is an error with the code that goes over the wire.
type opError struct {
	code string
	err  error
}

func (e *opError) Error() string { return e.err.Error() }
func (e *opError) Unwrap() error { return e.err }

func reply(c wire.Conn, err error) {
	_ = c.Send(&wire.Reply{Fault: fault(err)})
}

// pass sends a reply with files. That the kernel refuses to pass any is a
// limit, not the end of init.
func pass(c wire.Conn, r *wire.Reply, files ...int) bool {
	err := c.Send(r, files...)
	if errors.Is(err, unix.ETOOMANYREFS) {
		reply(c, &opError{wire.CodeLimit, fmt.Errorf("the user has too many descriptors under way over Unix sockets: %w", err)})
	}
	return err == nil
}

func fault(err error) wire.Fault {
	if err == nil {
		return wire.Fault{}
	}
	f := wire.Fault{Code: wire.CodeOther, Text: err.Error()}
	var op *opError
	if errors.As(err, &op) {
		f.Code = op.code
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		f.Errno = int(errno)
	}
	return f
}

// A gate holds up what would change the sandbox while it is frozen.
type gate struct {
	mu     sync.Mutex
	cond   *sync.Cond
	closed bool
	busy   int
	// before are the processes that were stopped already.
	before map[int]bool
}

func (g *gate) init() {
	if g.cond == nil {
		g.cond = sync.NewCond(&g.mu)
	}
}

// enter waits for the gate to be open. The caller must leave.
func (g *gate) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.init()
	for g.closed {
		g.cond.Wait()
	}
	g.busy++
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy--
	g.cond.Broadcast()
}

// shut closes the gate and waits for those inside to leave. It reports
// whether the gate was open.
func (g *gate) shut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.init()
	if g.closed {
		return false
	}
	g.closed = true
	for g.busy > 0 {
		g.cond.Wait()
	}
	return true
}

// open reports whether the gate was closed. The function runs before anyone
// is let in.
func (g *gate) open(before func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.init()
	if !g.closed {
		return false
	}
	before()
	g.closed = false
	g.cond.Broadcast()
	return true
}

func (g *gate) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}
