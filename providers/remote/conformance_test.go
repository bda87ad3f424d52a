package remote_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/runloop/runlooptest"
)

// longTests switches on what takes minutes.
const longTests = "COMPUTE_TEST_LONG"

// backends are what stands behind the handler.
var backends = []struct {
	name   string
	long   bool
	shared bool // all checks in front of one, side by side
	new    func(testing.TB) compute.Compute
	cfg    computetest.Config
}{
	{"Stub", false, false, newStub, computetest.Config{Templates: true, Snapshots: true}},
	{"Local", true, false, newLocal, computetest.Config{Templates: true, Snapshots: true, Slow: 3, Serve: servePerl,
		Client: func(compute.Compute) *http.Client { return localhostClient() }}},
	{"Runloop", true, true, newRunloop, computetest.Config{Templates: true, Snapshots: true, Slow: 3, Serve: servePerl,
		Client: func(compute.Compute) *http.Client { return localhostClient() }}},
}

// perlServer answers each connection in a process of its own.
const perlServer = `$SIG{PIPE} = $SIG{CHLD} = "IGNORE";
my $s = IO::Socket::INET->new(LocalPort => %d, Listen => 64, ReuseAddr => 1) or die;
while (my $c = $s->accept) {
  if (!fork) { while (<$c>) { last if /^\r?$/ } print $c "HTTP/1.0 200 OK\r\n\r\nok"; exit }
  close $c
}`

func servePerl(port int) *compute.Command {
	return compute.Exec("perl", "-MIO::Socket::INET", "-e", fmt.Sprintf(perlServer, port))
}

// newRunloop returns a provider in front of an emulator whose devboxes have real
// processes.
func newRunloop(t testing.TB) compute.Compute {
	server := runlooptest.NewServer(t, runlooptest.WithBackend(newLocal(t)))
	base, err := url.Parse(server.URL)
	require.NoError(t, err)
	client, err := runloopapi.New(runloopapi.WithAPIKey(server.APIKey()), runloopapi.WithBaseURL(server.URL),
		runloopapi.WithTunnelDomain("http://tunnel.localhost:"+base.Port()))
	require.NoError(t, err)
	c, err := runloop.New(runloop.Config{Client: client})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Close(), "Close")
		require.NoError(t, client.Close(), "Close")
	})
	return c
}

// localhostClient asks for URLs whose host names are all this machine's: those of
// local sandboxes and of the emulator's tunnels.
func localhostClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}}
}

// newLocal returns a provider with a state directory of its own.
func newLocal(t testing.TB) compute.Compute {
	c, err := local.New(local.Config{Dir: t.TempDir(), Isolation: local.Namespaces})
	if err != nil {
		t.Skip("this machine cannot isolate: ", err)
	}
	t.Cleanup(func() { require.NoError(t, c.Close(), "Close") })
	return c
}

// TestConformance looks for goroutines after every check over HTTP/1.1, and at
// the end over HTTP/2, where the checks run at the same time.
func TestConformance(t *testing.T) {
	for _, b := range backends {
		for _, p := range protocols {
			t.Run(b.name+"/"+p.name, func(t *testing.T) {
				if b.long && os.Getenv(longTests) == "" {
					t.Skip("set " + longTests + " to run it")
				}
				cfg := b.cfg
				cfg.Parallel = b.shared || p.name == "HTTP2"
				one := b.new(t)
				cfg.Abilities = slices.DeleteFunc(abilities(t, one), func(name string) bool {
					return b.name == "Runloop" && name == "Extender" // no further than the lifetime that a devbox was made with
				})
				computetest.Run(t, func(t testing.TB) compute.Compute {
					if b.shared {
						return dial(t, one, p)
					}
					return dial(t, b.new(t), p)
				}, cfg)
			})
		}
	}
}

// TestLocal is what of the conformance suite makes real processes count, for
// every run.
func TestLocal(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			c := dial(t, newLocal(t), p)
			sb := computetest.NewSandbox(t, c, nil)
			res, err := sb.RunCommand(t.Context(), compute.Shell("echo out; echo err >&2; exit 3"))
			require.NoError(t, err, "RunCommand")
			require.Equal(t, "out\n", res.Stdout)
			require.Equal(t, "err\n", res.Stderr)
			require.Equal(t, 3, res.ExitCode)
			require.Subset(t, compute.Abilities(sb), []string{"Starter", "Dialer", "ShellOpener"})
		})
	}
}

// TestRunloop is what is different about devboxes, for every run: their outputs
// are streams of text, and their files and snapshots a service's.
func TestRunloop(t *testing.T) {
	far := newRunloop(t)
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			c := dial(t, far, p)
			sb := computetest.NewSandbox(t, c, nil)
			data := strings.Repeat("\x00\xff\r\n", 50_000)
			require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "/tmp/f", []byte(data), 0o600))
			var out, errs strings.Builder
			cmd := compute.Shell("cat - /tmp/f; echo err >&2; exit 3")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("in"), &out, &errs
			res, err := sb.RunCommand(t.Context(), cmd)
			require.NoError(t, err)
			require.Equal(t, []any{3, "err\n", true}, []any{res.ExitCode, errs.String(), out.String() == "in"+data})
			out.Reset()
			cmd.Stdin = strings.NewReader("again")
			proc, err := compute.Start(t.Context(), sb, cmd)
			require.NoError(t, err)
			res, err = proc.Wait(t.Context())
			require.NoError(t, err)
			require.Equal(t, []any{3, true, false}, []any{res.ExitCode, out.String() == "again"+data, res.Truncated})
			require.Subset(t, compute.Abilities(sb), []string{"Starter", "Dialer", "ShellOpener", "Suspender", "Endpointer"})
		})
	}
}

// abilities returns all that c can do: nothing of it may get lost on the way.
func abilities(t *testing.T, c compute.Compute) []string {
	sb := computetest.NewSandbox(t, c, nil)
	names := append(compute.Abilities(c), append(compute.Abilities(sb), compute.Abilities(sb.Filesystem())...)...)
	if p, err := compute.Start(t.Context(), sb, compute.Exec("true")); err == nil {
		names = append(names, compute.Abilities(p)...)
	}
	return names
}
