package compute_test

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// rawTo sends bytes to a server and reads all that comes back until it closes the
// connection, or says nothing for a while.
func rawTo(t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, request) }()
	var got strings.Builder
	buf := make([]byte, 32<<10)
	wait := 2 * time.Second
	for {
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		n, err := conn.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			return got.String()
		}
		wait = 300 * time.Millisecond // the rest is on its way
	}
}

var statusLine = regexp.MustCompile(`HTTP/1\.\d (\d{3}) `)

// statuses returns the status of each answer.
func statuses(answers string) string {
	var all []string
	for _, m := range statusLine.FindAllStringSubmatch(answers, -1) {
		all = append(all, m[1])
	}
	return strings.Join(all, " ")
}

// witness is a program that keeps what it is asked, and an application that
// keeps what it has allowed.
type witness struct {
	mu      sync.Mutex
	allowed []string
	asked   []string
	headers []http.Header
	bodies  []string
	trailer []http.Header
}

func (w *witness) authorize(r *http.Request, req *compute.ProxyRequest) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if req.SandboxID == "" || req.Port != 3000 {
		return compute.ErrInvalid
	}
	w.allowed = append(w.allowed, r.Method+" "+r.URL.EscapedPath())
	return nil
}

func (w *witness) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, r.Method+" "+r.URL.EscapedPath())
	w.headers, w.bodies, w.trailer = append(w.headers, r.Header), append(w.bodies, string(body)), append(w.trailer, r.Trailer)
}

