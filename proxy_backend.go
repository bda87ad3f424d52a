package compute

import (
	"context"
	"errors"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	recheckAfter = 10 * time.Second // how long a sandbox and its owner are taken to be as they were
	maxBackends  = 1000             // sandboxes whose connections are kept
)

// backends are the sandboxes that are being served.
type backends struct {
	c    Compute
	opts *ProxyOptions

	mu     sync.Mutex
	all    map[string]*backend
	closed bool
	dials  sync.WaitGroup
	ctx    context.Context // ends with close
	cancel context.CancelFunc
}

// backend is a sandbox with the connections to it. What is not fixed is
// guarded by backends.mu.
type backend struct {
	of        *backends
	id        string
	transport *http.Transport
	grpc      *http.Transport // speaks HTTP/2 alone

	sb       Sandbox
	owner    string
	checked  time.Time // when the provider last said so
	used     time.Time
	inFlight int
	ups      map[int]*upstream // by port, for sandboxes that cannot be dialed
}

func newBackends(c Compute, opts *ProxyOptions) *backends {
	bs := &backends{c: c, opts: opts, all: map[string]*backend{}}
	bs.ctx, bs.cancel = context.WithCancel(context.Background())
	return bs
}

// get counts a request in at a sandbox of owner's; leave counts it out.
// Another's sandbox is looked for like one that does not exist, so that the two
// take the same time.
func (bs *backends) get(ctx context.Context, t target, owner string) (*backend, error) {
	bs.mu.Lock()
	b := bs.all[t.sandbox]
	known := b != nil && time.Since(b.checked) < recheckAfter && bs.owns(owner, b.owner)
	bs.mu.Unlock()
	if !known {
		var err error
		if b, err = bs.look(ctx, t.sandbox, owner); err != nil {
			return nil, err
		}
	}
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if b.inFlight >= bs.opts.MaxConns {
		return nil, &Error{Op: "proxy", ID: t.sandbox, Kind: ErrQuota, RetryAfter: time.Second}
	}
	b.inFlight++
	b.used = time.Now()
	return b, nil
}

func (b *backend) leave() {
	b.of.mu.Lock()
	b.inFlight--
	b.of.mu.Unlock()
}

func (bs *backends) owns(owner, of string) bool {
	return bs.opts.OwnerKey == "" || owner != "" && owner == of
}

// look asks the provider.
func (bs *backends) look(ctx context.Context, id, owner string) (*backend, error) {
	ctx, cancel := context.WithTimeout(ctx, bs.opts.HeaderTimeout)
	defer cancel()
	found, err := bounded(ctx, func() (f found, err error) {
		if f.sb, err = bs.c.GetSandbox(ctx, id); err == nil && bs.opts.OwnerKey != "" {
			var info *SandboxInfo
			if info, err = f.sb.Info(ctx); err == nil {
				f.owner = info.Metadata[bs.opts.OwnerKey]
			}
		}
		return f, err
	})
	switch {
	case err != nil:
		return nil, err
	case found.sb == nil:
		return nil, &Error{Op: "proxy", ID: id, Err: errNothing}
	case !bs.owns(owner, found.owner):
		return nil, &Error{Op: "proxy", ID: id, Kind: ErrNotFound}
	}
	return bs.keep(id, found.sb, found.owner), nil
}

// errNothing is of a provider that returns neither what it was asked for nor an
// error.
var errNothing = errors.New("the provider has returned nothing")

// found is a sandbox and whose it is.
type found struct {
	sb    Sandbox
	owner string
}

func (bs *backends) keep(id string, sb Sandbox, owner string) *backend {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b := bs.all[id]
	if b == nil {
		b = bs.newBackend(id)
		bs.makeRoom()
		bs.all[id] = b
	}
	b.sb, b.owner, b.checked, b.used = sb, owner, time.Now(), time.Now()
	return b
}

// makeRoom lets go of the sandbox that was idle longest, if there are too many.
func (bs *backends) makeRoom() {
	if len(bs.all) < maxBackends {
		return
	}
	var oldest *backend
	for _, b := range bs.all {
		if b.inFlight == 0 && (oldest == nil || b.used.Before(oldest.used)) {
			oldest = b
		}
	}
	if oldest != nil {
		delete(bs.all, oldest.id)
		oldest.closeIdle()
	}
}

// forget is for sandboxes that are gone.
func (bs *backends) forget(b *backend) {
	bs.mu.Lock()
	if bs.all[b.id] == b {
		delete(bs.all, b.id)
	}
	bs.mu.Unlock()
	b.closeIdle()
}

func (bs *backends) close() {
	bs.cancel()
	bs.mu.Lock()
	bs.closed = true
	for _, b := range bs.all {
		b.closeIdle()
	}
	bs.mu.Unlock()
	bs.dials.Wait()
}

func (bs *backends) newBackend(id string) *backend {
	b := &backend{of: bs, id: id, ups: map[int]*upstream{}}
	b.transport, b.grpc = b.newTransport(), b.newTransport()
	b.grpc.Protocols = new(http.Protocols)
	b.grpc.Protocols.SetHTTP2(true)
	b.grpc.Protocols.SetUnencryptedHTTP2(true) // with prior knowledge
	return b
}

