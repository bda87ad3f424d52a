package guest

import (
	"fmt"
	"net"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// dial connects to an address inside and passes the socket to the host.
func (s *server) dial(c wire.Conn, r *wire.Request) {
	conn, err := s.connect(r.Net, r.Path)
	if err != nil {
		reply(c, err)
		return
	}
	defer conn.Close()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		reply(c, err)
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = pass(c, &wire.Reply{}, int(fd)) })
}

// connect connects to an address inside.
func (s *server) connect(network, address string) (net.Conn, error) {
	switch {
	case network == "unix" && (plain != nil || !strings.HasPrefix(address, "@")):
		return s.connectFile(address)
	case plain != nil:
		return plain.connect(network, address)
	}
	return connect(network, address)
}

// connectFile connects to the socket of a name, as other files are found. Without
// namespaces some of the names that may be read are this machine's: its sockets
// are none of the sandbox's.
func (s *server) connectFile(name string) (net.Conn, error) {
	f, err := block(func() (*os.File, error) { return s.root.open(name, unix.O_PATH, 0) })
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if plain != nil && !below(realName(int(f.Fd())), path.Dir(plain.config.Work)) {
		return nil, &os.PathError{Op: "connect", Path: name, Err: syscall.EACCES}
	}
	return dialer.Dial("unix", procFd(int(f.Fd())))
}

func connect(network, address string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
	default:
		return nil, fmt.Errorf("dialling %q: %w", network, syscall.EAFNOSUPPORT)
	}
	// There is no name service inside; /etc/hosts knows localhost, but that
	// file is the sandbox's, and must not be what decides.
	if host, port, err := net.SplitHostPort(address); err == nil && network != "unix" && (host == "localhost" || host == "") {
		return connectLocal(network, port)
	}
	if network != "unix" {
		if host, _, err := net.SplitHostPort(address); err != nil || net.ParseIP(host) == nil {
			return nil, fmt.Errorf("address %q: not an IP address and port: %w", address, syscall.EINVAL)
		}
	}
	return dialer.Dial(network, address)
}

// dialer gives up on what is inside the same kernel soon enough.
var dialer = net.Dialer{Timeout: 30 * time.Second}

func connectLocal(network, port string) (net.Conn, error) {
	var failure error
	for _, host := range []string{"127.0.0.1", "::1"} {
		conn, err := dialer.Dial(network, net.JoinHostPort(host, port))
		if err == nil {
			return conn, nil
		}
		if failure == nil {
			failure = err
		}
	}
	return nil, failure
}
