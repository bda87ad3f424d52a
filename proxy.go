package compute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// ProxyRequest is what a [Proxy] asks its Authorize function about.
type ProxyRequest struct {
	Owner     string // who asks: ProxyOptions.Owner's answer or, of a signed link, whom it was made for
	SandboxID string
	Port      int
	Link      bool // the request came by a signed link that has not expired
}

// ProxyOptions configures [NewProxy].
type ProxyOptions struct {
	// URL is where the proxy is reached from outside. With a * for its first
	// label, as in "https://*.example.net", each port of a sandbox has a host
	// name, https://3000-ID.example.net. Without, as in
	// "https://example.net/p/", it has a path, https://example.net/p/ID/3000/.
	//
	// A domain that nothing else is served from is the safe choice, best one on
	// the public suffix list: pages of a sandbox can set cookies for the parent
	// domain by script. See OwnOrigin for paths.
	URL string

	// Authorize decides about every request, also those by signed links. An
	// error refuses it: the client gets the error's [StatusCode], or 403 if it
	// has none, and not its text. There is no default.
	Authorize func(r *http.Request, req *ProxyRequest) error

	// Owner says who makes a request. An error refuses it like Authorize's. It
	// is not asked about requests by signed links. Nil makes everybody "".
	Owner func(r *http.Request) (string, error)

	// OwnerKey is the key of the sandbox metadata that holds its owner: the
	// constant [OwnerKey] for sandboxes of a handler. A sandbox with another
	// owner than the request's is answered as one that does not exist. Empty
	// leaves the question to Authorize.
	OwnerKey string

	// LinkKey signs links; it has at least 32 random bytes. Nil is no links.
	LinkKey []byte

	// Ports says which ports are served; nil is all.
	Ports func(port int) bool

	// Forward names request headers that sandboxes get as they came. Without
	// it they get no Authorization, no Referer from elsewhere, nothing of
	// Forwarded, X-Forwarded-* and the like, their own name for Host, and only
	// the cookies that they set themselves.
	Forward []string

	// CrossOrigin says from which other origins browsers may send what is not
	// a GET or HEAD, and open WebSockets; nil is none.
	CrossOrigin *http.CrossOriginProtection

	// OwnOrigin says of a URL with a path that nothing else is served from its
	// origin, and that sandboxes may meddle with one another's pages there.
	// Otherwise browsers are told to keep each page in an origin of nobody's,
	// where it can show things and not much else.
	OwnOrigin bool

	// MaxConns bounds the requests and upgraded connections that a sandbox
	// serves at once, over all its ports; zero is 100. More are answered with
	// 429.
	MaxConns int

	// HeaderTimeout bounds Owner and Authorize together, finding the sandbox,
	// connecting to it, and waiting for the header of its answer, each; zero is
	// 1 min. A provider that does not look at its context has 10 s more.
	HeaderTimeout time.Duration

	// IdleTimeout ends connections on which no byte has passed; zero is 10 min.
	IdleTimeout time.Duration

	// Audit hears of every request once it is over, refused ones too, and once
	// of each: its Action is "proxy", and Err says why it was not passed on. It is
	// called from many goroutines and holds up nothing but its own request; its
	// context lasts a minute.
	Audit func(ctx context.Context, rec AuditRecord)

	// Logger receives why sandboxes could not be reached. Nil discards.
	Logger *slog.Logger
}

