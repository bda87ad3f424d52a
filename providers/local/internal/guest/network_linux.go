package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// A gateway is what init does for traffic that leaves the sandbox: it makes
// the sockets where it arrives, for a process outside to serve.
type gateway struct {
	netfilter netfilter
	mu        sync.Mutex
	env       []string // of commands; nil as long as nothing may leave
}

func (g *gateway) environment() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.env
}

// network passes the sockets to the host, and does not keep them: if nobody
// serves them any more, connections are refused rather than left to wait.
func (s *server) network(c wire.Conn, _ *wire.Request) {
	proxy, port, err := listenProxy()
	if err != nil {
		reply(c, fmt.Errorf("listening for the proxy: %w", err))
		return
	}
	defer proxy.Close()
	files := []*os.File{proxy}
	redirected, err := s.gateway.redirected()
	defer wire.CloseAll(redirected)
	files = append(files, redirected...)
	if err := s.root.nameServer(); err != nil {
		reply(c, fmt.Errorf("writing /etc/resolv.conf: %w", err))
		return
	}
	s.gateway.mu.Lock()
	s.gateway.env = wire.ProxyEnv(port, s.config.Hostname)
	s.gateway.mu.Unlock()
	answer := &wire.Reply{Done: err == nil}
	if err != nil {
		answer.ID = err.Error() // why not
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = rawFd(f)
	}
	_ = c.Send(answer, fds...)
}

// listenProxy listens where programs look for the proxy, or on any port if one
// of the sandbox's has that.
func listenProxy() (*os.File, int, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: wire.ProxyPort})
	if err != nil {
		l, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	}
	if err != nil {
		return nil, 0, err
	}
	defer l.Close()
	f, err := l.File()
	return f, l.Addr().(*net.TCPAddr).Port, err
}

// redirected makes the sockets for programs that know of no proxy, and has all
// that they send elsewhere arrive there.
func (g *gateway) redirected() (files []*os.File, err error) {
	defer func() {
		if err != nil {
			wire.CloseAll(files)
			files = nil
		}
	}()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	defer u.Close()
	for _, s := range []interface{ File() (*os.File, error) }{l, u} {
		f, err := s.File()
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	tcp, dns := l.Addr().(*net.TCPAddr).Port, u.LocalAddr().(*net.UDPAddr).Port
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.netfilter.redirect(uint16(tcp), uint16(dns)); err != nil {
		return files, err
	}
	return files, routeAll()
}

// routeAll makes the loopback interface the way to every address, so that
// there is something to redirect.
func routeAll() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const loopback = 1 // the index of the first interface of every network namespace
	body := []byte{unix.AF_INET, 0, 0, 0, unix.RT_TABLE_LOCAL, unix.RTPROT_STATIC, unix.RT_SCOPE_HOST, unix.RTN_LOCAL, 0, 0, 0, 0}
	body = append(body, attribute(unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, loopback))...)
	body = append(body, attribute(unix.RTA_PREFSRC, []byte{127, 0, 0, 1})...)
	message := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	message = binary.NativeEndian.AppendUint16(message, unix.RTM_NEWROUTE)
	message = binary.NativeEndian.AppendUint16(message, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	message = append(append(message, 1, 0, 0, 0, 0, 0, 0, 0), body...)
	if err := netlinkSend(fd, message); err != nil {
		return fmt.Errorf("adding a route: %w", err)
	}
	return nil
}

// resolvConf names the server of names. Its questions need no search list.
const resolvConf = "nameserver " + wire.NameServer + "\noptions timeout:10 attempts:1\n"

// nameServer writes /etc/resolv.conf, in the place of whatever a program may
// have put there.
func (r *root) nameServer() error {
	if f, err := r.openRegular("/etc/resolv.conf", unix.O_RDONLY); err == nil {
		buf := make([]byte, len(resolvConf)+1)
		n, _ := f.Read(buf)
		_ = f.Close()
		if string(buf[:n]) == resolvConf {
			return nil
		}
	}
	err := r.replace("/etc/resolv.conf", resolvConf)
	for _, own := range []error{syscall.EACCES, syscall.EINVAL, syscall.EISDIR, syscall.ENOENT, syscall.ENOTDIR, syscall.ELOOP} {
		if errors.Is(err, own) {
			return nil // a program has made something else of it: it wants no names
		}
	}
	return err
}

// replace puts a new file in the place of a name, whatever is there.
func (r *root) replace(name, content string) (err error) {
	w := &newFile{}
	if w.dir, w.base, err = r.split(name); err != nil {
		return err
	}
	if err := w.open(); err != nil {
		return err
	}
	defer w.close()
	if _, err := w.file.WriteString(content); err != nil {
		return err
	}
	return w.commit(0o644)
}
