package runlooptest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"testing"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// Server is an [Emulator] that listens on a port of this machine.
type Server struct {
	*Emulator

	// URL is the base URL for clients, without a slash at its end.
	URL string

	client *http.Client
	trust  *tls.Config
}

// NewServer starts an emulator for a test and closes it, with all its devboxes,
// when the test ends. [WithBackend] is required.
func NewServer(t testing.TB, opts ...Option) *Server {
	t.Helper()
	e, err := New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(true)
	scheme := "http"
	if e.opts.tls {
		cert, err := e.certificate()
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AddCert(cert.Leaf)
		transport.Protocols.SetHTTP2(true)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		scheme = "https"
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- e.Serve(ctx, l) }()
	t.Cleanup(func() {
		if err := e.Close(); err != nil { // first: it ends what would hold Serve up
			t.Error(err)
		}
		transport.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return &Server{Emulator: e, URL: scheme + "://" + l.Addr().String(), client: &http.Client{Transport: transport},
		trust: transport.TLSClientConfig}
}

// Client returns a client that trusts the server's certificate.
func (s *Server) Client() *http.Client { return s.client }

// ClientOptions returns the options of a client of package runloopapi for this
// server.
func (s *Server) ClientOptions() []runloopapi.Option {
	opts := []runloopapi.Option{runloopapi.WithBaseURL(s.URL), runloopapi.WithAPIKey(s.APIKey())}
	if s.trust != nil {
		opts = append(opts, runloopapi.WithHTTPClient(s.client))
	}
	return opts
}
