package runloop_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// perlEcho says what it was asked, and echoes lines where the protocol is
// changed to that.
const perlEcho = `$SIG{PIPE} = $SIG{CHLD} = "IGNORE"; $| = 1;
my $s = IO::Socket::INET->new(LocalPort => 3000, Listen => 64, ReuseAddr => 1) or die;
print "ready\n";
while (my $c = $s->accept) {
  next if fork;
  my ($line, $n, $up) = (scalar <$c>, 0, 0);
  while (<$c>) { last if /^\r?$/; $n = $1 if /^content-length: *(\d+)/i; $up = 1 if /^upgrade: *echo/i }
  $c->autoflush(1);
  if ($up) { print $c "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"; while (<$c>) { print $c "echo $_" } exit }
  read($c, my $body, $n); $line =~ s/ HTTP.*//s;
  print $c "HTTP/1.1 200 OK\r\nContent-Length: " . length("$line $body") . "\r\nConnection: close\r\n\r\n$line $body"; exit
}`

// byTunnel hides that devboxes can be dialed. The URLs of tunnels, whose host
// names only a service's DNS knows, are reached through front.
type byTunnel struct {
	compute.Compute
	front string
}

type tunneled struct {
	compute.Sandbox
	front string
}

func (c byTunnel) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	sb, err := c.Compute.GetSandbox(ctx, id)
	return tunneled{sb, c.front}, err
}

func (s tunneled) Endpoint(ctx context.Context, port int) (*compute.Endpoint, error) {
	ep, err := compute.GetEndpoint(ctx, s.Sandbox, port)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(ep.URL)
	if err != nil {
		return nil, err
	}
	header := ep.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("X-Tunnel", u.Host)
	return &compute.Endpoint{URL: s.front, Header: header}, nil
}

// newFront stands for the DNS of tunnels.
func newFront(t *testing.T, emulator string) string {
	to, err := url.Parse(emulator)
	require.NoError(t, err)
	srv := httptest.NewServer(&httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Header.Get("X-Tunnel")
	}})
	t.Cleanup(srv.Close)
	return srv.URL
}

// The ports of devboxes are served by a compute.Proxy, over SSH and through
// tunnels that want a token.
func TestProxy(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{Tunnel: runloopapi.TunnelConfig{AuthMode: runloopapi.TunnelAuthenticated}})
	sb := computetest.NewSandbox(t, e.Provider, nil)
	out, in := io.Pipe()
	cmd := compute.Exec("perl", "-MIO::Socket::INET", "-e", perlEcho)
	cmd.Stdout = in
	_, err := compute.Start(t.Context(), sb, cmd)
	require.NoError(t, err)
	_, err = io.ReadFull(out, make([]byte, len("ready\n")))
	require.NoError(t, err)
	for name, c := range map[string]compute.Compute{"SSH": e.Provider, "tunnel": byTunnel{e.Provider, newFront(t, e.emulator.URL)}} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(nil)
			p, err := compute.NewProxy(c, compute.ProxyOptions{URL: "http://" + srv.Listener.Addr().String() + "/p/",
				Authorize: func(*http.Request, *compute.ProxyRequest) error { return nil }, HeaderTimeout: 20 * time.Second})
			require.NoError(t, err)
			srv.Config.Handler = p
			srv.Start()
			defer srv.Close()
			defer p.Close()
			u, err := p.URL(sb.ID(), 3000)
			require.NoError(t, err)
			for range 2 {
				resp, err := srv.Client().Post(u+"a%2Fb?c", "text/plain", strings.NewReader("body"))
				require.NoError(t, err)
				got, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				resp.Body.Close()
				require.Equal(t, "POST /a%2Fb?c body", string(got))
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
			require.NoError(t, err)
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "echo")
			resp, err := srv.Client().Do(r)
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
			conn := resp.Body.(io.ReadWriter)
			for _, line := range []string{"one\n", "two\n"} {
				_, err = io.WriteString(conn, line)
				require.NoError(t, err)
				got := make([]byte, len("echo ")+len(line))
				_, err = io.ReadFull(conn, got)
				require.NoError(t, err)
				require.Equal(t, "echo "+line, string(got))
			}
		})
	}
}
