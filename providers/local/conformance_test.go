package local_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// newLocal returns a provider. All of a test's share the state directory dir.
func newLocal(t testing.TB, dir string, isolation local.Isolation) *local.Provider {
	t.Helper()
	c, err := local.New(local.Config{Dir: dir, Isolation: isolation})
	if err != nil {
		if strings.Contains(os.Getenv("COMPUTE_TEST_REQUIRE"), "local") {
			t.Fatal(err)
		}
		t.Skip("this machine cannot isolate: ", err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	computetest.Run(t, func(t testing.TB) compute.Compute { return newLocal(t, dir, local.Namespaces) }, computetest.Config{
		Snapshots: true, Templates: true,
		Abilities: []string{"Starter", "ProcessGetter", "ProcessLister", "Suspender", "MetadataUpdater", "Rollbacker", "Dialer",
			"TemplateLogger", "Extender", "UsageReporter", "EventWatcher", "URLOpener", "URLLister", "URLCloser", "NetworkPolicer", "SSHer",
			"FileOpener", "FileCreator", "Renamer", "Archiver", "FileWatcher", "ShellOpener", "Volumes",
			"Signaler", "StdinOpener", "Resizer"},
		Client: func(compute.Compute) *http.Client { return localhostClient() },
		Serve: func(port int) *compute.Command {
			return compute.Exec("perl", "-MIO::Socket::INET", "-e", fmt.Sprintf(perlServer, port))
		},
	})
}

// perlServer serves each connection in a process of its own, as some clients
// connect and say nothing.
const perlServer = `$SIG{PIPE} = $SIG{CHLD} = "IGNORE";
my $s = IO::Socket::INET->new(LocalPort => %d, Listen => 64, ReuseAddr => 1) or die;
while (my $c = $s->accept) {
  if (!fork) { while (<$c>) { last if /^\r?$/ } print $c "HTTP/1.0 200 OK\r\n\r\nok"; exit }
  close $c
}`
