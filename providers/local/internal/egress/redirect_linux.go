package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

var nameServerAddr = netip.MustParseAddr(wire.NameServer)

// A redirector serves connections that programs have made to anywhere, and
// that the kernel has brought here.
type redirector struct {
	d      *dialer
	stands *stands
	names  *nameServer
}

func (r *redirector) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go r.handle(c)
	}
}

func (r *redirector) handle(c net.Conn) {
	to, err := destination(c)
	if err != nil {
		reset(c)
		return
	}
	if to.Port() == 53 && to.Addr() == nameServerAddr {
		r.names.stream(c)
		return
	}
	t := target{addr: to.Addr(), port: to.Port()}
	if name, ok := r.stands.name(t.addr); ok {
		t = target{name: name, port: t.port}
	}
	far, err := r.d.dial(context.Background(), t)
	if err != nil {
		reset(c)
		return
	}
	relay(c, far)
}

var errDirect = errors.New("the connection was made to this socket itself")

// destination is where a program wanted to go.
func destination(c net.Conn) (to netip.AddrPort, err error) {
	if a, ok := c.(*accepted); ok {
		c = a.Conn
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return to, errDirect
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return to, err
	}
	const originalDestination = 80 // SO_ORIGINAL_DST
	var failed error
	err = raw.Control(func(fd uintptr) {
		// A struct that is large enough to hold a sockaddr_in.
		var got *unix.IPv6Mreq
		if got, failed = unix.GetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IP, originalDestination); failed == nil {
			b := got.Multiaddr
			to = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:]))
		}
	})
	switch {
	case err != nil:
		return to, err
	case failed != nil:
		return to, failed
	case to.Addr().IsLoopback():
		return to, errDirect
	}
	return to, nil
}
