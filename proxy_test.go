package compute_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
	"github.com/computekit/compute/providers/stub"
)

// proxied is a proxy in front of sandbox sb, of owner ann, in which h listens
// on port 3000.
type proxied struct {
	sb     compute.Sandbox
	proxy  *compute.Proxy
	srv    *httptest.Server
	client *http.Client // whatever the host name, it goes to srv, and follows no redirect
}

func user(r *http.Request) (string, error) {
	if u := r.Header.Get("Authorization"); u != "" {
		return u, nil
	}
	return "", compute.ErrUnauthorized
}

func allowed(*http.Request, *compute.ProxyRequest) error { return nil }

// inSandbox makes a sandbox of the stub's with h on its port 3000.
func inSandbox(tb testing.TB, h http.Handler) (compute.Compute, compute.Sandbox) {
	tb.Helper()
	listening := make(chan struct{})
	c := stub.New(stub.Config{Programs: map[string]stub.Program{"serve": func(ctx context.Context, p *stub.Proc) int {
		ln, err := p.Listen(3000)
		if err != nil {
			return 1
		}
		srv := &http.Server{Handler: h, Protocols: new(http.Protocols)}
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
		defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
		close(listening)
		_ = srv.Serve(ln)
		return 0
	}}})
	tb.Cleanup(func() { assert.NoError(tb, c.Close()) })
	sb, err := c.CreateSandbox(tb.Context(), &compute.CreateSandboxOptions{Metadata: map[string]string{"user": "ann"}})
	require.NoError(tb, err)
	_, err = compute.Start(tb.Context(), sb, compute.Exec("serve"))
	require.NoError(tb, err)
	<-listening
	return c, sb
}

func newProxied(tb testing.TB, opts compute.ProxyOptions, h http.Handler, http2 bool) *proxied {
	tb.Helper()
	before := goleak.IgnoreCurrent()
	tb.Cleanup(func() { goleak.VerifyNone(tb, before) })
	c, sb := inSandbox(tb, h)
	return inFrontOf(tb, opts, c, sb, http2)
}

func inFrontOf(tb testing.TB, opts compute.ProxyOptions, c compute.Compute, sb compute.Sandbox, http2 bool) *proxied {
	tb.Helper()
	if opts.URL == "" {
		opts.URL = "http://*.example.net"
	}
	if opts.Authorize == nil {
		opts.Authorize = allowed
	}
	p, err := compute.NewProxy(c, opts)
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, p.Close()) })
	srv := httptest.NewUnstartedServer(p)
	if srv.EnableHTTP2 = http2; http2 {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	tb.Cleanup(srv.Close)
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", srv.Listener.Addr().String())
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: http2, DisableCompression: true,
	}
	tb.Cleanup(tr.CloseIdleConnections)
	client := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &proxied{sb, p, srv, client}
}

func (p *proxied) url(t testing.TB) string {
	t.Helper()
	u, err := p.proxy.URL(p.sb.ID(), 3000)
	require.NoError(t, err)
	return strings.TrimSuffix(u, "/")
}

// proxyReply is an answer without its body.
type proxyReply struct {
	StatusCode int
	Header     http.Header
}

// do makes a request with headers, as "Name: value", and reads the answer.
func (p *proxied) do(t testing.TB, method, url, body string, headers ...string) (proxyReply, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	resp, err := p.client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return proxyReply{resp.StatusCode, resp.Header}, string(data)
}

