package compute_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// BenchmarkProxy sets the proxy beside net/http/httputil's, straight to the
// same server over the same kind of connection.
func BenchmarkProxy(b *testing.B) {
	page := make([]byte, 16<<10)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) })
	target := httptest.NewServer(h)
	defer target.Close()
	to, err := url.Parse(target.URL)
	require.NoError(b, err)

	c := stub.New(stub.Config{})
	defer c.Close()
	sb, err := c.CreateSandbox(b.Context(), nil)
	require.NoError(b, err)
	proxy, err := compute.NewProxy(undialable{c, target.URL}, compute.ProxyOptions{URL: "http://*.example.net", Authorize: allowed})
	require.NoError(b, err)
	defer proxy.Close()
	u, err := proxy.URL(sb.ID(), 3000)
	require.NoError(b, err)
	host, err := url.Parse(u)
	require.NoError(b, err)

	for _, bb := range []struct {
		name string
		h    http.Handler
	}{
		{"proxy", proxy},
		{"httputil", &httputil.ReverseProxy{Transport: &http.Transport{MaxIdleConnsPerHost: 16, DialContext: new(net.Dialer).DialContext},
			Rewrite: func(pr *httputil.ProxyRequest) { pr.SetURL(to) }}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			srv := httptest.NewServer(bb.h)
			defer srv.Close()
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					req, _ := http.NewRequest(http.MethodGet, srv.URL, nil)
					req.Host = host.Host
					resp, err := srv.Client().Do(req)
					if err != nil || resp.StatusCode != http.StatusOK {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
		})
	}
}
