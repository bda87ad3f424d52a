package guest

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// connect connects to a port of the sandbox's. The network is this machine's,
// and whoever may reach the sandbox's ports must not thereby reach others', who
// take what comes over the loopback for a friend. So the socket that listens is
// looked at before, and once more when it is connected to: one that is opened in
// between by another is none of the sandbox's either.
func (p *plainMode) connect(network, address string) (net.Conn, error) {
	addrs, err := loopbackOf(address)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if !p.listens(a) {
			continue
		}
		conn, err := connect(network, a.String())
		switch {
		case err != nil:
			return nil, err
		case p.listens(a):
			return conn, nil
		}
		_ = conn.Close()
	}
	return nil, fmt.Errorf("nothing of the sandbox listens on %s: %w", address, syscall.ECONNREFUSED)
}

// loopbackOf are the addresses that a name of the sandbox's own means.
func loopbackOf(address string) ([]netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: not an IP address and port: %w", address, syscall.EINVAL)
	}
	hosts := []string{host}
	if host == "localhost" || host == "" {
		hosts = []string{"127.0.0.1", "::1"}
	}
	var addrs []netip.AddrPort
	for _, h := range hosts {
		ip, err := netip.ParseAddr(h)
		n, err2 := strconv.ParseUint(port, 10, 16)
		switch {
		case err != nil || err2 != nil || ip.Zone() != "":
			return nil, fmt.Errorf("address %q: not an IP address and port: %w", address, syscall.EINVAL)
		case !ip.Unmap().IsLoopback():
			return nil, fmt.Errorf("address %q is not on the loopback: %w", address, syscall.ENETUNREACH)
		}
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(n)))
	}
	return addrs, nil
}

// listens reports whether the sandbox listens on an address, and nobody else
// does on one that would serve as well.
func (p *plainMode) listens(a netip.AddrPort) bool {
	var found []listening
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		found = append(found, listeners(name, a)...)
	}
	if len(found) == 0 {
		return false
	}
	var own map[string]bool
	for _, l := range found {
		if p.config.OwnUser {
			if l.uid != strconv.Itoa(p.uid) {
				return false
			}
			continue
		}
		if own == nil {
			own = p.sockets()
		}
		if !own["socket:["+l.inode+"]"] {
			return false
		}
	}
	return true
}

// sockets are those that the sandbox's processes have open. One that hides what
// it has from its own user, and so from init, is not reached.
func (p *plainMode) sockets() map[string]bool {
	own := map[string]bool{}
	for _, pid := range p.processes() {
		dir := "/proc/" + strconv.Itoa(pid) + "/fd"
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		names, _ := f.Readdirnames(-1)
		_ = f.Close()
		for _, name := range names {
			if to, err := os.Readlink(dir + "/" + name); err == nil && strings.HasPrefix(to, "socket:") {
				own[to] = true
			}
		}
	}
	return own
}

// A listening is a socket that listens.
type listening struct{ uid, inode string }

// listeners reads, in the kernel's table of sockets, those that a connection to
// an address may reach: that are bound to it, or to any. Those that listen come
// first in the table.
func listeners(table string, to netip.AddrPort) (found []listening) {
	f, err := os.Open(table)
	if err != nil {
		return nil // there is no IPv6
	}
	defer f.Close()
	const local, state, uid, inode = 1, 3, 7, 9
	rows := bufio.NewScanner(f)
	rows.Scan() // the head
	for rows.Scan() {
		row := strings.Fields(rows.Text())
		if len(row) <= inode || row[state] != "0A" {
			break
		}
		a, ok := tableAddress(row[local])
		ip := a.Addr().Unmap()
		if ok && a.Port() == to.Port() && (ip == to.Addr() || ip.IsUnspecified() && (a.Addr().Is6() || to.Addr().Is4())) {
			found = append(found, listening{row[uid], row[inode]})
		}
	}
	return found
}

// tableAddress reads an address as the kernel prints it: words of four bytes in
// the order of the machine's, and the port.
func tableAddress(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip, uint16(n)), ok
}