// TestProxyPasses looks at what goes both ways, in every kind of URL and
// protocol.
func TestProxyPasses(t *testing.T) {
	for name, base := range map[string]string{"host": "://*.example.net", "path": "://example.net:8443/p"} {
		for proto, http2 := range map[string]bool{"http": false, "https": true} {
			t.Run(name+"/"+proto, func(t *testing.T) {
				step := make(chan struct{})
				mux := http.NewServeMux()
				mux.HandleFunc("/echo/", func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Trailer", "X-Sum")
					body, _ := io.ReadAll(r.Body)
					fmt.Fprintf(w, "%s %s %s: %s", r.Method, r.RequestURI, r.Host, body)
					w.Header().Set("X-Sum", fmt.Sprintf("%d %s", len(body), r.Trailer.Get("X-Told")))
				})
				mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
					for range 3 {
						_, _ = io.WriteString(w, "tick\n")
						_ = http.NewResponseController(w).Flush()
						<-step
					}
				})
				mux.HandleFunc("/teapot", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
				p := newProxied(t, compute.ProxyOptions{URL: proto + base}, mux, http2)

				body := strings.Repeat("\x00\xff", 100<<10)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url(t)+"/echo/a%2Fb;c?x=1;2&y=%zz", io.MultiReader(strings.NewReader(body)))
				require.NoError(t, err)
				req.Trailer = http.Header{"X-Told": {"bytes"}}
				resp, err := p.client.Do(req)
				require.NoError(t, err)
				defer resp.Body.Close()
				data, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				head, got, _ := strings.Cut(string(data), ": ")
				require.Equal(t, "POST /echo/a%2Fb;c?x=1;2&y=%zz localhost:3000", head)
				require.Equal(t, sha256.Sum256([]byte(body)), sha256.Sum256([]byte(got))) // too long to print
				require.Equal(t, "204800 bytes", resp.Trailer.Get("X-Sum"))
				require.Equal(t, http2, resp.ProtoMajor == 2)

				teapot, _ := p.do(t, "GET", p.url(t)+"/teapot", "")
				require.Equal(t, http.StatusTeapot, teapot.StatusCode)

				req, _ = http.NewRequestWithContext(t.Context(), http.MethodGet, p.url(t)+"/stream", nil)
				resp, err = p.client.Do(req)
				require.NoError(t, err)
				defer resp.Body.Close()
				lines := bufio.NewReader(resp.Body)
				for range 3 { // each comes before the next is written
					line, err := lines.ReadString('\n')
					require.NoError(t, err)
					require.Equal(t, "tick\n", line)
					step <- struct{}{}
				}
			})
		}
	}
}

// A call of gRPC is HTTP/2 to its end: both sides stream, and the outcome is in
// the trailer.
func TestProxyGRPC(t *testing.T) {
	p := newProxied(t, compute.ProxyOptions{URL: "https://*.example.net"}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") == "text/plain" {
			assert.Equal(t, "HTTP/1.1", r.Proto)
			return
		}
		assert.Equal(t, []any{"HTTP/2.0", "trailers"}, []any{r.Proto, r.Header.Get("Te")})
		w.Header().Set("Content-Type", "application/grpc")
		rc := http.NewResponseController(w)
		assert.NoError(t, rc.Flush())
		for buf := make([]byte, 5); ; {
			if _, err := io.ReadFull(r.Body, buf); err != nil {
				assert.Equal(t, io.EOF, err)
				break
			}
			_, _ = w.Write(buf)
			_ = rc.Flush()
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "7")
	}), true)
	for _, kind := range []string{"application/grpc", "application/grpc+proto"} {
		body, calls := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url(t)+"/service/Method", body)
		require.NoError(t, err)
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Te", "trailers")
		resp, err := p.client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		for _, message := range []string{"first", "secnd"} { // each is answered before the next is sent
			_, err = io.WriteString(calls, message)
			require.NoError(t, err)
			got := make([]byte, 5)
			_, err = io.ReadFull(resp.Body, got)
			require.NoError(t, err)
			require.Equal(t, message, string(got))
		}
		require.NoError(t, calls.Close())
		rest, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, "7", resp.Trailer.Get("Grpc-Status"))
	}
	resp, _ := p.do(t, http.MethodPost, p.url(t), "", "Content-Type: text/plain")
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// TestProxyWebSocket also has the program compare Origin with Host, as it does
// by default.
// An answer may begin before the request has ended, which goes on.
func TestProxyAnswersEarly(t *testing.T) {
	for proto, http2 := range map[string]bool{"http": false, "https": true} {
		t.Run(proto, func(t *testing.T) {
			p := newProxied(t, compute.ProxyOptions{URL: proto + "://*.example.net"}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				assert.NoError(t, rc.EnableFullDuplex())
				_, _ = io.WriteString(w, "early\n")
				assert.NoError(t, rc.Flush())
				_, err := io.Copy(w, r.Body)
				assert.NoError(t, err)
			}), http2)
			body, more := io.Pipe()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url(t), body)
			require.NoError(t, err)
			req.ContentLength = 400 << 10
			resp, err := p.client.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			answer := bufio.NewReader(resp.Body)
			line, err := answer.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "early\n", line)
			late := strings.Repeat("late", 100<<10)
			_, err = io.WriteString(more, late)
			require.NoError(t, err)
			require.NoError(t, more.Close())
			data, err := io.ReadAll(answer)
			require.NoError(t, err)
			require.Equal(t, sha256.Sum256([]byte(late)), sha256.Sum256(data))
		})
	}
}

