package compute

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var proxyHosts = []struct {
	host string
	want target
	ok   bool
}{
	{"3000-abc.example.net", target{sandbox: "abc", port: 3000}, true},
	{"3000-a-b-1.Example.NET.:8443", target{sandbox: "a-b-1", port: 3000}, true},
	{"80-x--onrhqxzqgayr.example.net", target{}, false}, // decodes, but not to what is written so
	{"80-x--onrhqxzqgayq.example.net", target{sandbox: "sbx_001", port: 80}, true},
	{"80-x--mfrgg.example.net", target{}, false}, // "abc" needs no escape
	{"80-x--.example.net", target{}, false},
	{"080-abc.example.net", target{}, false},
	{"+80-abc.example.net", target{}, false},
	{"0-abc.example.net", target{}, false},
	{"65536-abc.example.net", target{}, false},
	{"80-.example.net", target{}, false},
	{"80--a.example.net", target{}, false},
	{"80.example.net", target{}, false},
	{"80-abc.evil.example.net", target{}, false},
	{"80-abc.example.net.evil", target{}, false},
	{"80-abcexample.net", target{}, false},
	{"example.net", target{}, false},
	{"80-" + strings.Repeat("a", 61) + ".example.net", target{}, false},
	{"[::1]:80", target{}, false},
	{"", target{}, false},
}

func TestProxyHosts(t *testing.T) {
	b, err := parseProxyBase("https://*.example.net")
	require.NoError(t, err)
	for _, tt := range proxyHosts {
		got, ok := b.parseHost(tt.host)
		require.Equal(t, tt.ok, ok, tt.host)
		if ok {
			require.Equal(t, tt.want, got, tt.host)
		}
	}
}

var proxyPaths = []struct {
	path string
	want target
	ok   bool
}{
	{"/p/abc/3000/", target{sandbox: "abc", port: 3000, path: "/"}, true},
	{"/p/abc/3000", target{sandbox: "abc", port: 3000, path: "/", bare: true}, true},
	{"/p/a%2Fb%00/80/x%2Fy//z", target{sandbox: "a/b\x00", port: 80, path: "/x%2Fy//z"}, true},
	{"/p/a%2fb/80/", target{}, false}, // one spelling
	{"/p/%61/80/", target{}, false},
	{"/p/../80/", target{}, false},
	{"/p/%2e%2e/80/", target{}, false},
	{"/p//80/", target{}, false},
	{"/p/a/", target{}, false},
	{"/p/a/080/", target{}, false},
	{"/pa/80/", target{}, false},
	{"/p", target{}, false},
	{"*", target{}, false},
}

func TestProxyPaths(t *testing.T) {
	b, err := parseProxyBase("https://[::1]:8443/p")
	require.NoError(t, err)
	require.Equal(t, "https://[::1]:8443/p/a/80/", b.url(target{sandbox: "a", port: 80}, "/", ""))
	for _, tt := range proxyPaths {
		got, ok := b.parsePath(tt.path)
		require.Equal(t, tt.ok, ok, tt.path)
		if ok {
			require.Equal(t, tt.want, got, tt.path)
		}
	}
}

// FuzzProxyHost checks that each port of each sandbox has one host name: what
// is read from a name is written as that name.
func FuzzProxyHost(f *testing.F) {
	for _, tt := range proxyHosts {
		f.Add(tt.host)
	}
	b, err := parseProxyBase("https://*.example.net")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, host string) {
		got, ok := b.parseHost(host)
		if !ok {
			return
		}
		_, err := b.target(got.sandbox, got.port)
		require.NoError(t, err)
		u, err := url.Parse(b.url(got, "/", ""))
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(strings.ToLower(host), u.Host), "%q is written %q", host, u.Host)
		again, ok := b.parseHost(u.Host)
		require.True(t, ok)
		require.Equal(t, got, again)
	})
}

// FuzzProxyPath checks the same of paths, and that the rest arrives as it was.
func FuzzProxyPath(f *testing.F) {
	for _, tt := range proxyPaths {
		f.Add(tt.path)
	}
	b, err := parseProxyBase("http://example.net/p/")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		got, ok := b.parse(&http.Request{URL: u})
		if !ok {
			return
		}
		_, err = b.target(got.sandbox, got.port)
		require.NoError(t, err)
		if got.bare {
			require.Equal(t, b.root(got), u.EscapedPath()+"/")
			return
		}
		require.Equal(t, strings.TrimSuffix(b.root(got), "/")+got.path, u.EscapedPath())
		up := &upstream{url: &url.URL{Scheme: "http", Host: "localhost:80"}}
		require.Equal(t, got.path, up.request(got.path, "").EscapedPath())
	})
}

// FuzzProxyLink feeds tokens that were not signed.
func FuzzProxyLink(f *testing.F) {
	p, err := NewProxy(nil, ProxyOptions{URL: "http://example.net/p/", LinkKey: make([]byte, 32),
		Authorize: func(*http.Request, *ProxyRequest) error { return nil }})
	require.NoError(f, err)
	f.Cleanup(func() { _ = p.Close() })
	link, err := p.Link("ann\xff", "a", 80, 1e18)
	require.NoError(f, err)
	_, query, _ := strings.Cut(link, "?")
	token, rest, given := cutLink(query)
	require.True(f, given)
	require.Empty(f, rest)
	at := target{sandbox: "a", port: 80}
	l, ok := p.verify(token, at)
	require.True(f, ok)
	require.Equal(f, "ann\xff", string(l.Owner))
	f.Add(token[:10] + "." + token[10:])
	f.Add("e30.")
	f.Fuzz(func(t *testing.T, s string) {
		if s == token {
			return
		}
		_, ok := p.verify(s, at)
		require.False(t, ok)
	})
}

// TestUpstreamContains holds paths below an endpoint's own, however often a
// server decodes them.
func TestUpstreamContains(t *testing.T) {
	t.Parallel()
	below := &upstream{url: &url.URL{Scheme: "https", Host: "h", Path: "/base"}}
	escaped := func(part string, times int) string {
		for range times {
			part = url.PathEscape(strings.ReplaceAll(part, ".", "%2e"))
		}
		return part
	}
	for path, want := range map[string]bool{
		"/":                    true,
		"/a%2Fb;c":             true,
		"/...":                 true,
		"/a..b/..c":            true,
		"/100%25":              true, // and nothing that could be decoded again
		"/a%252Fb":             true,
		"/..":                  false,
		"/a/./b":               false,
		"/%2e%2E":              false,
		"/a%2f..%2fb":          false,
		"/a\\..":               false,
		"/a%5c..":              false,
		"/..;x":                false,
		"/..%00":               false,
		"/%252e%252e":          false,
		"/%25252e%25252e":      false,
		"/a%252f..%252f":       false,
		"/a%255c..%255cb":      false,
		"/..%253bx":            false,
		"/" + escaped("..", 1): false,
		"/" + escaped("..", 3): false,
		"/" + escaped("..", 9): false, // more often than any server decodes
	} {
		require.Equal(t, want, below.contains(path), path)
		require.True(t, (&upstream{url: &url.URL{Host: "h", Path: "/"}}).contains(path), "there is nothing beside the root: %s", path)
	}
}
