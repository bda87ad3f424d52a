package runloop_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

// heavy are checks that take thousands of processes or tens of megabytes. The
// same code is under other checks too.
func heavy() map[string]string {
	if long() {
		return nil
	}
	skip := map[string]string{}
	for _, name := range []string{
		"BytesAreBytes/CaptureFull", "BytesAreBytes/CaptureOverfull", "BytesAreBytes/WritersAreNotBounded", "BytesAreBytes/OutputFunction",
		"BytesAreBytes/FilesOfEverySize", "BytesAreBytes/ErrorCaptureOverfull", "NamesAreHostile/Files", "NamesAreHostile/Directories", "NamesAreHostile/EnvironmentValues", "IOFS/TestFS",
		"NothingIsDroppedInSilence/OutputOfAWriterThatLags", "ListsAreLazy/ManyPages", "SafeForConcurrentUse/OneCommand",
	} {
		skip[name] = "it is heavy, and COMPUTE_TEST_LONG is not set"
	}
	return skip
}

// Without COMPUTE_TEST_LONG the checks run side by side, in front of one
// emulator, and the heavy ones not at all.
func conformance(t *testing.T, h2 bool) {
	newCompute := func(t testing.TB) compute.Compute {
		return newEmulated(t, newLocal(t, t.TempDir()), h2, runloop.Config{}).Provider
	}
	if !long() {
		shared := newCompute(t)
		newCompute = func(testing.TB) compute.Compute { return shared }
	}
	computetest.Run(t, newCompute, computetest.Config{
		Skip:      heavy(),
		Snapshots: true, Templates: true, Abilities: abilities,
		Client: func(compute.Compute) *http.Client { return tunnelClient() },
		Serve: func(port int) *compute.Command {
			return compute.Exec("perl", "-MIO::Socket::INET", "-e", fmt.Sprintf(perlServer, port))
		},
		Slow: 3, Parallel: !long(),
	})
}

func TestConformance(t *testing.T) { conformance(t, false) }

// With COMPUTE_TEST_HTTP2 it runs as the one above does without COMPUTE_TEST_LONG.
func TestConformanceHTTP2(t *testing.T) {
	if !long() && os.Getenv("COMPUTE_TEST_HTTP2") == "" {
		t.Skip("neither COMPUTE_TEST_LONG nor COMPUTE_TEST_HTTP2 is set")
	}
	conformance(t, true)
}

// What differs between HTTP/1.1 and HTTP/2 is how requests share connections,
// and how they are given up.
func TestHTTP2(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), true, runloop.Config{})
	sb := computetest.NewSandbox(t, e.Provider, nil)
	var out bytes.Buffer
	cmd := compute.Shell("cat; echo err >&2; exit 3")
	cmd.Stdin, cmd.Stdout = strings.NewReader("in\n"), &out
	res, err := sb.RunCommand(t.Context(), cmd)
	require.NoError(t, err)
	assert.Equal(t, 3, res.ExitCode)
	assert.Equal(t, "err\n", res.Stderr)
	assert.Equal(t, "in\n", out.String())
	data := bytes.Repeat([]byte("\x00\xffx"), 1<<20)
	require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "f", data, 0o600))
	got, err := sb.Filesystem().ReadFile(t.Context(), "f")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(data, got))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	res, err = sb.RunCommand(ctx, compute.Shell("echo so far; sleep 60"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotNil(t, res)
	assert.Equal(t, -1, res.ExitCode)
	for _, r := range e.emulator.Requests() {
		assert.Equal(t, "HTTP/2.0", r.Proto, r.Op)
	}
}
