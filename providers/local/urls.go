package local

import (
	"context"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/duplex"
)

// localhost is the domain whose names are all this machine (RFC 6761).
const localhost = ".localhost"

// front serves the URLs that have names, all on one port.
type front struct {
	l      net.Listener
	server *http.Server

	mu     sync.Mutex
	routes map[string]*route // by the first label of the host name
}

// route leads from a name to a port of a sandbox.
type route struct {
	name   string
	s      *Sandbox
	port   int
	ctx    context.Context
	cancel context.CancelFunc
	proxy  *httputil.ReverseProxy
	work   sync.WaitGroup
}

// OpenURL implements [compute.URLOpener]. With a subdomain the URL is
// http://SUBDOMAIN.localhost:PORT/, which browsers and curl find on this
// machine; other programs connect to 127.0.0.1 and send it as the Host. It
// speaks HTTP/1.1 and WebSocket, and is the sandbox's as long as this program
// lives and the URL is not closed: a name that another has is [compute.ErrConflict].
func (s *Sandbox) OpenURL(ctx context.Context, port int, opts *compute.URLOptions) (string, error) {
	const op = "open url"
	switch {
	case opts == nil || opts.Subdomain == "":
		return s.GetURL(ctx, port)
	case port < 1 || port > 65535:
		return "", fail(op, s.id, compute.ErrInvalid, "%d is not a port", port)
	case !validLabel(opts.Subdomain):
		return "", fail(op, s.id, compute.ErrInvalid, "bad subdomain %q: it is up to 63 of a-z, 0-9 and -, not at the ends", opts.Subdomain)
	}
	if err := s.with(ctx, op, func(m machine) error { return m.Ping(ctx) }); err != nil {
		return "", err
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.p.closed {
		return "", fail(op, s.id, compute.ErrUnavailable, "the provider is closed")
	}
	if s.p.front == nil {
		f, err := newFront()
		if err != nil {
			return "", s.p.outside(op, s.id, err)
		}
		s.p.front = f
	}
	if !s.p.front.add(s, port, opts.Subdomain) {
		return "", fail(op, s.id, compute.ErrConflict, "the subdomain %q is taken", opts.Subdomain)
	}
	return s.p.front.url(opts.Subdomain), nil
}

func validLabel(s string) bool {
	ok := len(s) > 0 && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-'
	for _, c := range s {
		ok = ok && (c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z')
	}
	return ok
}

func newFront() (*front, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // listening takes no time
	if err != nil {
		return nil, err
	}
	f := &front{l: l, routes: map[string]*route{}}
	f.server = &http.Server{Handler: f, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = f.server.Serve(l) }() // ends with close
	return f, nil
}

func (f *front) url(name string) string {
	_, port, _ := net.SplitHostPort(f.l.Addr().String())
	return "http://" + name + localhost + ":" + port
}

// add makes a name lead to a port, unless it leads elsewhere.
func (f *front) add(s *Sandbox, port int, name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.routes[name]; r != nil {
		return r.s.id == s.id && r.port == port
	}
	f.routes[name] = newRoute(s, port, name)
	return true
}

func newRoute(s *Sandbox, port int, name string) *route {
	r := &route{name: name, s: s, port: port}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	inside := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	r.proxy = &httputil.ReverseProxy{
		FlushInterval: -1, // what comes in pieces goes on in pieces
		ErrorLog:      log.New(io.Discard, "", 0),
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.Scheme, pr.Out.URL.Host, pr.Out.Host = "http", inside, pr.In.Host
			pr.SetXForwarded()
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return s.DialContext(ctx, "tcp", inside)
			},
			DisableCompression: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second,
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "the sandbox does not answer on port "+strconv.Itoa(port)+": "+err.Error(), http.StatusBadGateway)
		},
	}
	return r
}

// ServeHTTP leads a request to where its host name does.
func (f *front) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	host := req.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	name, _ := strings.CutSuffix(strings.ToLower(strings.TrimSuffix(host, ".")), localhost)
	f.mu.Lock()
	r := f.routes[name]
	if r != nil {
		r.work.Add(1) // before close can wait
	}
	f.mu.Unlock()
	if r == nil {
		http.Error(w, "no sandbox has this host name", http.StatusNotFound)
		return
	}
	defer r.work.Done()
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	control := http.NewResponseController(w)
	defer context.AfterFunc(r.ctx, func() {
		cancel()
		// A client that does not read, or write, would keep the request.
		_ = control.SetWriteDeadline(time.Unix(1, 0))
		_ = control.SetReadDeadline(time.Unix(1, 0))
	})()
	duplex.Serve(r.proxy, w, req.WithContext(ctx))
}

// remove ends the routes of a sandbox, or of some of its ports, and waits for
// that.
func (f *front) remove(id string, ports []int) {
	f.mu.Lock()
	var end []*route
	for name, r := range f.routes {
		if r.s.id == id && (len(ports) == 0 || slices.Contains(ports, r.port)) {
			end = append(end, r)
			delete(f.routes, name)
		}
	}
	f.mu.Unlock()
	for _, r := range end {
		r.close()
	}
}

func (r *route) close() {
	r.cancel()
	r.work.Wait()
	r.proxy.Transport.(*http.Transport).CloseIdleConnections()
}

func (f *front) close() {
	f.mu.Lock()
	routes := slices.Collect(maps.Values(f.routes))
	f.routes = nil
	f.mu.Unlock()
	for _, r := range routes {
		r.close()
	}
	_ = f.server.Close()
}

// of returns the URLs of a sandbox.
func (f *front) of(id string) (urls []compute.PortURL) {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(f.routes)) {
		if r := f.routes[name]; r.s.id == id {
			urls = append(urls, compute.PortURL{Port: r.port, URL: f.url(name)})
		}
	}
	return urls
}
