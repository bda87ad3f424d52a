package remote_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/remote"
	"github.com/computekit/compute/providers/stub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// protocol is a way to speak HTTP.
type protocol struct {
	name  string
	start func(*httptest.Server)
}

var protocols = []protocol{
	{"HTTP1", func(s *httptest.Server) { s.Start() }},
	{"HTTP2", func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() }},
}

// serve puts c behind a handler and returns the far end's URL and a client for
// it.
func serve(t testing.TB, c compute.Compute, p protocol) (url string, client *http.Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(compute.NewHandler(c, compute.HandlerOptions{Authorize: compute.AllowAll}))
	p.start(s)
	t.Cleanup(func() { s.Client().CloseIdleConnections(); s.Close() })
	return s.URL, s.Client()
}

// dial returns a remote Compute with c behind it.
func dial(t testing.TB, c compute.Compute, p protocol) compute.Compute {
	t.Helper()
	url, client := serve(t, c, p)
	return dialTo(t, url, client)
}

func dialTo(t testing.TB, url string, client *http.Client) compute.Compute {
	t.Helper()
	r, err := remote.New(t.Context(), remote.Config{URL: url, Client: client})
	require.NoError(t, err, "New")
	t.Cleanup(func() { require.NoError(t, compute.Close(r), "Close") })
	return r
}

func newStub(t testing.TB) compute.Compute {
	c := stub.New(stub.Config{})
	t.Cleanup(func() { require.NoError(t, compute.Close(c), "Close") })
	return c
}
