package runlooptest

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/duplex"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	tunnelAuthHeader = "X-Runloop-Tunnel-Authorization"
	tunnelPath       = "/tunnel/" // followed by <port>-<key> and the path in the devbox
	ptyPort          = 13         // leads to terminals
	wakeAfter        = "5"        // seconds that a client is told to wait for a devbox to wake
)

// serveTunnel answers requests through tunnels and reports whether this is one. A
// tunnel is named by the host, {port}-{key}.tunnel.<whatever>, or for clients that
// cannot resolve such names by the path, /tunnel/{port}-{key}/<path>.
func (e *Emulator) serveTunnel(w http.ResponseWriter, r *http.Request) bool {
	label, rest, _ := strings.Cut(r.Host, ".")
	if strings.HasPrefix(rest, "tunnel.") {
		e.tunnelTo(w, r, label)
		return true
	}
	if after, ok := strings.CutPrefix(r.URL.EscapedPath(), tunnelPath); ok {
		label, inner, _ := strings.Cut(after, "/")
		inside := r.Clone(r.Context())
		u, err := url.Parse("/" + inner)
		if err != nil {
			http.Error(w, "malformed path", http.StatusBadRequest)
			return true
		}
		inside.URL.Path, inside.URL.RawPath = u.Path, u.RawPath
		e.tunnelTo(w, inside, label)
		return true
	}
	return false
}

// tunnelTo answers a request to what {port}-{key} names.
func (e *Emulator) tunnelTo(w http.ResponseWriter, r *http.Request, label string) {
	number, key, _ := strings.Cut(label, "-")
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil || port == 0 {
		http.Error(w, "a tunnel is named {port}-{key}", http.StatusNotFound)
		return
	}
	if port == ptyPort && e.knowsPTYKey(key) {
		e.serveAPI(w, r) // which has the paths of terminals, with keys of their own
		return
	}
	sb, err := e.enterTunnel(r, key)
	if err != nil {
		api := asAPIError(err)
		for name, values := range api.header {
			w.Header()[name] = values
		}
		http.Error(w, api.message, api.status)
		return
	}
	e.proxy(w, r, sb, int(port))
}

// enterTunnel finds the sandbox behind a tunnel and checks whether the request may
// get to it.
func (e *Emulator) enterTunnel(r *http.Request, key string) (compute.Sandbox, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d := e.behindTunnel(key)
	if d == nil {
		return nil, fail(http.StatusNotFound, "no such tunnel")
	}
	t := &d.tunnel.view
	if t.AuthMode == runloopapi.TunnelAuthenticated && !authorized(r, t.AuthToken) {
		return nil, fail(http.StatusUnauthorized, "the tunnel wants its token, as a bearer, in %s or Authorization", tunnelAuthHeader)
	}
	switch {
	case d.status == runloopapi.DevboxRunning:
		if t.HTTPKeepAlive {
			e.touch(d)
		}
		return d.sb, nil
	case !t.WakeOnHTTP || d.status.Final():
		return nil, fail(http.StatusBadGateway, "the devbox is %s", d.status)
	case d.status == runloopapi.DevboxSuspended:
		if err := e.resume(d); err != nil {
			return nil, err
		}
	}
	return nil, &apiError{status: http.StatusServiceUnavailable, message: "the devbox is waking up",
		header: http.Header{"Retry-After": {wakeAfter}}}
}

// behindTunnel returns the devbox that has a tunnel of that key, or nil. e.mu is
// held.
func (e *Emulator) behindTunnel(key string) *devbox {
	for _, d := range e.devboxes.newest() {
		if d.tunnel != nil && subtle.ConstantTimeCompare([]byte(d.tunnel.view.TunnelKey), []byte(key)) == 1 {
			return d
		}
	}
	return nil
}

// authorized checks the token of a tunnel, and takes it out of the request: it is
// not for what is in the devbox.
func authorized(r *http.Request, token string) bool {
	for _, name := range []string{tunnelAuthHeader, "Authorization"} {
		given, ok := strings.CutPrefix(r.Header.Get(name), "Bearer ")
		if name == tunnelAuthHeader && !ok {
			given = r.Header.Get(name)
		}
		if subtle.ConstantTimeCompare([]byte(given), []byte(token)) == 1 {
			r.Header.Del(name)
			return true
		}
	}
	return false
}

// proxy passes a request on to a port of a sandbox. Answers are passed on as they
// come, and so are connections that change their protocol.
func (e *Emulator) proxy(w http.ResponseWriter, r *http.Request, sb compute.Sandbox, port int) {
	target := &url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	transport := &http.Transport{DisableKeepAlives: true}
	if _, ok := compute.As[compute.Dialer](sb); ok {
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return compute.Dial(ctx, sb, network, address)
		}
	} else if u, err := e.endpoint(r, sb, port); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	} else {
		target = u
	}
	p := &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(target)
			pr.Out.Host = pr.In.Host
			pr.SetXForwarded()
		},
		Transport:     transport,
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, fmt.Sprintf("port %d of the devbox does not answer: %v", port, err), http.StatusBadGateway)
		},
		ErrorLog: discardLog,
	}
	duplex.Serve(p, w, r)
}

// endpoint returns the backend's own URL of a port.
func (e *Emulator) endpoint(r *http.Request, sb compute.Sandbox, port int) (*url.URL, error) {
	ep, err := compute.GetEndpoint(r.Context(), sb, port)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(ep.URL)
	if err != nil {
		return nil, errors.New("the backend's URL of the port is malformed")
	}
	for name, values := range ep.Header {
		r.Header[name] = values
	}
	return u, nil
}
