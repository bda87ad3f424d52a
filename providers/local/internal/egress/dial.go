package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

const (
	connectLimit = 20 * time.Second // to all addresses of a name together
	tryLimit     = 8 * time.Second  // to one of several
)

// A target is what a program wants to reach: a name or an address.
type target struct {
	name string
	addr netip.Addr // if there is no name
	port uint16
}

func (t target) String() string {
	host := t.name
	if host == "" {
		host = t.addr.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(t.port)))
}

// parseTarget reads "host:port".
func parseTarget(hostPort string) (t target, err error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return t, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return t, fmt.Errorf("%q is not a port", port)
	}
	t.port = uint16(n)
	if a, err := netip.ParseAddr(host); err == nil {
		t.addr = a.Unmap()
		return t, nil
	}
	t.name, err = cleanName(host)
	return t, err
}

// A refusedError says that the policy does not allow something.
type refusedError struct {
	target target
	addr   netip.Addr // that the name means, if that is the reason
}

func (e *refusedError) Error() string {
	if e.addr.IsValid() {
		return fmt.Sprintf("the network policy of this sandbox does not allow %s: the name means %s, which is not a public address and not allowed as one",
			e.target, e.addr)
	}
	return fmt.Sprintf("the network policy of this sandbox does not allow %s", e.target)
}

// A dialer connects to what the policy of the moment allows.
type dialer struct {
	resolver *resolver
	own      own

	mu     sync.Mutex
	policy *Policy
	conns  map[*conn]struct{}
}

func newDialer(p *Policy, r *resolver) *dialer {
	return &dialer{policy: p, resolver: r, conns: map[*conn]struct{}{}}
}

// set changes the policy, and cuts the connections that it does not allow.
func (d *dialer) set(p *Policy, r *resolver) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.policy, d.resolver = p, r
	for c := range d.conns {
		if d.judge(p, c.target) != nil || !d.means(p, c.target, c.addr) {
			delete(d.conns, c)
			_ = c.Conn.Close()
		}
	}
}

func (d *dialer) now() (*Policy, *resolver) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.policy, d.resolver
}

// judge says whether a target is allowed, as far as can be said without
// knowing what its name means.
func (d *dialer) judge(p *Policy, t target) error {
	if t.name != "" && p.Name(t.name, t.port) || t.name == "" && d.means(p, t, t.addr) {
		return nil
	}
	return &refusedError{target: t}
}

// means says whether a target may be, or have, an address.
func (d *dialer) means(p *Policy, t target, a netip.Addr) bool {
	switch {
	case p.explicit(a, t.port):
		return true
	case d.own.has(a):
		return false
	case t.name == "":
		return p.Addr(a, t.port)
	}
	return p.Meaning(a, t.port)
}

// dial connects to a target.
func (d *dialer) dial(ctx context.Context, t target) (net.Conn, error) {
	p, r := d.now()
	if err := d.judge(p, t); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	addrs := []netip.Addr{t.addr}
	if t.name != "" {
		var err error
		if addrs, err = r.lookup(ctx, t.name); err != nil {
			return nil, err
		}
	}
	var failure error
	for i, a := range addrs {
		if !d.means(p, t, a) {
			failure = first(failure, &refusedError{target: t, addr: a})
			continue
		}
		c, err := d.try(ctx, t, a, i < len(addrs)-1)
		if err == nil {
			return c, nil
		}
		failure = first(failure, err)
	}
	return nil, first(failure, errors.New("the name has no address"))
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// try connects to the very address that was judged.
func (d *dialer) try(ctx context.Context, t target, a netip.Addr, more bool) (net.Conn, error) {
	if more {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, tryLimit)
		defer cancel()
	}
	var nd net.Dialer
	nd.SetMultipathTCP(false)
	nc, err := nd.DialContext(ctx, "tcp", netip.AddrPortFrom(a, t.port).String())
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, d: d, target: t, addr: a}
	d.mu.Lock()
	defer d.mu.Unlock()
	// The policy may have changed since.
	if err := d.judge(d.policy, t); err != nil || !d.means(d.policy, t, a) {
		_ = nc.Close()
		return nil, &refusedError{target: t}
	}
	d.conns[c] = struct{}{}
	return c, nil
}

// A conn is a connection that the policy can cut.
type conn struct {
	net.Conn
	d      *dialer
	target target
	addr   netip.Addr
}

func (c *conn) Close() error {
	c.d.mu.Lock()
	delete(c.d.conns, c)
	c.d.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite ends one direction.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}
