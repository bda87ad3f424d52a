package runloop_test

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/runloop"
)

// perlServer answers each connection in a process of its own.
const perlServer = `$SIG{PIPE} = $SIG{CHLD} = "IGNORE";
my $s = IO::Socket::INET->new(LocalPort => %d, Listen => 64, ReuseAddr => 1) or die;
while (my $c = $s->accept) {
  if (!fork) { while (<$c>) { last if /^\r?$/ } print $c "HTTP/1.0 200 OK\r\n\r\nok"; exit }
  close $c
}`

// abilities are those that the provider must not lose.
var abilities = []string{"Starter", "ProcessGetter", "ProcessLister", "ShellOpener", "Suspender", "Waiter", "MetadataUpdater",
	"EventWatcher", "UsageReporter", "Dialer", "Endpointer", "URLCloser", "SSHer", "TemplateLogger",
	"FileOpener", "FileCreator", "Renamer", "Archiver", "FileWatcher", "Signaler", "StdinOpener", "Resizer"}

// long reports whether there is time for all: COMPUTE_TEST_LONG is set.
func long() bool { return os.Getenv("COMPUTE_TEST_LONG") != "" }

func conformance(t *testing.T, h2 bool) {
	dir := t.TempDir()
	computetest.Run(t, func(t testing.TB) compute.Compute {
		return newEmulated(t, newLocal(t, dir), h2, runloop.Config{}).Provider
	}, computetest.Config{
		Snapshots: true, Templates: true, Abilities: abilities,
		Client: func(compute.Compute) *http.Client { return tunnelClient() },
		Serve: func(port int) *compute.Command {
			return compute.Exec("perl", "-MIO::Socket::INET", "-e", fmt.Sprintf(perlServer, port))
		},
		Slow: 3, Parallel: !long(),
	})
}

func TestConformance(t *testing.T)      { conformance(t, false) }
func TestConformanceHTTP2(t *testing.T) { conformance(t, true) }
