package runlooptest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/computekit/compute/internal/duplex"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

var proxyMethods = []string{
	http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

func (e *Emulator) routeGatewayProxy() {
	rt := route{op: "gateway.request", open: true, stream: true, do: e.passOn}
	for _, method := range proxyMethods {
		e.add(method+" "+gatewayPath, rt)
		e.add(method+" "+gatewayPath+"/{rest...}", rt)
	}
}

// tokenOf returns the token of a request: a bearer, or one half of what basic
// authentication has.
func tokenOf(r *http.Request, prefix string) string {
	if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return t
	}
	user, password, _ := r.BasicAuth()
	if strings.HasPrefix(user, prefix) {
		return user
	}
	return password
}

// gatewayToken finds the token of a request: in Authorization, or else in any
// header, because only the token tells which header its configuration names.
func (e *Emulator) gatewayToken(r *http.Request) (grant, bool) {
	if g, ok := grantOf(e.signer, tokenOf(r, prefixGatewayToken), prefixGatewayToken, prefixGateway); ok {
		return g, true
	}
	for _, values := range r.Header {
		for _, v := range values {
			if g, ok := grantOf(e.signer, v, prefixGatewayToken, prefixGateway); ok {
				return g, true
			}
		}
	}
	return grant{}, false
}

// passOn passes a request of a devbox on to the endpoint of a gateway
// configuration, with the secret in place of the token.
func (e *Emulator) passOn(c *call) error {
	up, err := e.gatewayUpstream(c.r)
	if err != nil {
		return err
	}
	rest := strings.TrimPrefix(c.r.URL.EscapedPath(), gatewayPath)
	e.proxyTo(c.w, c.r, up, rest, nil)
	return nil
}

func (e *Emulator) gatewayUpstream(r *http.Request) (*upstream, error) {
	g, ok := e.gatewayToken(r)
	if !ok {
		return nil, errToken
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.admit(g)
	if err != nil {
		return nil, err
	}
	conf, err := e.gateways.get("gateway config", g.config)
	if err != nil {
		return nil, errToken
	}
	headers, err := e.customHeaders(conf.view.CustomHeaders)
	if err != nil {
		return nil, err
	}
	return &upstream{endpoint: conf.view.Endpoint, auth: conf.view.AuthMechanism, secret: s.value, headers: headers}, nil
}

// apply puts the secret and the custom headers into a request.
func (u *upstream) apply(r *http.Request) error {
	for name, values := range u.headers {
		r.Header[name] = values
	}
	name, value := "Authorization", "Bearer "+u.secret
	switch u.auth.Type {
	case runloopapi.AuthHeader:
		name, value = u.auth.Key, u.secret
	case runloopapi.AuthBasic:
		value = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.secret)) // "user:password"
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		return fail(http.StatusBadGateway, "the value of the secret cannot be in a header")
	}
	r.Header.Set(name, value)
	return nil
}

// proxyTo passes a request on and its answer back, as they come. rest, escaped, is
// added to the endpoint's path. modify, if set, may change the answer.
func (e *Emulator) proxyTo(w http.ResponseWriter, r *http.Request, up *upstream, rest string, modify func(*http.Response) error) {
	target, err := url.Parse(strings.TrimSuffix(up.endpoint, "/") + rest)
	if err != nil {
		http.Error(w, "malformed path", http.StatusBadRequest)
		return
	}
	out := r.Clone(r.Context())
	for name, values := range out.Header { // no token leaves, wherever it was
		for _, v := range values {
			if strings.Contains(v, prefixGatewayToken) || strings.Contains(v, prefixMCPToken) {
				out.Header.Del(name)
			}
		}
	}
	out.Header.Del("Authorization")
	if err := up.apply(out); err != nil {
		http.Error(w, err.Error(), asAPIError(err).status)
		return
	}
	p := &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			query := pr.In.URL.RawQuery
			if target.RawQuery != "" && query != "" {
				query = "&" + query
			}
			pr.Out.URL.Scheme, pr.Out.URL.Host, pr.Out.Host = target.Scheme, target.Host, target.Host
			pr.Out.URL.Path, pr.Out.URL.RawPath, pr.Out.URL.RawQuery = target.Path, target.RawPath, target.RawQuery+query
		},
		Transport:      e.transport,
		FlushInterval:  -1,
		ModifyResponse: modify,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, fmt.Sprintf("the endpoint does not answer: %v", err), http.StatusBadGateway)
		},
		ErrorLog: discardLog,
	}
	duplex.Serve(p, w, out)
}

// newTransport returns what requests of gateways are sent with. It trusts the
// emulator's own certificate too: an endpoint may be the emulator.
func (e *Emulator) newTransport() (*http.Transport, error) {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	if !e.opts.tls {
		return t, nil
	}
	cert, err := e.certificate()
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AddCert(cert.Leaf)
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}
