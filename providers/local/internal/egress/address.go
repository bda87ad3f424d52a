package egress

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// special are the blocks of IPv4 that are not of the public Internet, by the
// registry of RFC 6890 and its successors.
var special = blocks(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
	"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
)

// global is the one block of IPv6 that is, and special6 are those in it that
// are not: among them the addresses that carry one of IPv4.
var (
	global   = netip.MustParsePrefix("2000::/3")
	special6 = blocks("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
	// nat64 carries an address of IPv4 that a gateway connects to.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

func blocks(all ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range all {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// Public reports whether an address is of the public Internet: not this
// machine's, its network's, a service of its cloud, or anything else special.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	switch {
	case !a.IsValid() || a.Zone() != "":
		return false
	case a.Is4():
		return !slices.ContainsFunc(special, in)
	case nat64.Contains(a):
		b := a.As16()
		return Public(netip.AddrFrom4([4]byte(b[12:])))
	}
	return global.Contains(a) && !slices.ContainsFunc(special6, in)
}

// own knows the addresses of this machine: also those that are public lead to
// services that need not be meant for the public.
type own struct {
	mu    sync.Mutex
	addrs []netip.Addr
	until time.Time
}

const ownAge = 5 * time.Second

func (o *own) has(a netip.Addr) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Now().After(o.until) {
		o.addrs, o.until = interfaceAddrs(), time.Now().Add(ownAge)
	}
	return slices.Contains(o.addrs, a.Unmap())
}

func interfaceAddrs() (addrs []netip.Addr) {
	found, _ := net.InterfaceAddrs() // then they are refused by what is special
	for _, f := range found {
		if n, ok := f.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(n.IP); ok {
				addrs = append(addrs, a.Unmap())
			}
		}
	}
	return addrs
}
