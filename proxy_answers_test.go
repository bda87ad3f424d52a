package compute_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// rawProxied is a proxy in front of a sandbox in which answers come from a script.
func rawProxied(t *testing.T, serve func(net.Conn)) *proxied {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	listening := make(chan struct{})
	c := stub.New(stub.Config{Programs: map[string]stub.Program{"serve": func(ctx context.Context, p *stub.Proc) int {
		ln, err := p.Listen(3000)
		if err != nil {
			return 1
		}
		defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
		close(listening)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return 0
			}
			go func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				serve(conn)
			}()
		}
	}}})
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	sb, err := c.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Metadata: map[string]string{"user": "ann"}})
	require.NoError(t, err)
	_, err = compute.Start(t.Context(), sb, compute.Exec("serve"))
	require.NoError(t, err)
	<-listening
	return inFrontOf(t, compute.ProxyOptions{HeaderTimeout: 5 * time.Second}, c, sb, false)
}

// Whatever a program answers, a client has an answer of HTTP, of this request,
// without what is for those in front of the proxy.
func TestProxyRawAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
	answers := map[string]struct {
		answer  string
		endless string // what comes again and again
		status  int    // 0: the answer is broken off
		body    string
	}{
		"/plain":            {ok + "\r\nhi", "", 200, "hi"},
		"/two-lengths":      {ok + "Content-Length: 3\r\n\r\nhi!", "", 502, ""},
		"/length-chunks":    {ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "", 200, "abc"},
		"/short":            {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "", 0, ""},
		"/cut":              {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi", "", 0, ""},
		"/early":            {strings.Repeat("HTTP/1.1 103 Early Hints\r\nX-Accel-Redirect: /x\r\nSet-Cookie: a=b; Domain=example.net\r\n\r\n", 20) + ok + "\r\nhi", "", 200, "hi"},
		"/early-forever":    {"", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 502, ""},
		"/continue-forever": {"", "HTTP/1.1 100 Continue\r\n\r\n", 502, ""},
		"/header-forever":   {"HTTP/1.1 200 OK\r\n", "X-Header: value\r\n", 502, ""},
		"/line-forever":     {"HTTP/1.1 200 OK\r\nX-Header: ", "value", 502, ""},
		"/trailer-forever":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", "X-Trailer: value\r\n", 0, ""},
		"/extension":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;", "x", 0, ""},
		"/status-0":         {"HTTP/1.1 000 Nothing\r\nContent-Length: 2\r\n\r\nhi", "", 502, ""},
		"/status-99":        {"HTTP/1.1 099 Little\r\nContent-Length: 2\r\n\r\nhi", "", 502, ""},
		"/status-text":      {"HTTP/1.1 2oo OK\r\nContent-Length: 2\r\n\r\nhi", "", 502, ""},
		"/status-999":       {"HTTP/1.1 999 Much\r\nContent-Length: 2\r\n\r\nhi", "", 999, "hi"},
		"/switch":           {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "", 502, ""},
		"/switch-websocket": {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nevil", "", 502, ""},
		"/switch-bare":      {"HTTP/1.1 101 Switching Protocols\r\n\r\nevil", "", 502, ""},
		"/garbage":          {"SSH-2.0-OpenSSH_9.9\r\n", "", 502, ""},
		"/folded":           {ok + "X-A: b\r\n X-Sendfile: /etc/passwd\r\n\r\nhi", "", 200, "hi"},
		"/bare-cr":          {ok + "X-A: b\rX-Sendfile: /etc/passwd\r\n\r\nhi", "", 0, ""},
		"/steers":           {ok + "X-Accel-Redirect: /x\r\nX-Sendfile: /x\r\nX-Lighttpd-Send-File: /x\r\nX-Reproxy-URL: http://x\r\nX-Accel-Expires: 99\r\nSet-Login: logged-in\r\nX-Accel-Buffering: no\r\n\r\nhi", "", 200, "hi"},
		"/more":             {ok + "\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "", 200, "hi"},
		"/trailers":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b; Domain=example.net\r\nX-Accel-Redirect: /x\r\nLocation: http://evil\r\n\r\n", "", 200, "hi"},
	}
	serve := func(conn net.Conn) {
		requests := bufio.NewReader(conn)
		for {
			r, err := http.ReadRequest(requests)
			if err != nil {
				return
			}
			a := answers[r.URL.Path]
			if _, err := io.WriteString(conn, a.answer); err != nil {
				return
			}
			for a.endless != "" {
				if _, err := io.WriteString(conn, a.endless); err != nil {
					return
				}
			}
			if a.status == 0 {
				return
			}
		}
	}
	all := rawProxied(t, serve)
	for path, tt := range answers {
		t.Run(path[1:], func(t *testing.T) {
			p, requests := all, 2 // and the next request is answered as the first
			if path == "/more" {  // but may have what was sent too early, on the same connection: it is the same program's
				p, requests = rawProxied(t, serve), 1
			}
			for range requests {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url(t)+path, nil)
				require.NoError(t, err)
				begun := time.Now()
				resp, err := p.client.Do(r)
				require.Less(t, time.Since(begun), 30*time.Second)
				if path == "/bare-cr" && err == nil { // whichever reads it, it is no line of its own
					defer resp.Body.Close()
					require.Empty(t, resp.Header.Get("X-Sendfile"))
					return
				}
				require.NoError(t, err)
				defer resp.Body.Close()
				data, err := io.ReadAll(resp.Body)
				if tt.status == 0 {
					require.Error(t, err, "an answer that is not whole must not look so")
					continue
				}
				require.NoError(t, err)
				require.Equal(t, tt.status, resp.StatusCode)
				if tt.status != http.StatusBadGateway {
					require.Equal(t, tt.body, string(data))
				}
				require.NotContains(t, string(data), "evil")
				for _, name := range []string{"X-Accel-Redirect", "X-Accel-Expires", "X-Sendfile", "X-Lighttpd-Send-File", "X-Reproxy-Url", "Set-Login", "Set-Cookie"} {
					require.Empty(t, resp.Header.Get(name), name)
					require.Empty(t, resp.Trailer.Get(name), name)
				}
				require.Empty(t, resp.Trailer.Get("Location"))
				if path == "/trailers" {
					require.Equal(t, "1", resp.Trailer.Get("X-Sum"))
				}
				if path == "/steers" {
					require.Equal(t, "no", resp.Header.Get("X-Accel-Buffering"), "which is about this answer")
				}
			}
		})
	}
}

// A frame of WebSocket may say that it is as large as it likes: nobody here
// makes room for it.
func TestProxyHugeFrames(t *testing.T) {
	p := rawProxied(t, func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff")
		for piece := make([]byte, 32<<10); ; {
			if _, err := conn.Write(piece); err != nil {
				return
			}
		}
	})
	before := held()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.srv.Listener.Addr().String())
	require.NoError(t, err)
	host := strings.TrimPrefix(p.url(t), "http://")
	_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", host)
	require.NoError(t, err)
	n, err := io.CopyN(io.Discard, conn, 64<<20)
	require.NoError(t, err)
	require.EqualValues(t, 64<<20, n)
	require.Less(t, held()-before, int64(16<<20))
	require.NoError(t, conn.Close())
}