func (b *backend) newTransport() *http.Transport {
	timeout := b.of.opts.HeaderTimeout
	return &http.Transport{
		DialContext:            b.dial,
		DisableCompression:     true, // what the program sends is what the client gets
		MaxIdleConnsPerHost:    16,
		MaxIdleConns:           64,
		IdleConnTimeout:        30 * time.Second,
		ResponseHeaderTimeout:  timeout,
		ExpectContinueTimeout:  time.Second,
		TLSHandshakeTimeout:    timeout,
		MaxResponseHeaderBytes: 256 << 10,
	}
}

// over returns the transport for a request. Programs that serve gRPC speak
// HTTP/2, and know that nobody calls them in anything else.
func (b *backend) over(r *http.Request) *http.Transport {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.ProtoMajor == 2 && (kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+")) {
		return b.grpc
	}
	return b.transport
}

func (b *backend) closeIdle() {
	b.transport.CloseIdleConnections()
	b.grpc.CloseIdleConnections()
}

// upstream is where a port is reached.
type upstream struct {
	url    *url.URL
	header http.Header
	until  time.Time // when to ask again
}

func (u *upstream) origin() string { return u.url.Scheme + "://" + u.url.Host }

// request returns the URL of a path, as it was escaped.
func (u *upstream) request(path, query string) *url.URL {
	to := *u.url
	if base := strings.TrimSuffix(to.EscapedPath(), "/"); base != "" {
		path = base + path
	}
	to.RawPath, to.RawQuery = path, query
	if to.Path, _ = url.PathUnescape(path); to.EscapedPath() != path { // an escape that package url would not read
		to.Path, to.RawPath = path, ""
	}
	return &to
}

// contains reports whether path stays below that of u, which may be one of many
// that are behind the same credentials. There are servers that decode what they
// have decoded, that read no further than a NUL byte, and for which a ; ends a
// part of a path.
func (u *upstream) contains(path string) bool {
	if strings.Trim(u.url.Path, "/") == "" {
		return true
	}
	for n := range maxEscapes {
		name, err := url.PathUnescape(path)
		switch {
		case err != nil:
			return n > 0 // nobody can decode it once more
		case slices.ContainsFunc(strings.FieldsFunc(name, isSlash), isDots):
			return false
		case name == path:
			return true
		}
		path = name
	}
	return false
}

// maxEscapes is how often a path may be escaped.
const maxEscapes = 4

func isDots(part string) bool {
	if end := strings.IndexAny(part, ";\x00"); end >= 0 {
		part = part[:end]
	}
	return part == "." || part == ".."
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

// upstream finds where to send requests for a port.
func (b *backend) upstream(ctx context.Context, port int) (*upstream, error) {
	b.of.mu.Lock()
	sb, up := b.sb, b.ups[port]
	b.of.mu.Unlock()
	if _, ok := As[Dialer](sb); ok {
		return &upstream{url: &url.URL{Scheme: "http", Host: net.JoinHostPort("localhost", strconv.Itoa(port))}}, nil
	}
	if up != nil && time.Now().Before(up.until) {
		return up, nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.of.opts.HeaderTimeout)
	defer cancel()
	ep, err := bounded(ctx, func() (*Endpoint, error) { return GetEndpoint(ctx, sb, port) })
	if err != nil {
		return nil, err
	}
	if ep == nil {
		return nil, &Error{Op: "proxy", ID: b.id, Err: errNothing}
	}
	u, err := url.Parse(ep.URL)
	if err != nil || u.Host == "" {
		return nil, &Error{Op: "proxy", ID: b.id, Kind: ErrUnavailable} // the URL may hold a credential
	}
	up = &upstream{url: u, header: ep.Header, until: time.Now().Add(time.Minute)}
	if !ep.Expires.IsZero() && ep.Expires.Before(up.until) {
		up.until = ep.Expires
	}
	b.of.mu.Lock()
	b.ups[port] = up // at most 65535 of them
	b.of.mu.Unlock()
	return up, nil
}

// dialError says that there was no connection to send anything on.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// dial connects for the transport, which lets connecting outlive the request
// that wanted it.
func (b *backend) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	bs := b.of
	bs.mu.Lock()
	if bs.closed {
		bs.mu.Unlock()
		return nil, &dialError{net.ErrClosed}
	}
	bs.dials.Add(1)
	sb := b.sb
	bs.mu.Unlock()
	defer bs.dials.Done()
	ctx, cancel := context.WithTimeout(ctx, bs.opts.HeaderTimeout)
	defer cancel()
	defer context.AfterFunc(bs.ctx, cancel)()

	conn, err := bounded(ctx, func() (net.Conn, error) { return connect(ctx, sb, network, addr) })
	if err != nil {
		return nil, &dialError{err}
	}
	return &idleConn{Conn: conn, idle: bs.opts.IdleTimeout}, nil
}

// connect goes into the sandbox if it can. Programs listen on either loopback
// address; which one is not for the client to know.
func connect(ctx context.Context, sb Sandbox, network, addr string) (net.Conn, error) {
	if _, ok := As[Dialer](sb); !ok {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	conn, err := Dial(ctx, sb, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err == nil || ctx.Err() != nil || isGone(err) {
		return conn, err
	}
	if conn, err6 := Dial(ctx, sb, "tcp", net.JoinHostPort("::1", port)); err6 == nil {
		return conn, nil
	}
	return nil, err
}