// Whatever bytes come, the program is asked what the application was asked about,
// once, and hears of nothing that it is not to hear of.
func TestProxyRawRequests(t *testing.T) {
	start := func(t *testing.T) (w *witness, p *proxied, host string) {
		w = &witness{}
		p = newProxied(t, compute.ProxyOptions{Authorize: w.authorize}, w, false)
		return w, p, strings.TrimPrefix(p.url(t), "http://")
	}
	_, _, host := start(t)
	const chunks = "5\r\nhello\r\n0\r\n\r\n"
	for _, tt := range []struct {
		name, request, want string
		asked               string // what the program is asked, with bodies
	}{
		{"plain", "GET /a HTTP/1.1\r\nHost: HOST\r\n\r\n", "200", "GET /a "},
		{"length and chunks", "POST /a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, "200", "POST /a hello"},
		{"pipelined behind chunks", "POST /a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + "GET /b HTTP/1.1\r\nHost: HOST\r\n\r\n", "200 200", "POST /a hello|GET /b "},
		{"two lengths", "POST /a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "400", ""},
		{"the same length twice", "POST /a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "200", "POST /a hello"},
		{"a list of lengths", "POST /a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5, 5\r\n\r\nhello", "400", ""},
		{"a signed length", "POST /a HTTP/1.1\r\nHost: HOST\r\nContent-Length: +5\r\n\r\nhello", "400", ""},
		{"a negative length", "POST /a HTTP/1.1\r\nHost: HOST\r\nContent-Length: -1\r\n\r\nhello", "400", ""},
		{"odd encoding", "POST /a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: xchunked\r\n\r\n" + chunks, "501", ""},
		{"two encodings", "POST /a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + chunks, "501", ""},
		{"a list of encodings", "POST /a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: identity, chunked\r\n\r\n" + chunks, "501", ""},
		{"a space in front of the colon", "POST /a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding : chunked\r\n\r\n" + chunks, "400", ""},
		{"chunk extensions", "POST /a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0;x\r\n\r\n", "200", "POST /a hello"},
		{"a chunk without an end", "POST /a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloGET /b HTTP/1.1\r\nHost: HOST\r\n\r\n", "", "POST /a hello"},
		{"a chunk that is too large", "POST /a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "", "POST /a "},
		{"a folded line", "GET /a HTTP/1.1\r\nHost: HOST\r\nX-App: b\r\n X-Forwarded-User: root\r\n\r\n", "200", "GET /a "},
		{"a folded first line", "GET /a HTTP/1.1\r\n X-Forwarded-User: root\r\nHost: HOST\r\n\r\n", "400", ""},
		{"a bare CR", "GET /a HTTP/1.1\r\nHost: HOST\r\nX-App: a\rX-Forwarded-User: root\r\n\r\n", "400", ""},
		{"absolute", "GET http://HOST/a HTTP/1.1\r\nHost: evil.example\r\n\r\n", "200", "GET /a "},
		{"absolute, elsewhere", "GET http://evil.example/a HTTP/1.1\r\nHost: HOST\r\n\r\n", "404", ""},
		{"absolute, with a user", "GET http://u:p@HOST/a HTTP/1.1\r\nHost: HOST\r\n\r\n", "200", "GET /a "},
		{"opaque", "GET http:HOST/a HTTP/1.1\r\nHost: HOST\r\n\r\n", "404", ""},
		{"two slashes", "GET //evil.example/a HTTP/1.1\r\nHost: HOST\r\n\r\n", "200", "GET //evil.example/a "},
		{"a fragment", "GET /a#/b HTTP/1.1\r\nHost: HOST\r\n\r\n", "200", "GET /a%23/b "},
		{"a NUL", "GET /a%00b HTTP/1.1\r\nHost: HOST\r\n\r\n", "200", "GET /a%00b "},
		{"a real NUL", "GET /a\x00b HTTP/1.1\r\nHost: HOST\r\n\r\n", "400", ""},
		{"dots", "GET /a/..%2f..%2fb/%2e%2e/%252e%252e HTTP/1.1\r\nHost: HOST\r\n\r\n", "200", "GET /a/..%2f..%2fb/%2e%2e/%252e%252e "},
		{"a port", "GET /a HTTP/1.1\r\nHost: HOST:8080\r\n\r\n", "200", "GET /a "},
		{"a dot", "GET /a HTTP/1.1\r\nHost: HOST.\r\n\r\n", "200", "GET /a "},
		{"two dots", "GET /a HTTP/1.1\r\nHost: HOST..\r\n\r\n", "404", ""},
		{"upper case", "GET /a HTTP/1.1\r\nHost: " + strings.ToUpper(host) + "\r\n\r\n", "200", "GET /a "},
		{"two ports", "GET /a HTTP/1.1\r\nHost: HOST:80:80\r\n\r\n", "404", ""},
		{"IPv6", "GET /a HTTP/1.1\r\nHost: [::1]:3000\r\n\r\n", "404", ""},
		{"brackets", "GET /a HTTP/1.1\r\nHost: [HOST]\r\n\r\n", "404", ""},
		{"a user", "GET /a HTTP/1.1\r\nHost: u@HOST\r\n\r\n", "400", ""},
		{"a path", "GET /a HTTP/1.1\r\nHost: HOST/b\r\n\r\n", "400", ""},
		{"escaped", "GET /a HTTP/1.1\r\nHost: %33" + host[1:] + "\r\n\r\n", "404", ""},
		{"two hosts", "GET /a HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n\r\n", "400", ""},
		{"the same host twice", "GET /a HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n", "400", ""},
		{"a list of hosts", "GET /a HTTP/1.1\r\nHost: HOST, HOST\r\n\r\n", "400", ""},
		{"no host", "GET /a HTTP/1.1\r\n\r\n", "400", ""},
		{"no host, HTTP/1.0", "GET /a HTTP/1.0\r\n\r\n", "404", ""},
		{"an empty host", "GET /a HTTP/1.1\r\nHost:\r\n\r\n", "404", ""},
		{"X-Forwarded-Host", "GET /a HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: HOST\r\n\r\n", "404", ""},
		{"CONNECT", "CONNECT HOST:443 HTTP/1.1\r\nHost: HOST\r\n\r\n", "404", ""},
		{"CONNECT with a path", "CONNECT /a HTTP/1.1\r\nHost: HOST\r\n\r\n", "405", ""},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n", "200", ""},
		{"TRACE", "TRACE /a HTTP/1.1\r\nHost: HOST\r\n\r\n", "405", ""},
		{"prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "404", ""},
		{"h2c", "GET /a HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n", "200", "GET /a "},
		{"h2c, unnamed", "GET /a HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n", "200", "GET /a "},
		{"another upgrade, refused", "GET /a HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", "200", "GET /a "},
		{"fields named by Connection", "GET /a HTTP/1.1\r\nHost: HOST\r\nConnection: close, Cookie, Origin, Referer, Host, X-App\r\nX-App: 1\r\nCookie: sandbox.a=b\r\nOrigin: http://HOST\r\n\r\n", "200", "GET /a "},
		{"underscores", "GET /a HTTP/1.1\r\nHost: HOST\r\nX_Forwarded_User: root\r\nx_real_ip: 1.2.3.4\r\nX-Forwarded_For: 1.2.3.4\r\n\r\n", "200", "GET /a "},
		{"others' tokens", "GET /a HTTP/1.1\r\nHost: HOST\r\nX-Amzn-Oidc-Data: s3cret\r\nX-Goog-IAP-JWT-Assertion: s3cret\r\nX-Ms-Token-Aad-Access-Token: s3cret\r\nRemote-User: root\r\n\r\n", "200", "GET /a "},
		{"a trailer that was announced", "POST /a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", "200", "POST /a hello"},
		{"trailers that were not", "POST /a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Forwarded-User: root\r\nAuthorization: s3cret\r\n\r\n", "200", "POST /a hello"},
		{"a forbidden trailer", "POST /a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Forwarded-User, Host\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Forwarded-User: root\r\nHost: evil\r\n\r\n", "200", "POST /a hello"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, p, same := start(t) // its own: a program may hear late of a request that was cut
			require.Equal(t, host, same)
			request := strings.ReplaceAll(tt.request, "HOST", host)
			if !strings.Contains(request, "Connection:") && strings.Count(request, "HTTP/1.1") == 1 {
				request = strings.Replace(request, "\r\n", "\r\nConnection: close\r\n", 1)
				if strings.Contains(tt.name, "folded first") {
					request = strings.ReplaceAll(tt.request, "HOST", host)
				}
			}
			got := rawTo(t, p.srv.Listener.Addr().String(), request)
			if tt.want != "" {
				require.Equal(t, tt.want, statuses(got), got)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			var asked []string
			for i, one := range w.asked {
				asked = append(asked, one+" "+w.bodies[i])
			}
			if tt.want != "" {
				require.Equal(t, tt.asked, strings.Join(asked, "|"))
				require.Equal(t, w.allowed, w.asked)
			} else { // it may have begun
				require.LessOrEqual(t, len(w.asked), 1)
				require.LessOrEqual(t, len(w.allowed), 1)
			}
			for i, h := range w.headers {
				text := fmt.Sprint(h, w.trailer[i])
				for _, never := range []string{"root", "s3cret", "1.2.3.4", "evil", "h2c", "AAMAAABk", "Http2"} {
					if tt.name != "a folded line" { // where it is a piece of another's value
						require.NotContains(t, text, never)
					}
				}
				if strings.Contains(tt.name, "trailer") {
					require.Equal(t, []string{"X-Sum"}, slices.Collect(maps.Keys(w.trailer[i])))
				}
			}
		})
	}
}