func TestProxyWebSocket(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		for {
			kind, data, err := conn.Read(r.Context())
			if err != nil || conn.Write(r.Context(), kind, data) != nil {
				return
			}
		}
	})
	p := newProxied(t, compute.ProxyOptions{}, echo, false)
	dial := func(origin string) (*websocket.Conn, int, error) {
		conn, resp, err := websocket.Dial(t.Context(), p.url(t)+"/ws", &websocket.DialOptions{ //nolint:bodyclose // Dial closes it
			HTTPClient: p.client, HTTPHeader: http.Header{"Origin": {origin}}})
		if resp == nil {
			return nil, 0, err
		}
		return conn, resp.StatusCode, err
	}
	conn, _, err := dial(p.url(t))
	require.NoError(t, err)
	for _, msg := range []string{"", "hi", strings.Repeat("x", 20<<10)} {
		require.NoError(t, conn.Write(t.Context(), websocket.MessageBinary, []byte(msg)))
		_, data, err := conn.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, msg, string(data))
	}
	require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))

	_, status, err := dial("http://evil.example.net")
	require.Error(t, err)
	require.Equal(t, http.StatusForbidden, status)

	// Close ends what is open.
	conn, _, err = dial(p.url(t))
	require.NoError(t, err)
	require.NoError(t, p.proxy.Close())
	_, _, err = conn.Read(t.Context())
	require.Error(t, err)
	_ = conn.CloseNow()
	resp, _ := p.do(t, "GET", p.url(t)+"/", "")
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
}

// TestProxyRefuses lists what is sent back, and that what is another's looks
// like what is not there.
func TestProxyRefuses(t *testing.T) {
	p := newProxied(t, compute.ProxyOptions{
		Owner: user, OwnerKey: "user", Ports: func(port int) bool { return port != 22 },
		LinkKey: []byte(strings.Repeat("k", 32)),
		Authorize: func(r *http.Request, req *compute.ProxyRequest) error {
			switch {
			case req.Owner == "banned":
				return errors.New("s3cret")
			case req.Owner == "bug":
				panic("s3cret")
			case r.URL.Path == "/admin":
				return compute.ErrNotFound
			case req.SandboxID == "" || req.Port == 0 || req.Link:
				return compute.ErrInvalid
			}
			return nil
		},
	}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }), false)
	at := func(port int, id string) string {
		u, err := p.proxy.URL(id, port)
		require.NoError(t, err)
		return u
	}
	const nothing = "There is nothing here.\n"
	mine := at(3000, p.sb.ID())
	gone, err := p.sb.(*stub.Sandbox).Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, "ann", gone.Metadata["user"])
	for _, tt := range []struct {
		name, method, url string
		headers           []string
		status            int
		want              string
	}{
		{"mine", "GET", mine, []string{"Authorization: ann"}, 200, "hello"},
		{"nobody", "GET", mine, nil, 401, "Please sign in first.\n"},
		{"another's", "GET", mine, []string{"Authorization: bob"}, 404, nothing},
		{"nobody's", "GET", at(3000, "sbx_0009"), []string{"Authorization: bob"}, 404, nothing},
		{"hidden by Authorize", "GET", mine + "admin", []string{"Authorization: ann"}, 404, nothing},
		{"hostile ID", "GET", at(3000, "../\x00é"), []string{"Authorization: ann"}, 404, nothing},
		{"forbidden", "GET", mine, []string{"Authorization: banned"}, 403, "Refused.\n"},
		{"panic", "GET", mine, []string{"Authorization: bug"}, 500, "The request failed.\n"},
		{"port", "GET", at(22, p.sb.ID()), []string{"Authorization: ann"}, 403, "This port is not served.\n"},
		{"nobody listens", "GET", at(3001, p.sb.ID()), []string{"Authorization: ann"}, 502, "Nothing listens on port 3001 of the sandbox (yet).\n"},
		{"another domain", "GET", "http://3000-x.example.com/", []string{"Authorization: ann"}, 404, nothing},
		{"the domain itself", "GET", "http://example.net/", []string{"Authorization: ann"}, 404, nothing},
		{"IPv6", "GET", "http://[::1]:3000/", []string{"Authorization: ann"}, 404, nothing},
		{"trace", "TRACE", mine, []string{"Authorization: ann"}, 405, "The method is not supported.\n"},
		{"cross-site", "POST", mine, []string{"Authorization: ann", "Sec-Fetch-Site: same-site"}, 403, "Refused.\n"},
		{"other origin", "POST", mine, []string{"Authorization: ann", "Origin: http://80-b.example.net"}, 403, "Refused.\n"},
		{"own origin", "POST", mine, []string{"Authorization: ann", "Origin: " + strings.TrimSuffix(mine, "/")}, 200, "hello"},
		{"forged link", "GET", mine + "?compute-link=e30.e30", []string{"Authorization: ann"}, 403, "This link is not valid, or has expired.\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := p.do(t, tt.method, tt.url, "", tt.headers...)
			require.Equal(t, tt.status, resp.StatusCode, body)
			require.Equal(t, tt.want, body)
		})
	}
	require.NoError(t, p.sb.Destroy(t.Context()))
	resp, body := p.do(t, "GET", mine, "", "Authorization: ann")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	require.Equal(t, nothing, body)
}

