package runloop_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/runloop/runlooptest"
)

// newLocal returns a backend whose devboxes have real processes.
func newLocal(t testing.TB, dir string) compute.Compute {
	t.Helper()
	c, err := local.New(local.Config{Dir: dir})
	if err != nil {
		t.Skip("this machine cannot isolate: ", err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// emulated is a provider in front of an emulator.
type emulated struct {
	*runloop.Provider
	emulator *runlooptest.Server
	client   *runloopapi.Client
}

// newEmulated returns a provider whose devboxes are sandboxes of the backend.
// With h2 it speaks HTTP/2.
func newEmulated(t testing.TB, backend compute.Compute, h2 bool, cfg runloop.Config, opts ...runloopapi.Option) *emulated {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	server := runlooptest.NewServer(t, runlooptest.WithBackend(backend), runlooptest.WithLogger(log))
	base, err := url.Parse(server.URL)
	require.NoError(t, err)
	opts = append([]runloopapi.Option{
		runloopapi.WithAPIKey(server.APIKey()), runloopapi.WithBaseURL(server.URL),
		runloopapi.WithTunnelDomain("http://tunnel.localhost:" + base.Port()),
	}, opts...)
	if h2 {
		opts = append(opts, runloopapi.WithH2C())
	}
	client, err := runloopapi.New(opts...)
	require.NoError(t, err)
	cfg.Client = client
	p, err := runloop.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return &emulated{p, server, client}
}

// tunnelClient asks for the URLs of the emulator's tunnels, whose host names are
// all this machine's.
func tunnelClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			d := net.Dialer{Timeout: 5 * time.Second}
			return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}}
}
