package stub

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/computekit/compute"
)

// listener is a port that a program of the sandbox listens on.
type listener struct {
	s     *Sandbox
	port  int
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

type address int

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return fmt.Sprintf("127.0.0.1:%d", int(a)) }

func (s *Sandbox) listen(port int) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.bind(port)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// bind is listen for who holds s.mu.
func (s *Sandbox) bind(port int) (*listener, error) {
	fail := func(err error) error { return &net.OpError{Op: "listen", Net: "tcp", Addr: address(port), Err: err} }
	switch {
	case port < 1 || port > 65535:
		return nil, fail(errors.New("invalid port"))
	case s.gone != "":
		return nil, fail(net.ErrClosed)
	case s.ports[port] != nil:
		return nil, fail(syscall.EADDRINUSE)
	}
	l := &listener{s: s, port: port, conns: make(chan net.Conn), done: make(chan struct{})}
	if s.ports == nil {
		s.ports = map[int]*listener{}
	}
	s.ports[port] = l
	return l, nil
}

func (l *listener) Addr() net.Addr { return address(l.port) }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.s.mu.Lock()
		if l.s.ports[l.port] == l {
			delete(l.s.ports, l.port)
		}
		l.s.mu.Unlock()
	})
	return nil
}

// DialContext implements [compute.Dialer]. Only the sandbox itself can be
// reached, under any of its own names.
func (s *Sandbox) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return s.dial(ctx, network, addr, 0)
}

// dial is DialContext, on behalf of the URL of a port if that is not 0.
func (s *Sandbox) dial(ctx context.Context, network, addr string, url int) (net.Conn, error) {
	t, err := s.use(ctx, "dial")
	if err != nil {
		return nil, err
	}
	fail := func(err error) (net.Conn, error) {
		return nil, &compute.Error{Op: "dial", Provider: s.p.Name(), ID: s.ID(), Err: &net.OpError{Op: "dial", Net: network, Err: err}}
	}
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, s.p.fail("dial", s.ID(), compute.ErrInvalid, "bad address %q", addr)
	}
	port, err := strconv.Atoi(portText)
	switch {
	case err != nil || port < 1 || port > 65535 || !strings.HasPrefix(network, "tcp"):
		return nil, s.p.fail("dial", s.ID(), compute.ErrInvalid, "bad address %q on network %q", addr, network)
	case host != "" && host != "localhost" && host != s.ID() && !isLoopback(host):
		return fail(syscall.ENETUNREACH)
	}
	s.mu.Lock()
	l := s.ports[port]
	s.mu.Unlock()
	if l == nil {
		return fail(syscall.ECONNREFUSED)
	}
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		c, ok := s.track(near, url)
		if !ok {
			return fail(syscall.ECONNRESET)
		}
		if err := t.after(); err != nil {
			_ = c.Close()
			return nil, err
		}
		return c, nil
	case <-l.done:
		return fail(syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, s.p.ended(ctx, "dial", s.ID())
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// GetURL implements [compute.Sandbox]. The URL means something to
// [Provider.Client] only.
func (s *Sandbox) GetURL(ctx context.Context, port int) (string, error) {
	return s.url(ctx, "get url", port, "")
}

// OpenURL implements [compute.URLOpener].
func (s *Sandbox) OpenURL(ctx context.Context, port int, opts *compute.URLOptions) (string, error) {
	if opts == nil {
		opts = &compute.URLOptions{}
	}
	return s.url(ctx, "open url", port, opts.Subdomain)
}

func (s *Sandbox) url(ctx context.Context, op string, port int, subdomain string) (string, error) {
	if port < 1 || port > 65535 {
		return "", s.p.fail(op, s.ID(), compute.ErrInvalid, "%d is not a port", port)
	}
	t, err := s.use(ctx, op)
	if err != nil {
		return "", err
	}
	if subdomain != "" {
		s.p.mu.Lock() // until the name is taken
		defer s.p.mu.Unlock()
		if s.p.taken(subdomain, s, port) {
			return "", s.p.fail(op, s.ID(), compute.ErrConflict, "the subdomain %q is taken", subdomain)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.urls[port]
	if u == "" || subdomain != "" {
		host := fmt.Sprintf("%d-%s", port, strings.ReplaceAll(s.info.ID, "_", "-"))
		if subdomain != "" {
			host = subdomain
		}
		if !validLabel(host) {
			return "", s.p.fail(op, s.info.ID, compute.ErrInvalid, "bad subdomain %q", subdomain)
		}
		u = "http://" + host + ".stub.test"
	}
	if s.urls == nil {
		s.urls = map[int]string{}
	}
	s.urls[port] = u
	return u, t.after()
}

// taken reports whether a subdomain leads elsewhere. The caller holds p.mu.
func (p *Provider) taken(subdomain string, s *Sandbox, port int) bool {
	for _, o := range p.boxes {
		if at := o.portOf(subdomain + ".stub.test"); at != 0 && (o != s || at != port) {
			return true
		}
	}
	return false
}

func validLabel(s string) bool {
	ok := len(s) > 0 && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-'
	for _, c := range s {
		ok = ok && (c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z')
	}
	return ok
}

// ListURLs implements [compute.URLLister].
func (s *Sandbox) ListURLs(ctx context.Context) iter.Seq2[compute.PortURL, error] {
	return list(ctx, s.p, "list urls", s.alive, 0, func() (all []compute.PortURL) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, port := range slices.Sorted(maps.Keys(s.urls)) {
			all = append(all, compute.PortURL{Port: port, URL: s.urls[port]})
		}
		return all
	})
}

// CloseURL implements [compute.URLCloser].
func (s *Sandbox) CloseURL(ctx context.Context, port int) error {
	t, err := s.use(ctx, "close url")
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.urls, port)
	s.mu.Unlock()
	s.disconnect(port)
	return t.after()
}

// Endpoint implements [compute.Endpointer]. The header is of the kind that
// providers ask for; [Provider.Client] does not.
func (s *Sandbox) Endpoint(ctx context.Context, port int) (*compute.Endpoint, error) {
	u, err := s.url(ctx, "get endpoint", port, "")
	if err != nil {
		return nil, err
	}
	return &compute.Endpoint{URL: u, Header: http.Header{"X-Stub-Token": {s.ID()}}, Expires: s.copyInfo().Expires}, nil
}

// Client returns an HTTP client to which the URLs of p's sandboxes lead into
// them, and no other leads anywhere. Close its idle connections when done.
func (p *Provider) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: p.dialURL}}
}

func (p *Provider) dialURL(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	p.mu.Lock()
	boxes := slices.Collect(maps.Values(p.boxes))
	p.mu.Unlock()
	for _, s := range boxes {
		if port := s.portOf(host); port != 0 {
			return s.dial(ctx, network, fmt.Sprintf("localhost:%d", port), port)
		}
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (s *Sandbox) portOf(host string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for port, u := range s.urls {
		if u == "http://"+host {
			return port
		}
	}
	return 0
}

// SetNetworkPolicy implements [compute.NetworkPolicer]. There is no network to
// apply it to; see [Sandbox.NetworkPolicy].
func (s *Sandbox) SetNetworkPolicy(ctx context.Context, n *compute.NetworkPolicy) error {
	t, err := s.use(ctx, "set network policy")
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.network = cloneNetwork(n)
	s.mu.Unlock()
	return t.after()
}

// NetworkPolicy returns the policy in force, for tests to look at; nil if none
// was asked for.
func (s *Sandbox) NetworkPolicy() *compute.NetworkPolicy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cloneNetwork(s.network)
}
