package computetest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var network = group{"Network", []check{
	{"Dial", dial},
	{"DialConcurrently", dialMany},
	{"DialClosedPort", dialClosed},
	{"DialDeadContext", dialDead},
	{"SSH", sshAccess},
	{"Policy", policy},
}}

// served is a port in a sandbox with a server behind it.
func (t *tester) served() (compute.Sandbox, int) {
	t.Helper()
	const port = 8765
	if t.cfg.Serve == nil {
		t.Skip("Config.Serve is nil")
	}
	sb := t.sandbox(&compute.CreateSandboxOptions{Ports: t.ports(port)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := t.beside(ctx, sb, t.cfg.Serve(port))
	t.Cleanup(func() { cancel(); <-ended })
	return sb, port
}

// ports are announced only where that is possible.
func (t *tester) ports(port int) []int {
	sb, err := t.create(t.ctx(), &compute.CreateSandboxOptions{Ports: []int{port}})
	if err != nil {
		return nil
	}
	require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
	return []int{port}
}

// dialed connects, as soon as the server is up.
func (t *tester) dialed(sb compute.Sandbox, port int) net.Conn {
	t.Helper()
	var conn net.Conn
	var err error
	t.within(patience/2, func() bool {
		conn, err = compute.Dial(t.ctx(), sb, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		return err == nil || t.lacks(err)
	})
	t.able("Dialer", err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// get asks over a connection.
func get(conn net.Conn) (int, error) {
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func dial(t *tester) {
	sb, port := t.served()
	ctx, cancel := context.WithCancel(t.ctx())
	t.dialed(sb, port)
	conn, err := compute.Dial(ctx, sb, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	require.NoError(t, err, "Dial")
	cancel()                                  // covers the connecting only
	time.Sleep(t.slow(20 * time.Millisecond)) // or else it is over before anybody noticed
	require.NoError(t, conn.SetDeadline(time.Now().Add(t.slow(patience))), "SetDeadline")
	code, err := get(conn)
	require.NoError(t, err, "GET over Dial")
	assert.Equal(t, http.StatusOK, code)
	require.NoError(t, conn.Close(), "Close")
}

func dialMany(t *tester) {
	sb, port := t.served()
	t.dialed(sb, port)
	ctx := t.ctx()
	require.NoError(t, all(8, func(int) error {
		conn, err := compute.Dial(ctx, sb, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(t.slow(patience)))
		_, err = get(conn)
		return err
	}))
}

// dialClosed: where nothing listens there is no connection, now or at the
// first read.
func dialClosed(t *tester) {
	conn, err := compute.Dial(t.ctx(), t.sandbox(nil), "tcp", "127.0.0.1:9")
	if t.lacks(err) || err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(t.slow(2 * time.Second)))
	_, err = get(conn)
	assert.Error(t, err, "an answer from where nobody listens")
}

func dialDead(t *tester) {
	_, err := compute.Dial(t.dead(), t.sandbox(nil), "tcp", "127.0.0.1:9")
	if !t.lacks(err) {
		assert.ErrorIs(t, err, context.Canceled)
	}
}

func sshAccess(t *tester) {
	access, err := compute.SSH(t.ctx(), t.sandbox(nil))
	t.able("SSHer", err)
	_, _, err = net.SplitHostPort(access.Address)
	assert.NoError(t, err, "SSHAccess.Address")
	assert.NotEmpty(t, access.User)
	assert.Contains(t, string(access.PrivateKey), "PRIVATE KEY", "PEM")
}

func policy(t *tester) {
	sb := t.sandbox(nil)
	bad := &compute.NetworkPolicy{Allow: []string{""}}
	assert.ErrorIs(t, compute.SetNetworkPolicy(t.ctx(), sb, bad), compute.ErrInvalid)
	t.able("NetworkPolicer", compute.SetNetworkPolicy(t.ctx(), sb, &compute.NetworkPolicy{}))
	require.NoError(t, compute.SetNetworkPolicy(t.ctx(), sb, nil), "SetNetworkPolicy")
	t.out(sb, compute.Exec("true"))
}

var urls = group{"URLs", []check{
	{"GetURL", getURL},
	{"Endpoint", getEndpoint},
	{"Serves", urlServes},
	{"List", urlList},
	{"Close", urlClose},
	{"Options", urlOptions},
	{"Subdomains", urlSubdomains},
	{"BadPort", urlBadPort},
}}

// url opens a URL or skips the check: that a provider has none is allowed.
func (t *tester) url(sb compute.Sandbox, port int) string {
	t.Helper()
	u, err := sb.GetURL(t.ctx(), port)
	if t.lacks(err) {
		t.Skip("no URLs")
	}
	require.NoError(t, err, "GetURL")
	return u
}

func (t *tester) withPort() compute.Sandbox {
	t.Helper()
	return t.sandbox(&compute.CreateSandboxOptions{Ports: t.ports(8765)})
}

func getURL(t *tester) {
	sb := t.withPort()
	raw := t.url(sb, 8765)
	u, err := url.Parse(raw)
	require.NoError(t, err, "GetURL")
	assert.Contains(t, []string{"http", "https"}, u.Scheme)
	assert.NotEmpty(t, u.Host)
	assert.Equal(t, raw, t.url(sb, 8765), "asking again opens nothing new")
}

func getEndpoint(t *tester) {
	sb := t.withPort()
	raw := t.url(sb, 8765)
	ep, err := compute.GetEndpoint(t.ctx(), sb, 8765)
	require.NoError(t, err, "GetEndpoint")
	assert.NotEmpty(t, ep.URL)
	if _, ok := compute.As[compute.Endpointer](sb); !ok {
		assert.Equal(t, raw, ep.URL)
	}
}

func (t *tester) client() *http.Client {
	if t.cfg.Client != nil {
		return t.cfg.Client(t.c)
	}
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

func urlServes(t *tester) {
	sb, port := t.served()
	t.url(sb, port)
	ep, err := compute.GetEndpoint(t.ctx(), sb, port)
	require.NoError(t, err, "GetEndpoint")
	client := t.client()
	defer client.CloseIdleConnections()
	t.eventually("the URL answers", func() bool { return t.answers(client, ep) })
}

// answers reports whether a request to an endpoint has success.
func (t *tester) answers(client *http.Client, ep *compute.Endpoint) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.ctx(), http.MethodGet, ep.URL, nil)
	require.NoError(t, err)
	if ep.Header != nil {
		req.Header = ep.Header.Clone()
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

func urlList(t *tester) {
	sb := t.withPort()
	raw := t.url(sb, 8765)
	found, err := compute.Collect(compute.ListURLs(t.ctx(), sb), 0)
	t.able("URLLister", err)
	assert.Contains(t, found, compute.PortURL{Port: 8765, URL: raw})
}

func urlClose(t *tester) {
	sb := t.withPort()
	t.url(sb, 8765)
	for range 2 {
		t.able("URLCloser", compute.CloseURL(t.ctx(), sb, 8765))
	}
	found, err := compute.Collect(compute.ListURLs(t.ctx(), sb), 0)
	t.able("URLLister", err)
	assert.Empty(t, found)
}

func urlOptions(t *tester) {
	sb := t.withPort()
	raw := t.url(sb, 8765)
	for _, opts := range []*compute.URLOptions{nil, {}} {
		u, err := compute.OpenURL(t.ctx(), sb, 8765, opts)
		require.NoError(t, err, "OpenURL without options is GetURL")
		assert.Equal(t, raw, u)
	}
	u, err := compute.OpenURL(t.ctx(), t.withPort(), 8765, &compute.URLOptions{Subdomain: "computetest-" + t.id})
	t.able("URLOpener", err)
	assert.Contains(t, u, "//computetest-"+t.id+".")
}

// urlSubdomains: a name leads to one port of one sandbox, until it is given
// back.
func urlSubdomains(t *tester) {
	sb, port := t.served()
	opts := &compute.URLOptions{Subdomain: "computetest-" + t.id}
	u, err := compute.OpenURL(t.ctx(), sb, port, opts)
	t.able("URLOpener", err)
	client := t.client()
	defer client.CloseIdleConnections()
	t.eventually("the URL answers", func() bool { return t.answers(client, &compute.Endpoint{URL: u}) })
	again, err := compute.OpenURL(t.ctx(), sb, port, opts)
	require.NoError(t, err, "asking again")
	assert.Equal(t, u, again, "asking again opens nothing new")

	other := t.withPort()
	_, err = compute.OpenURL(t.ctx(), other, port, opts)
	assert.ErrorIs(t, err, compute.ErrConflict, "a subdomain that another sandbox has")
	for _, bad := range []string{"-a", "a-", "a.b", "a b", "a/b", "a:1"} {
		_, err = compute.OpenURL(t.ctx(), other, port, &compute.URLOptions{Subdomain: bad})
		assert.ErrorIs(t, err, compute.ErrInvalid, "subdomain %q", bad)
	}
	t.able("URLCloser", compute.CloseURL(t.ctx(), sb, port))
	assert.False(t, t.answers(client, &compute.Endpoint{URL: u}), "it is closed")
	_, err = compute.OpenURL(t.ctx(), other, port, opts)
	assert.NoError(t, err, "a subdomain that was given back")
}

func urlBadPort(t *tester) {
	sb := t.sandbox(nil)
	for _, port := range []int{0, -1, 70000} {
		_, err := sb.GetURL(t.ctx(), port)
		if !t.lacks(err) {
			assert.ErrorIs(t, err, compute.ErrInvalid, "port %d", port)
		}
	}
}
