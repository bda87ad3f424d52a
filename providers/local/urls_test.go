package local_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// localhostClient finds names below localhost, as browsers do.
func localhostClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
				address = "127.0.0.1:" + port
			}
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		},
	}}
}

// scripted serves connections in a sandbox: what it was sent as a header goes
// back as the body, and then what script says.
func scripted(t *testing.T, sb compute.Sandbox, port int, script string) {
	t.Helper()
	server := fmt.Sprintf(`$SIG{PIPE} = $SIG{CHLD} = "IGNORE"; use IO::Socket::INET;
my $s = IO::Socket::INET->new(LocalPort => %d, Listen => 64, ReuseAddr => 1) or die;
while (my $c = $s->accept) { if (!fork) { $c->autoflush(1); my $h = ""; while (my $l = <$c>) { last if $l =~ /^\r?$/; $h .= $l } %s; exit } close $c }`, port, script)
	p, err := compute.Start(t.Context(), sb, compute.Exec("perl", "-e", server))
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Kill(context.WithoutCancel(t.Context())) })
	require.Eventually(t, func() bool {
		c, err := compute.Dial(t.Context(), sb, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
}

func get(t *testing.T, client *http.Client, u string) (int, string) {
	t.Helper()
	resp, err := client.Get(u)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestNamedURLs(t *testing.T) {
	c := newLocal(t, t.TempDir(), local.Namespaces)
	ctx := t.Context()
	sb, other := computetest.NewSandbox(t, c, nil), computetest.NewSandbox(t, c, nil)
	client := localhostClient()
	scripted(t, sb, 8080, `print $c "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n$h"`)
	plain, err := sb.GetURL(ctx, 8080)
	require.NoError(t, err)
	u, err := compute.OpenURL(ctx, sb, 8080, &compute.URLOptions{Subdomain: "my-app"})
	require.NoError(t, err)
	require.Regexp(t, `^http://my-app\.localhost:\d+$`, u)
	same, err := compute.OpenURL(ctx, sb, 8080, &compute.URLOptions{Subdomain: "my-app"})
	require.NoError(t, err)
	assert.Equal(t, u, same)
	code, body := get(t, client, u+"/path?q=1")
	assert.Equal(t, 200, code)
	parsed, err := url.Parse(u)
	require.NoError(t, err)
	assert.Contains(t, body, "GET /path?q=1 HTTP/1.1")
	assert.Contains(t, body, "Host: "+parsed.Host, "as the client sent it")
	assert.Contains(t, body, "X-Forwarded-For: 127.0.0.1")

	second, err := compute.OpenURL(ctx, sb, 8080, &compute.URLOptions{Subdomain: "alias"})
	require.NoError(t, err)
	for _, bad := range []string{"-a", "a-", "a.b", "A", "ü", "a b", strings.Repeat("a", 64)} {
		_, err := compute.OpenURL(ctx, sb, 8080, &compute.URLOptions{Subdomain: bad})
		assert.ErrorIs(t, err, compute.ErrInvalid, bad)
	}
	_, err = compute.OpenURL(ctx, other, 8080, &compute.URLOptions{Subdomain: "my-app"})
	assert.ErrorIs(t, err, compute.ErrConflict)
	_, err = compute.OpenURL(ctx, sb, 8081, &compute.URLOptions{Subdomain: "my-app"})
	assert.ErrorIs(t, err, compute.ErrConflict)
	closedPort, err := compute.OpenURL(ctx, sb, 9, &compute.URLOptions{Subdomain: "nobody"})
	require.NoError(t, err)
	code, _ = get(t, client, closedPort)
	assert.Equal(t, http.StatusBadGateway, code)
	code, _ = get(t, client, strings.Replace(u, "my-app", "unknown", 1))
	assert.Equal(t, http.StatusNotFound, code)

	found, err := compute.Collect(compute.ListURLs(ctx, sb), 0)
	require.NoError(t, err)
	assert.Equal(t, []compute.PortURL{{Port: 9, URL: closedPort}, {Port: 8080, URL: plain}, {Port: 8080, URL: second}, {Port: 8080, URL: u}}, found)
	for range 2 {
		require.NoError(t, compute.CloseURL(ctx, sb, 8080))
	}
	code, _ = get(t, client, u)
	assert.Equal(t, http.StatusNotFound, code)
	_, err = compute.OpenURL(ctx, other, 8080, &compute.URLOptions{Subdomain: "my-app"})
	assert.NoError(t, err, "the name is free")
	require.NoError(t, compute.Suspend(ctx, other))
	_, err = compute.OpenURL(ctx, sb, 1, &compute.URLOptions{Subdomain: "my-app"})
	assert.NoError(t, err, "suspension has freed the name")
}

// Pieces arrive as they are sent, and CloseURL cuts what is under way.
func TestNamedURLStreams(t *testing.T) {
	c := newLocal(t, t.TempDir(), local.Namespaces)
	ctx := t.Context()
	sb := computetest.NewSandbox(t, c, nil)
	scripted(t, sb, 8080, `print $c "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"; sleep 1000`)
	u, err := compute.OpenURL(ctx, sb, 8080, &compute.URLOptions{Subdomain: "stream"})
	require.NoError(t, err)
	resp, err := localhostClient().Get(u)
	require.NoError(t, err)
	defer resp.Body.Close()
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "data: 1\n", line)
	begin := time.Now()
	require.NoError(t, compute.CloseURL(ctx, sb, 8080))
	_, err = io.ReadAll(resp.Body)
	assert.Error(t, err, "cut, not ended")
	assert.Less(t, time.Since(begin), 10*time.Second)
}

// An answer may begin before the request has ended, which goes on.
func TestNamedURLAnswersEarly(t *testing.T) {
	c := newLocal(t, t.TempDir(), local.Namespaces)
	ctx := t.Context()
	sb := computetest.NewSandbox(t, c, nil)
	scripted(t, sb, 8080, `print $c "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nearly\n"; read($c, my $b, 4); print $c $b`)
	u, err := compute.OpenURL(ctx, sb, 8080, &compute.URLOptions{Subdomain: "early"})
	require.NoError(t, err)
	body, more := io.Pipe()
	defer more.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, body)
	require.NoError(t, err)
	req.ContentLength = 4
	resp, err := localhostClient().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer := bufio.NewReader(resp.Body)
	line, err := answer.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "early\n", line)
	_, err = io.WriteString(more, "late")
	require.NoError(t, err)
	late, err := io.ReadAll(answer)
	require.NoError(t, err)
	assert.Equal(t, "late", string(late))
}

// A protocol that takes over the connection passes both ways.
func TestNamedURLUpgrades(t *testing.T) {
	c := newLocal(t, t.TempDir(), local.Namespaces)
	ctx := t.Context()
	sb := computetest.NewSandbox(t, c, nil)
	scripted(t, sb, 8080, `print $c "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"; print $c "hello\n"; while (<$c>) { print $c "got $_" }`)
	u, err := compute.OpenURL(ctx, sb, 8080, &compute.URLOptions{Subdomain: "ws"})
	require.NoError(t, err)
	parsed, err := url.Parse(u)
	require.NoError(t, err)
	conn, err := net.Dial("tcp", "127.0.0.1:"+parsed.Port())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", parsed.Host)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	line, err := r.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "hello\n", line)
	fmt.Fprint(conn, "ping\n")
	line, err = r.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "got ping\n", line)
	require.NoError(t, c.Close())
	_, err = r.ReadString('\n')
	assert.Error(t, err, "the provider is closed")
}