// sees answers with the header that the program got, sorted.
var sees = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "Host: %s\n", r.Host)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if name != "User-Agent" && name != "Content-Length" {
			fmt.Fprintf(w, "%s: %s\n", name, strings.Join(r.Header[name], ", "))
		}
	}
})

func TestProxyRequestHeaders(t *testing.T) {
	sent := []string{"Host: 3000-ID.example.net", "Authorization: ann", "Cookie: sid=site; sandbox.sid=mine; compute-link=x; sandbox.q=\"a b\"",
		"Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-User: root", "X-Real-Ip: 1.2.3.4", "Cf-Connecting-Ip: 1.2.3.4",
		"Connection: X-Hop", "X-Hop: 1", "Proxy-Authorization: x", "Keep-Alive: 1", "X-App: kept", "Referer: https://site.example/token", "Origin: https://friend.example"}
	for _, tt := range []struct {
		name    string
		forward []string
		more    []string
		want    string
	}{
		{"default", nil, nil, "Host: localhost:3000\nCookie: sid=mine; q=\"a b\"\nOrigin: https://friend.example\nX-App: kept\n"},
		{"own referer", nil, []string{"Referer: http://3000-ID.example.net/a?compute-link=t&b"},
			"Host: localhost:3000\nCookie: sid=mine; q=\"a b\"\nOrigin: https://friend.example\nReferer: http://localhost:3000/a?b\nX-App: kept\n"},
		{"forward", []string{"authorization", "Cookie", "Host", "X-Forwarded-For"}, nil,
			"Host: 3000-ID.example.net\nAuthorization: ann\nCookie: sid=site; sandbox.sid=mine; sandbox.q=\"a b\"\n" +
				"Origin: https://friend.example\nX-App: kept\nX-Forwarded-For: 1.2.3.4\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newProxied(t, compute.ProxyOptions{Forward: tt.forward}, sees, false)
			host := strings.TrimPrefix(p.url(t), "http://")
			var headers []string
			for _, h := range append(tt.more, sent...) {
				if len(tt.more) == 0 || !strings.HasPrefix(h, "Referer: https") {
					headers = append(headers, strings.ReplaceAll(h, "3000-ID.example.net", host))
				}
			}
			_, body := p.do(t, "GET", p.url(t)+"/", "", headers...)
			require.Equal(t, tt.want, strings.ReplaceAll(body, host, "3000-ID.example.net"))
		})
	}
}

