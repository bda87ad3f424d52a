package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"time"

	"github.com/computekit/compute/internal/duplex"
)

const (
	headerLimit     = 64 << 10
	headerPatience  = 15 * time.Second
	answerPatience  = 10 * time.Minute // for the header of an answer
	keepAlive       = time.Minute
	idleConnections = 32
)

// A proxy is an HTTP proxy: requests with the whole URL, and CONNECT.
type proxy struct {
	d       *dialer
	forward *httputil.ReverseProxy
}

func newProxy(d *dialer) *http.Server {
	silent := log.New(io.Discard, "", 0)
	p := &proxy{d: d}
	p.forward = &httputil.ReverseProxy{
		Rewrite: rewrite, FlushInterval: -1, ErrorLog: silent, ErrorHandler: refuse,
		Transport: &http.Transport{
			DialContext: p.dial, DisableCompression: true, MaxIdleConns: idleConnections, MaxIdleConnsPerHost: 4,
			IdleConnTimeout: keepAlive / 2, ResponseHeaderTimeout: answerPatience, MaxResponseHeaderBytes: 4 * headerLimit,
		},
	}
	return &http.Server{Handler: p, ReadHeaderTimeout: headerPatience, IdleTimeout: keepAlive,
		MaxHeaderBytes: headerLimit, ErrorLog: silent}
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		p.connect(w, r)
		return
	}
	if r.URL.Scheme != "http" || r.URL.Host == "" {
		http.Error(w, "this is the proxy of a sandbox: ask it for http://host/path, or to CONNECT", http.StatusBadRequest)
		return
	}
	t, err := parseTarget(withPort(r.URL.Host, r.URL.Port(), "80"))
	if err != nil {
		http.Error(w, "the URL's host is not one", http.StatusBadRequest)
		return
	}
	policy, _ := p.d.now()
	if err := p.d.judge(policy, t); err != nil {
		refuse(w, r, err)
		return
	}
	duplex.Serve(p.forward, w, r)
}

func withPort(host, port, usual string) string {
	if port != "" {
		return host
	}
	return host + ":" + usual
}

// rewrite leaves the request as it is, but for what concerns the proxy. That
// the package takes away headers of a reverse proxy is undone.
func rewrite(r *httputil.ProxyRequest) {
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := r.In.Header[h]; ok {
			r.Out.Header[h] = v
		}
	}
	r.Out.URL, r.Out.Host = r.In.URL, r.In.URL.Host
	r.Out.Header.Del("Proxy-Authorization")
	r.Out.Header.Del("Proxy-Connection")
}

func (p *proxy) dial(ctx context.Context, _, address string) (net.Conn, error) {
	t, err := parseTarget(address)
	if err != nil {
		return nil, err
	}
	return p.d.dial(ctx, t)
}

// connect makes a tunnel.
func (p *proxy) connect(w http.ResponseWriter, r *http.Request) {
	t, err := parseTarget(r.Host)
	if err != nil {
		http.Error(w, "CONNECT wants host:port", http.StatusBadRequest)
		return
	}
	far, err := p.d.dial(r.Context(), t)
	if err != nil {
		refuse(w, r, err)
		return
	}
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = far.Close()
		return
	}
	_ = near.SetDeadline(time.Time{})
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err == nil {
		// What the client has sent already, without waiting for the answer.
		_, err = io.CopyN(far, buffered, int64(buffered.Reader.Buffered()))
		if err == nil {
			relay(near, far)
			return
		}
	}
	_ = near.Close()
	_ = far.Close()
}

// refuse tells the program why not.
func refuse(w http.ResponseWriter, _ *http.Request, err error) {
	status, why := http.StatusBadGateway, "destination_unavailable"
	denied, ok := errors.AsType[*refusedError](err)
	switch {
	case ok:
		status, why = http.StatusForbidden, "http_request_denied"
		err = denied
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		status, why = http.StatusGatewayTimeout, "connection_timeout"
	case noSuchName(err):
		why = "dns_error"
	}
	w.Header().Set("Proxy-Status", "compute; error="+why)
	http.Error(w, fmt.Sprintf("compute: %v", err), status)
}
