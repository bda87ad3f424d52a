//go:build linux && (amd64 || arm64)

package escape

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// opensSocket attempts to make a socket.
func opensSocket(name string, by layer, errno syscall.Errno, c control, family, kind, protocol int) attempt {
	return attempt{class: "sockets", name: name, by: by, errnos: []syscall.Errno{errno}, control: c, do: func(*world) error {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}}
}

// connects attempts to reach what the machine serves.
func connects(network string, address func(*world) string) func(*world) error {
	return func(w *world) error {
		c, err := net.DialTimeout(network, address(w), 5*time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// maybe is a control for what the kernel may have as a module, or not at all.
func maybe(c control, errnos ...error) control { return c.to(append([]error{nil}, errnos...)...) }

var socketAttempts = []attempt{
	opensSocket("AF_PACKET", bySeccomp, unix.EAFNOSUPPORT, bare, unix.AF_PACKET, unix.SOCK_RAW, 0),
	opensSocket("AF_VSOCK, to the machine's own host", bySeccomp, unix.EAFNOSUPPORT, maybe(bare, unix.EAFNOSUPPORT), unix.AF_VSOCK, unix.SOCK_STREAM, 0),
	opensSocket("AF_ALG", bySeccomp, unix.EAFNOSUPPORT, maybe(bare, unix.EAFNOSUPPORT), unix.AF_ALG, unix.SOCK_SEQPACKET, 0),
	opensSocket("AF_XDP", bySeccomp, unix.EAFNOSUPPORT, maybe(bare, unix.EAFNOSUPPORT), unix.AF_XDP, unix.SOCK_RAW, 0),
	opensSocket("AF_KEY", bySeccomp, unix.EAFNOSUPPORT, maybe(bare, unix.EAFNOSUPPORT), unix.AF_KEY, unix.SOCK_RAW, 2),
	opensSocket("AF_BLUETOOTH", bySeccomp, unix.EAFNOSUPPORT, maybe(bare, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT), unix.AF_BLUETOOTH, unix.SOCK_RAW, 1),
	opensSocket("netlink: firewall", bySeccomp, unix.EPROTONOSUPPORT, maybe(bare, unix.EPROTONOSUPPORT), unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER),
	opensSocket("netlink: audit", bySeccomp, unix.EPROTONOSUPPORT, maybe(bare, unix.EPROTONOSUPPORT), unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT),
	opensSocket("netlink: device events", bySeccomp, unix.EPROTONOSUPPORT, bare, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT),
	opensSocket("netlink: generic", bySeccomp, unix.EPROTONOSUPPORT, bare, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC),
	opensSocket("SCTP", bySeccomp, unix.EPROTONOSUPPORT, maybe(bare, unix.EPROTONOSUPPORT), unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP),
	opensSocket("MPTCP", bySeccomp, unix.EPROTONOSUPPORT, maybe(bare, unix.EPROTONOSUPPORT), unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP),
	opensSocket("UDP-Lite", bySeccomp, unix.EPROTONOSUPPORT, maybe(bare, unix.EPROTONOSUPPORT), unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDPLITE),
	opensSocket("raw IP", bySeccomp, unix.EPROTONOSUPPORT, bare, unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW),
	opensSocket("raw ICMP", byCapability, unix.EPERM, bare, unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP),
	{class: "sockets", name: "load a protocol's module by socketpair", by: bySeccomp, errnos: []syscall.Errno{unix.EAFNOSUPPORT}, control: differs,
		do: func(*world) error { _, err := unix.Socketpair(unix.AF_INET, unix.SOCK_STREAM, 0); return err }},
	{class: "sockets", name: "take the loopback interface down", by: byCapability, errnos: eperm, control: bare, do: func(*world) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			panic(err)
		}
		defer unix.Close(fd)
		ifr, err := unix.NewIfreq("lo")
		if err != nil {
			panic(err)
		}
		ifr.SetUint16(0)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
	}},
	{class: "sockets", name: "make an interface (netlink)", by: byCapability, errnos: eperm, control: differs, do: newLink},
	{class: "sockets", name: "reach the machine's loopback", by: byNetwork, errnos: []syscall.Errno{unix.ECONNREFUSED}, control: same,
		do: connects("tcp", func(w *world) string { return fmt.Sprintf("127.0.0.1:%d", w.Port) })},
	{class: "sockets", name: "reach the machine's own address", by: byNetwork, errnos: []syscall.Errno{unix.ENETUNREACH}, control: same,
		do: connects("tcp", func(w *world) string { return w.Address })},
	{class: "sockets", name: "reach the Internet", by: byNetwork, errnos: []syscall.Errno{unix.ENETUNREACH}, control: none("the tester's machine may be offline"),
		do: connects("tcp", func(*world) string { return "192.0.2.1:80" })},
	{class: "sockets", name: "reach an abstract socket of the machine", by: byNetwork, errnos: []syscall.Errno{unix.ECONNREFUSED}, control: same,
		do: connects("unix", func(w *world) string { return w.Abstract })},
	{class: "sockets", name: "reach a Unix socket of the machine", by: byMounts, errnos: noEntry(), control: same,
		do: connects("unix", func(w *world) string { return w.Socket })},
	{class: "sockets", name: "find init's own socket", by: byNetwork, control: same, do: initSocket},
}

// newLink asks for a dummy interface.
func newLink(*world) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		panic(err)
	}
	defer unix.Close(fd)
	// nlmsghdr and ifinfomsg: RTM_NEWLINK, REQUEST|ACK|CREATE, no attributes.
	msg := make([]byte, 32)
	msg[0], msg[4] = 32, unix.RTM_NEWLINK
	msg[6], msg[7] = unix.NLM_F_REQUEST|unix.NLM_F_ACK, unix.NLM_F_CREATE>>8
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	reply := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, reply, 0)
	if err != nil || n < 20 {
		panic(fmt.Sprint(n, err))
	}
	if code := int32(uint32(reply[16]) | uint32(reply[17])<<8 | uint32(reply[18])<<16 | uint32(reply[19])<<24); code != 0 {
		return syscall.Errno(-code)
	}
	return nil
}

// initSocket looks for a Unix socket that listens: there is none but the
// machine's, and of those the namespace shows none.
func initSocket(*world) error {
	data, err := text("/proc/net/unix")
	if err != nil {
		return err
	}
	for _, line := range splitLines(data)[1:] {
		if f := strings.Fields(line); len(f) > 3 && f[3] == "00010000" { // __SO_ACCEPTCON
			return nil
		}
	}
	return errNone
}