func TestProxyAnswerHeaders(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</early>")
		w.Header().Add("Set-Cookie", "early=1; Domain=example.net")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Set-Cookie")
		for _, c := range []string{"a=1; Domain=example.net; Path=/; HttpOnly", "b=2; Path=/sub; Max-Age=9", "compute-link=forged", "=nameless", "__Host-c=3; Secure; Path=/"} {
			w.Header().Add("Set-Cookie", c)
		}
		for _, name := range []string{"Clear-Site-Data", "Alt-Svc", "Service-Worker-Allowed", "Strict-Transport-Security", "Nel"} {
			w.Header().Set(name, "x")
		}
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusFound)
	})
	for name, tt := range map[string]struct {
		opts      compute.ProxyOptions
		cookies   []string
		csp       string
		locations map[string]string
	}{
		"host": {
			cookies:   []string{"sandbox.a=1; Path=/; HttpOnly", "sandbox.b=2; Path=/sub; Max-Age=9", "sandbox.__Host-c=3; Path=/; Secure"},
			locations: map[string]string{"/x?y": "/x?y", "x": "x", "http://localhost:3000/x?y#z": "ROOT/x?y#z", "http://127.0.0.1:3000//evil": "ROOT/evil", "http://[::1]:3000": "ROOT/", "https://other.example/": "https://other.example/", "http://localhost:1/": "http://localhost:1/"},
		},
		"path": {
			opts:      compute.ProxyOptions{URL: "http://example.net/p"},
			cookies:   []string{"sandbox.a=1; Path=PATH/; HttpOnly", "sandbox.b=2; Path=PATH/sub; Max-Age=9", "sandbox.__Host-c=3; Path=PATH/; Secure"},
			csp:       "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts",
			locations: map[string]string{"/x?y": "ROOT/x?y", "x": "x", "http://localhost:3000/x": "ROOT/x", "PATH/x": "PATH/x", "//other.example/x": "//other.example/x"},
		},
		"own origin, cookies as they are": {
			opts:    compute.ProxyOptions{URL: "http://example.net/p", OwnOrigin: true, Forward: []string{"Cookie"}},
			cookies: []string{"a=1; Path=PATH/; HttpOnly", "b=2; Path=PATH/sub; Max-Age=9", "__Host-c=3; Path=PATH/; Secure"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxied(t, tt.opts, h, false)
			path := strings.TrimPrefix(p.url(t), "http://example.net")
			fill := strings.NewReplacer("ROOT", p.url(t), "PATH", path)
			resp, _ := p.do(t, "GET", p.url(t)+"/?to=x", "")
			for i, c := range tt.cookies {
				tt.cookies[i] = fill.Replace(c)
			}
			require.Equal(t, tt.cookies, resp.Header["Set-Cookie"])
			require.Equal(t, tt.csp, resp.Header.Get("Content-Security-Policy"))
			for _, name := range []string{"Clear-Site-Data", "Alt-Svc", "Service-Worker-Allowed", "Strict-Transport-Security", "Nel"} {
				require.Empty(t, resp.Header.Get(name))
			}
			for to, want := range tt.locations {
				q := strings.NewReplacer("#", "%23", "&", "%26").Replace(fill.Replace(to))
				resp, _ := p.do(t, "GET", p.url(t)+"/?to="+q, "")
				require.Equal(t, fill.Replace(want), resp.Header.Get("Location"), to)
			}
		})
	}
}

// TestProxyLinks follows a link as a browser does, and as a program does, and
// tries it where it does not belong.
func TestProxyLinks(t *testing.T) {
	for name, base := range map[string]string{"host": "https://*.example.net", "path": "https://example.net/p/"} {
		t.Run(name, func(t *testing.T) {
			opts := compute.ProxyOptions{URL: base, LinkKey: []byte(strings.Repeat("k", 32)), Owner: user, OwnerKey: "user"}
			p := newProxied(t, opts, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RequestURI, r.Header["Cookie"]) }), true)
			link, err := p.proxy.Link("ann", p.sb.ID(), 3000, time.Hour)
			require.NoError(t, err)
			_, query, _ := strings.Cut(link, "?")

			resp, body := p.do(t, "POST", link+"&x=1", "")
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Equal(t, "/?x=1[]", body)

			resp, _ = p.do(t, "GET", p.url(t)+"//evil.example/?a&"+query+"&b", "", "Accept: text/html")
			require.Equal(t, http.StatusTemporaryRedirect, resp.StatusCode)
			require.Equal(t, p.url(t)+"//evil.example/?a&b", resp.Header.Get("Location"))
			require.Equal(t, "no-referrer", resp.Header.Get("Referrer-Policy"))
			cookies := (&http.Response{Header: resp.Header}).Cookies()
			require.Len(t, cookies, 1)
			c := cookies[0]
			require.True(t, c.HttpOnly && c.Secure && c.Domain == "" && c.SameSite == http.SameSiteLaxMode)
			require.Equal(t, strings.TrimPrefix(strings.TrimPrefix(link[:strings.Index(link, "?")], "https://example.net"), p.url(t)), c.Path)

			resp, body = p.do(t, "GET", p.url(t)+"/a", "", "Cookie: compute-link=old; compute-link="+c.Value)
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Equal(t, "/a[]", body)

			for name, try := range map[string]string{
				"another port": strings.Replace(link, "3000", "3001", 1),
				"cut":          link[:len(link)-1],
				"no signature": link[:strings.LastIndex(link, ".")],
				"empty":        p.url(t) + "/?compute-link=",
			} {
				resp, _ := p.do(t, "POST", try, "")
				require.Equal(t, http.StatusForbidden, resp.StatusCode, name)
			}
			short, err := p.proxy.Link("ann", p.sb.ID(), 3000, time.Nanosecond)
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				resp, _ := p.do(t, "POST", short, "")
				return resp.StatusCode == http.StatusForbidden
			}, 10*time.Second, 50*time.Millisecond, "a link never expires")
			bobs, err := p.proxy.Link("bob", p.sb.ID(), 3000, time.Hour)
			require.NoError(t, err)
			resp, _ = p.do(t, "POST", bobs, "")
			require.Equal(t, http.StatusNotFound, resp.StatusCode, "a link for who may not")
		})
	}
}

