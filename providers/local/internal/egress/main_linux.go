package egress

import (
	"errors"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/mark"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// confined is the second argument of a process that has given up its rights
// to files. Go's threads cannot do that together, so the first one does it
// and starts the program once more.
const confined = "confined"

func init() {
	if len(os.Args) == 0 || os.Args[0] != ProcessName {
		return
	}
	if len(os.Args) < 2 || os.Args[1] != confined {
		syscall.Exit(confine())
	}
	mark.Name(ProcessName)
	// Not here: during initialization this goroutine is bound to a thread.
	code := make(chan int)
	go func() { code <- run() }()
	syscall.Exit(<-code)
}

const (
	memoryLimit = 64 << 20
	threads     = 2
)

// run is the life of the process outside.
func run() int {
	debug.SetMemoryLimit(memoryLimit)
	runtime.GOMAXPROCS(min(threads, runtime.GOMAXPROCS(0)))
	control, err := fileConn(os.NewFile(ControlFd, "control"))
	if err != nil {
		return 2
	}
	var e wire.Egress
	files, err := control.Receive(&e, wire.MaxRequest)
	if err != nil {
		return 2
	}
	s, err := newService(&e, files)
	if err == nil {
		err = s.start()
	}
	if err == nil {
		err = restrict()
	}
	if err != nil {
		_ = control.Send(&wire.Reply{Fault: wire.Fault{Code: wire.CodeOther, Text: err.Error()}})
		return 1
	}
	if control.Send(&wire.Reply{}) != nil {
		return 1 // nobody knows of this process
	}
	_ = control.Close()
	s.untilInitEnds()
	return 0
}

func fileConn(f *os.File) (wire.Conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return wire.Conn{}, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return wire.Conn{}, syscall.ENOTSOCK
	}
	return wire.Conn{UnixConn: u}, nil
}

// A service is all that the process does.
type service struct {
	d          *dialer
	initFd     *os.File // a pidfd
	orders     *net.UnixListener
	proxy      net.Listener
	redirected net.Listener // nil where connections cannot be redirected
	names      net.PacketConn
}

func newService(e *wire.Egress, files []*os.File) (*service, error) {
	if len(files) != 3 && len(files) != 5 {
		wire.CloseAll(files)
		return nil, errors.New("the wrong number of sockets came")
	}
	p, err := Parse(e.Allow)
	if err != nil {
		wire.CloseAll(files)
		return nil, err
	}
	s := &service{d: newDialer(p, newResolver(e.Resolver)), initFd: files[0]}
	defer wire.CloseAll(files[1:])
	orders, err := net.FileListener(files[1])
	if err != nil {
		return nil, err
	}
	u, ok := orders.(*net.UnixListener)
	if !ok {
		return nil, syscall.ENOTSOCK
	}
	u.SetUnlinkOnClose(false)
	s.orders = u
	if s.proxy, err = net.FileListener(files[2]); err != nil || len(files) == 3 {
		return s, err
	}
	if s.redirected, err = net.FileListener(files[3]); err != nil {
		return nil, err
	}
	s.names, err = net.FilePacketConn(files[4])
	return s, err
}

func (s *service) start() error {
	// Listening anew makes this process the peer of who connects, and not the
	// program that has bound the socket.
	raw, err := s.orders.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.Listen(int(fd), 16) }); err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	go s.takeOrders()
	go func() { _ = newProxy(s.d).Serve(limit(s.proxy)) }()
	if s.redirected == nil {
		return nil
	}
	stands := newStands()
	names := newNameServer(s.d, stands)
	go names.packets(s.names)
	go (&redirector{s.d, stands, names}).serve(limit(s.redirected))
	return nil
}

// takeOrders changes the policy when told to. Only who may enter the sandbox's
// directory can connect.
func (s *service) takeOrders() {
	for {
		c, err := s.orders.AcceptUnix()
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		s.obey(wire.Conn{UnixConn: c})
	}
}

func (s *service) obey(c wire.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	var e wire.Egress
	files, err := c.Receive(&e, wire.MaxRequest)
	wire.CloseAll(files)
	if err != nil {
		return
	}
	p, err := Parse(e.Allow)
	if err != nil {
		_ = c.Send(&wire.Reply{Fault: wire.Fault{Code: wire.CodeBadRequest, Text: err.Error()}})
		return
	}
	s.d.set(p, newResolver(e.Resolver))
	_ = c.Send(&wire.Reply{})
}

func (s *service) untilInitEnds() {
	fds := []unix.PollFd{{Fd: int32(s.initFd.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, -1)
		if n > 0 || err != nil && err != unix.EINTR {
			return
		}
	}
}
