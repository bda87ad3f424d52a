package local

import (
	"cmp"
	"context"
	"io"
	"iter"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"

	"github.com/computekit/compute"
)

// DialContext implements [compute.Dialer], for the networks tcp and unix. The
// connection is made inside: loopback is the sandbox's, and there is nothing
// else to reach.
func (s *Sandbox) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
		if !isTCPAddress(ctx, network, address) {
			return nil, fail("dial", s.id, compute.ErrInvalid, "%q is not an IP address, or localhost, and a port", address)
		}
	case "unix":
	default:
		return nil, fail("dial", s.id, compute.ErrInvalid, "network %q cannot be dialed", network)
	}
	err = s.with(ctx, "dial", func(m machine) (err error) {
		conn, err = m.Dial(ctx, network, address)
		return err
	})
	return conn, err
}

func isTCPAddress(ctx context.Context, network, address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.DefaultResolver.LookupPort(ctx, network, port)
	}
	return err == nil && (host == "" || host == "localhost" || net.ParseIP(host) != nil)
}

// forward serves a port of a sandbox on one of this machine's loopback.
type forward struct {
	s      *Sandbox
	port   int
	l      net.Listener
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	work  sync.WaitGroup
}

// GetURL implements [compute.Sandbox]. The URL is on 127.0.0.1 and works as
// long as this program lives and the provider is not closed.
func (s *Sandbox) GetURL(ctx context.Context, port int) (string, error) {
	const op = "get url"
	if port < 1 || port > 65535 {
		return "", fail(op, s.id, compute.ErrInvalid, "%d is not a port", port)
	}
	if err := s.with(ctx, op, func(m machine) error { return m.Ping(ctx) }); err != nil {
		return "", err
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.p.closed {
		return "", fail(op, s.id, compute.ErrUnavailable, "the provider is closed")
	}
	if f := s.p.urls[s.id][port]; f != nil {
		return f.url(), nil
	}
	f, err := s.forward(port)
	if err != nil {
		return "", s.p.outside(op, s.id, err)
	}
	if s.p.urls[s.id] == nil {
		s.p.urls[s.id] = map[int]*forward{}
	}
	s.p.urls[s.id][port] = f
	return f.url(), nil
}

func (s *Sandbox) forward(port int) (*forward, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // listening takes no time
	if err != nil {
		return nil, err
	}
	f := &forward{s: s, port: port, l: l, conns: map[net.Conn]struct{}{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.work.Go(f.accept)
	return f, nil
}

func (f *forward) url() string { return "http://" + f.l.Addr().String() }

func (f *forward) accept() {
	for {
		c, err := f.l.Accept()
		if err != nil {
			return // closed
		}
		if f.track(c) {
			f.work.Go(func() { f.serve(c) })
		}
	}
}

// track remembers a connection, to be closed with the rest.
func (f *forward) track(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		_ = c.Close()
		return false
	}
	f.conns[c] = struct{}{}
	return true
}

func (f *forward) drop(c net.Conn) {
	_ = c.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

func (f *forward) serve(outer net.Conn) {
	defer f.drop(outer)
	inner, err := f.s.DialContext(f.ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(f.port)))
	if err != nil {
		return // to the client it looks as if nobody listened, which is so
	}
	if !f.track(inner) {
		return
	}
	defer f.drop(inner)
	var wg sync.WaitGroup
	wg.Go(func() { pass(inner, outer) })
	wg.Go(func() { pass(outer, inner) })
	wg.Wait()
}

// pass copies one direction, and its end.
func pass(to, from io.ReadWriteCloser) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close()
	_ = from.Close()
}

// close ends the URL and all connections through it, and waits for that.
func (f *forward) close() {
	f.cancel()
	_ = f.l.Close()
	f.mu.Lock()
	for c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.work.Wait()
}

// closeURLs ends the URLs of a sandbox, or of one port of it.
func (p *Provider) closeURLs(id string, ports ...int) {
	p.mu.Lock()
	var end []*forward
	for port, f := range p.urls[id] {
		if len(ports) == 0 || slices.Contains(ports, port) {
			end = append(end, f)
			delete(p.urls[id], port)
		}
	}
	if len(p.urls[id]) == 0 && p.urls != nil {
		delete(p.urls, id)
	}
	front := p.front
	p.mu.Unlock()
	for _, f := range end {
		f.close()
	}
	if front != nil {
		front.remove(id, ports)
	}
}

// ListURLs implements [compute.URLLister]: those that this program has opened.
func (s *Sandbox) ListURLs(ctx context.Context) iter.Seq2[compute.PortURL, error] {
	return func(yield func(compute.PortURL, error) bool) {
		if err := s.with(ctx, "list urls", func(m machine) error { return m.Ping(ctx) }); err != nil {
			yield(compute.PortURL{}, err)
			return
		}
		for _, u := range s.openURLs() {
			if !yield(u, nil) {
				return
			}
		}
	}
}

// openURLs returns the URLs of s by port, those without a name first.
func (s *Sandbox) openURLs() (urls []compute.PortURL) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	open := s.p.urls[s.id]
	for _, port := range slices.Sorted(maps.Keys(open)) {
		urls = append(urls, compute.PortURL{Port: port, URL: open[port].url()})
	}
	urls = append(urls, s.p.front.of(s.id)...)
	slices.SortStableFunc(urls, func(a, b compute.PortURL) int { return cmp.Compare(a.Port, b.Port) })
	return urls
}

// CloseURL implements [compute.URLCloser].
func (s *Sandbox) CloseURL(ctx context.Context, port int) error {
	if err := ended(ctx, "close url", s.id); err != nil {
		return err
	}
	s.p.closeURLs(s.id, port)
	return nil
}