func TestProxyLimits(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/wait":
			entered <- struct{}{}
			<-release
		case "/silent":
			<-r.Context().Done()
		case "/stuck":
			_, _ = io.WriteString(w, "begun")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	})
	p := newProxied(t, compute.ProxyOptions{MaxConns: 1, HeaderTimeout: time.Second, IdleTimeout: 2 * time.Second}, h, false)
	done, base := make(chan int), p.url(t)
	go func() {
		resp, err := p.client.Get(base + "/wait")
		if err != nil {
			done <- 0
			return
		}
		_ = resp.Body.Close()
		done <- resp.StatusCode
	}()
	<-entered
	full, _ := p.do(t, "GET", p.url(t)+"/", "")
	require.Equal(t, http.StatusTooManyRequests, full.StatusCode)
	require.Equal(t, "1", full.Header.Get("Retry-After"))
	close(release)
	<-done
	silent, _ := p.do(t, "GET", p.url(t)+"/silent", "")
	require.Equal(t, http.StatusGatewayTimeout, silent.StatusCode)

	resp, err := p.client.Get(p.url(t) + "/stuck")
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.Equal(t, "begun", string(data))
	require.Error(t, err, "an answer that stopped must not look whole")
}

// undialable has URLs with credentials, and nothing to dial.
type undialable struct {
	compute.Compute
	url string
}

type undialableSandbox struct {
	compute.Sandbox
	url string
}

func (u undialable) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	sb, err := u.Compute.GetSandbox(ctx, id)
	return undialableSandbox{sb, u.url}, err
}

func (u undialableSandbox) Endpoint(context.Context, int) (*compute.Endpoint, error) {
	return &compute.Endpoint{URL: u.url + "/base/", Header: http.Header{"X-Tunnel-Token": {"t0ken"}}}, nil
}

func TestProxyEndpoint(t *testing.T) {
	tunnel := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://"+r.Host+"/next")
		fmt.Fprint(w, r.RequestURI, " ", r.Host, " ", r.Header["X-Tunnel-Token"])
	}))
	defer tunnel.Close()
	c, sb := inSandbox(t, http.NotFoundHandler())
	p := inFrontOf(t, compute.ProxyOptions{}, undialable{c, tunnel.URL}, sb, false)
	resp, body := p.do(t, "GET", p.url(t)+"/a%2Fb?c", "", "X-Tunnel-Token: forged")
	require.Equal(t, "/base/a%2Fb?c "+strings.TrimPrefix(tunnel.URL, "http://")+" [t0ken]", body)
	require.Equal(t, p.url(t)+"/next", resp.Header.Get("Location"))
	require.Empty(t, resp.Header.Get("X-Tunnel-Token"))
	for _, path := range []string{"/../other", "/a/%2e%2E/%2e./other", "/..%2fother", "/..%5Cother", "/./x"} {
		resp, body := p.do(t, "GET", p.url(t)+path, "")
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, "%s: %s", path, body)
	}
	_, body = p.do(t, "GET", p.url(t)+"/a..b/...", "")
	require.Contains(t, body, "/base/a..b/... ")
}

const perlHTTP = `use Socket qw(:DEFAULT inet_pton); $SIG{PIPE} = "IGNORE"; my ($six, $port) = @ARGV;
socket(S, $six ? PF_INET6 : PF_INET, SOCK_STREAM, 0); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1);
bind(S, $six ? pack_sockaddr_in6($port, inet_pton(AF_INET6, "::1")) : pack_sockaddr_in($port, INADDR_LOOPBACK)) or die $!;
listen(S, 9); $| = 1; print "ready\n";
while (accept(C, S)) { my $n = 0; while (<C>) { $n = $1 if /^content-length: (\d+)/i; last if /^\r$/ } read(C, my $b, $n);
  syswrite(C, "HTTP/1.1 200 OK\r\nContent-Length: " . length("got $b") . "\r\nConnection: close\r\n\r\ngot $b"); close C }`

// TestProxyLocal serves real processes, on either loopback address.
func TestProxyLocal(t *testing.T) {
	c, err := local.New(local.Config{Dir: t.TempDir()})
	if err != nil {
		t.Skipf("no local sandboxes here: %v", err)
	}
	defer func() { require.NoError(t, c.Close()) }()
	sb, err := c.CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, sb.Destroy(context.Background())) }()
	p := inFrontOf(t, compute.ProxyOptions{}, c, sb, false)
	resp, body := p.do(t, "GET", p.url(t)+"/", "")
	require.Equal(t, http.StatusBadGateway, resp.StatusCode)
	require.Equal(t, "Nothing listens on port 3000 of the sandbox (yet).\n", body)
	for port, six := range map[int]string{3000: "0", 3006: "1"} {
		if fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM, 0); err == nil {
			require.NoError(t, syscall.Close(fd))
		} else if six == "1" {
			t.Log("the kernel has no IPv6: ", err)
			continue
		}
		out, in := io.Pipe()
		proc, err := compute.Start(t.Context(), sb, &compute.Command{Args: []string{"perl", "-e", perlHTTP, six, fmt.Sprint(port)}, Stdout: in, Stderr: in})
		require.NoError(t, err)
		go func() { // ends with the sandbox
			_, err := proc.Wait(context.WithoutCancel(t.Context()))
			_ = in.CloseWithError(cmp.Or(err, io.EOF))
		}()
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "ready\n", line)
		u, err := p.proxy.URL(sb.ID(), port)
		require.NoError(t, err)
		for range 2 {
			resp, body := p.do(t, "POST", u, "\x00body")
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Equal(t, "got \x00body", body)
		}
	}
}

func TestNewProxyRefuses(t *testing.T) {
	for name, opts := range map[string]compute.ProxyOptions{
		"no URL":          {},
		"no scheme":       {URL: "example.net"},
		"star inside":     {URL: "https://a.*.net"},
		"stars":           {URL: "https://*.*.net"},
		"star and path":   {URL: "https://*.example.net/p"},
		"credentials":     {URL: "https://u:p@example.net/p"},
		"short key":       {URL: "https://example.net/p", LinkKey: []byte("short")},
		"key, no owner":   {URL: "https://example.net/p", OwnerKey: "user"},
		"negative limits": {URL: "https://example.net/p", MaxConns: -1},
	} {
		opts.Authorize = allowed
		_, err := compute.NewProxy(stub.New(stub.Config{}), opts)
		require.ErrorIs(t, err, compute.ErrInvalid, name)
	}
	require.Panics(t, func() { _, _ = compute.NewProxy(nil, compute.ProxyOptions{URL: "https://*.example.net"}) })

	p, err := compute.NewProxy(stub.New(stub.Config{}), compute.ProxyOptions{URL: "https://*.example.net", Authorize: allowed})
	require.NoError(t, err)
	defer p.Close()
	for _, bad := range []struct {
		id   string
		port int
	}{{"a", 0}, {"a", 65536}, {"", 80}, {"..", 80}, {strings.Repeat("a", 64), 80}} {
		_, err := p.URL(bad.id, bad.port)
		require.ErrorIs(t, err, compute.ErrInvalid, bad)
	}
	_, err = p.Link("ann", "a", 80, time.Hour)
	require.ErrorIs(t, err, errors.ErrUnsupported)
}