// Proxy serves the ports of sandboxes over HTTP, for browsers and others:
// requests, streams, WebSocket and other upgrades. It connects with [Dial]
// where the sandbox can be dialed, and else goes through [GetEndpoint]. It
// speaks HTTP/1.1 to the sandbox, and whatever its server speaks to clients.
// gRPC, which comes in HTTP/2, goes on in HTTP/2, without TLS where the
// connection is dialed.
//
// It is safe for concurrent use. Close it when its server has shut down.
type Proxy struct {
	opts     ProxyOptions
	base     *proxyBase
	backends *backends
	hooks    hooks
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	work     sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// NewProxy returns a proxy to the sandboxes of c. It panics without an
// Authorize function; the error for bad options matches [ErrInvalid].
//
// Mount it where opts.URL leads, without [http.StripPrefix]. The server's own
// ReadHeaderTimeout guards against clients that are slow to ask; leave its
// ReadTimeout and WriteTimeout zero, which would end streams.
func NewProxy(c Compute, opts ProxyOptions) (*Proxy, error) {
	if opts.Authorize == nil {
		panic("compute: NewProxy without ProxyOptions.Authorize")
	}
	base, err := parseProxyBase(opts.URL)
	switch {
	case err != nil:
		return nil, &Error{Op: "new proxy", Kind: ErrInvalid, Err: err}
	case opts.LinkKey != nil && len(opts.LinkKey) < minLinkKey:
		return nil, &Error{Op: "new proxy", Kind: ErrInvalid, Err: errors.New("LinkKey has less than 32 bytes")}
	case opts.OwnerKey != "" && opts.Owner == nil:
		return nil, &Error{Op: "new proxy", Kind: ErrInvalid, Err: errors.New("OwnerKey without Owner")}
	case opts.MaxConns < 0 || opts.HeaderTimeout < 0 || opts.IdleTimeout < 0:
		return nil, &Error{Op: "new proxy", Kind: ErrInvalid, Err: errors.New("negative limit")}
	}
	opts.MaxConns = cmp.Or(opts.MaxConns, 100)
	opts.HeaderTimeout = cmp.Or(opts.HeaderTimeout, time.Minute)
	opts.IdleTimeout = cmp.Or(opts.IdleTimeout, 10*time.Minute)
	if opts.CrossOrigin == nil {
		opts.CrossOrigin = http.NewCrossOriginProtection()
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Proxy{opts: opts, base: base, backends: newBackends(c, &opts)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// Close ends what is under way, waits for it, and closes the connections to
// sandboxes. Requests after it are answered with 503.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.work.Wait()
	p.backends.close()
	return nil
}

// enter counts a request in, unless the proxy is closed.
func (p *Proxy) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.work.Add(1)
	}
	return !p.closed
}

// ServeHTTP implements [http.Handler].
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.enter() {
		answer(w, http.StatusServiceUnavailable, "The proxy is shutting down.")
		return
	}
	defer p.work.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	r = r.WithContext(ctx)

	t, ok := p.base.parse(r)
	if p.opts.Audit != nil {
		rec := &AuditRecord{Time: time.Now(), Action: actionProxy, SandboxID: t.sandbox, Port: t.port, Remote: r.RemoteAddr}
		out := &statusWriter{ResponseWriter: w}
		w, r = out, r.WithContext(context.WithValue(ctx, recordKey{}, rec))
		defer func() { p.audit(rec, out) }()
	}
	switch {
	case !ok:
		answer(w, http.StatusNotFound, notServed)
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		answer(w, http.StatusMethodNotAllowed, "The method is not supported.")
	case t.bare:
		p.onPort(w, r, t, func() { redirect(w, p.base.url(t, "/", r.URL.RawQuery)) })
	default:
		p.onPort(w, r, t, func() { p.serve(w, r, t) })
	}
}

// onPort serves a request if its port is one that is served.
func (p *Proxy) onPort(w http.ResponseWriter, r *http.Request, t target, serve func()) {
	served := true
	err := protect(func() error {
		served = p.opts.Ports == nil || p.opts.Ports(t.port)
		return nil
	})
	switch {
	case err != nil:
		p.refuse(r.Context(), w, t, err, time.Now())
	case !served:
		answer(w, http.StatusForbidden, "This port is not served.")
	default:
		serve()
	}
}

const notServed = "There is nothing here." // the same for all that a client may not know

// serve answers a request to a port: first who it is from, then whether they
// may, and only then whether there is such a sandbox.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, t target) {
	started := time.Now()
	token, query, given := cutLink(r.URL.RawQuery)
	req := &ProxyRequest{SandboxID: t.sandbox, Port: t.port}
	if given {
		l, ok := p.verify(token, t)
		if !ok {
			answer(w, http.StatusForbidden, "This link is not valid, or has expired.")
			return
		}
		if navigates(r) {
			p.exchange(w, r, t, token, l, query)
			return
		}
		req.Owner, req.Link = string(l.Owner), true
	} else if l, ok := p.linkCookie(r, t); ok {
		req.Owner, req.Link = string(l.Owner), true
	}
	req, err := p.authorize(r, *req)
	if rec := recordOf(r.Context()); rec != nil {
		rec.Owner, rec.Link = req.Owner, req.Link
	}
	if err != nil {
		p.refuse(r.Context(), w, t, err, started)
		return
	}
	b, err := p.backends.get(r.Context(), t, req.Owner)
	if err != nil {
		p.refuse(r.Context(), w, t, err, started)
		return
	}
	defer b.leave()
	p.forward(w, r, t, b, query)
}

// errUndecided is of requests about which the application has not decided in
// time.
var errUndecided = errors.New("not authorized in time")

// authorize asks the application, and returns what it has asked about.
func (p *Proxy) authorize(r *http.Request, asked ProxyRequest) (*ProxyRequest, error) {
	before := asked
	if err := p.checkOrigin(r); err != nil {
		return &before, err
	}
	decided, err := p.hooks.ask(r, p.opts.HeaderTimeout, func(r *http.Request) error {
		if p.opts.Owner != nil && !asked.Link {
			owner, err := p.opts.Owner(r)
			if err != nil {
				return &refusedError{err}
			}
			asked.Owner = owner
		}
		if err := p.opts.Authorize(r, &asked); err != nil {
			return &refusedError{err}
		}
		return nil
	})
	switch {
	case errors.Is(err, errNoAnswer):
		return &before, &refusedError{err}
	case decided:
		return &asked, err
	case r.Context().Err() != nil:
		return &before, r.Context().Err()
	}
	return &before, fmt.Errorf("%w: %w", errUndecided, err)
}

// checkOrigin refuses what pages of other origins send with their visitor's
// cookies. An upgrade is a GET that can do as much as a POST.
func (p *Proxy) checkOrigin(r *http.Request) error {
	check := r
	if r.Header.Get("Upgrade") != "" {
		check = r.Clone(r.Context())
		check.Method = http.MethodPost
	}
	if err := p.opts.CrossOrigin.Check(check); err != nil {
		return &refusedError{ErrForbidden}
	}
	return nil
}

// refusedError is the application's no.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }
