package runloop_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/stub"
)

// quickly are devboxes in which the scripts of commands are quick, and in which
// they are not, as the directory that they need cannot be made.
func quickly(t *testing.T, f func(t *testing.T, sb compute.Sandbox)) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	for name, prepare := range map[string]string{
		"quick": "test -d /tmp/.compute/f", // the command before it has made it
		"slow":  "rm -rf /tmp/.compute/f; : >/tmp/.compute/f",
	} {
		t.Run(name, func(t *testing.T) {
			sb := computetest.NewSandbox(t, e.Provider, nil)
			for _, cmd := range []string{"true", prepare} {
				_, err := compute.Output(t.Context(), sb, compute.Shell(cmd))
				require.NoError(t, err)
			}
			f(t, sb)
		})
	}
}

// Whatever an output is, it arrives as it was printed, whether it is sent as it is
// or in base64.
func TestOutputs(t *testing.T) {
	quickly(t, func(t *testing.T, sb compute.Sandbox) {
		for name, want := range map[string]string{
			"nothing": "", "line": "hello\n", "no end of line": "hello", "empty lines": "\n\n\n",
			"like the script's": "=0\n~3\nabc\n:YQ==\n=", "control": "\x01\x1b[1m\r\n\x7f\\\"<>&\u2028",
			"NUL": "a\x00b\n", "begins with NUL": "\x00", "UTF-8": "é€\n", "not UTF-8": "\xff\xfe\xc3", "U+FFFD": "\ufffd",
			"long text": strings.Repeat("0123456789abcde\n", 16<<10-1), "longer text": strings.Repeat("0123456789abcde\n", 16<<10+1),
		} {
			t.Run(name, func(t *testing.T) {
				cmd := compute.Shell("tee /dev/stderr; exit 3")
				cmd.Stdin = strings.NewReader(want)
				res, err := sb.RunCommand(t.Context(), cmd)
				require.NoError(t, err)
				requireSame(t, want, res.Stdout)
				requireSame(t, want, res.Stderr)
				assert.Equal(t, 3, res.ExitCode)
			})
		}
	})
}

// A command whose context ends is killed with its children, and what it has
// printed is returned.
func TestKilledCommand(t *testing.T) {
	quickly(t, func(t *testing.T, sb compute.Sandbox) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			defer cancel()
			for ctx.Err() == nil {
				if ok, err := compute.Exists(ctx, sb.Filesystem(), "begun"); ok || err != nil {
					return
				}
			}
		}()
		res, err := sb.RunCommand(ctx, compute.Shell(`env -i sh -c 'while sleep 0.02; do echo >> beat; done' & echo so far; while ! test -s beat; do sleep 0.01; done; : > begun; wait`))
		require.ErrorIs(t, err, context.Canceled)
		require.NotNil(t, res)
		assert.Equal(t, "so far\n", res.Stdout)
		assert.Equal(t, -1, res.ExitCode)
		count := func() int {
			data, err := sb.Filesystem().ReadFile(t.Context(), "beat")
			require.NoError(t, err)
			return len(data)
		}
		before := count()
		assert.NotZero(t, before)
		time.Sleep(200 * time.Millisecond)
		assert.Equal(t, before, count(), "a child lives on")
	})
}

// A command that kills its process group does not kill the script around it.
func TestKillsItsGroup(t *testing.T) {
	quickly(t, func(t *testing.T, sb compute.Sandbox) {
		res, err := sb.RunCommand(t.Context(), compute.Shell("echo before; kill 0; echo after"))
		require.NoError(t, err)
		assert.Equal(t, 143, res.ExitCode)
		assert.Equal(t, "before\n", res.Stdout)
	})
}

// What commands leave in the devbox does not become more and more.
func TestNothingPilesUp(t *testing.T) {
	quickly(t, func(t *testing.T, sb compute.Sandbox) {
		for range 70 {
			_, err := compute.Output(t.Context(), sb, compute.Exec("echo", "hello"))
			require.NoError(t, err)
		}
		out, err := compute.Output(t.Context(), sb, compute.Shell("find /tmp/.compute ! -size 0 -name '*.o'"))
		require.NoError(t, err)
		assert.Less(t, bytes.Count([]byte(out), []byte("\n")), 40)
	})
}

// slowAnswer ends a context while the answer of a request is on its way.
type slowAnswer struct {
	http.RoundTripper
	to     string
	begun  func() bool
	cancel context.CancelFunc
}

func (s *slowAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if s.cancel == nil || !strings.HasSuffix(r.URL.Path, s.to) {
		return resp, err
	}
	for !s.begun() {
		time.Sleep(5 * time.Millisecond)
	}
	s.cancel()
	time.Sleep(100 * time.Millisecond)
	if r.Context().Err() != nil {
		err = r.Context().Err()
	}
	return resp, err
}

// hung never answers what runs a command.
type hung struct{ http.RoundTripper }

func (h hung) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/execute_async") {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return h.RoundTripper.RoundTrip(r)
}

// Why the context has ended is why the command has failed.
func TestCauseOfKilledCommand(t *testing.T) {
	e := newEmulated(t, stub.New(stub.Config{}), false, runloop.Config{}, runloopapi.WithHTTPClient(&http.Client{Transport: hung{&http.Transport{}}}))
	sb := computetest.NewSandbox(t, e.Provider, nil)
	run := func(ctx context.Context) error {
		cmd := compute.Exec("true")
		cmd.Stdout = io.Discard
		_, err := sb.RunCommand(ctx, cmd)
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := run(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, context.Canceled)
	why := errors.New("why")
	ctx, stop := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { stop(why) })
	err = run(ctx)
	require.ErrorIs(t, err, why)
	require.ErrorIs(t, err, context.Canceled)
}

// What a command has printed is there if its context ends before the service has
// answered that it runs.
func TestKilledAsItBegins(t *testing.T) {
	slow := &slowAnswer{RoundTripper: &http.Transport{}, to: "/execute_async"}
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{}, runloopapi.WithHTTPClient(&http.Client{Transport: slow}))
	sb := computetest.NewSandbox(t, e.Provider, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	slow.begun = func() bool {
		ok, err := compute.Exists(t.Context(), sb.Filesystem(), "begun")
		return ok || err != nil
	}
	slow.cancel = cancel
	var out strings.Builder
	cmd := compute.Shell(`echo so far; : > begun; sleep 1000`)
	cmd.Stdout = &out
	res, err := sb.RunCommand(ctx, cmd)
	require.ErrorIs(t, err, context.Canceled)
	require.NotNil(t, res)
	assert.Equal(t, -1, res.ExitCode)
	assert.Equal(t, "so far\n", out.String())
	left, err := compute.Output(t.Context(), sb, compute.Shell("grep -l 'State:.[^Z]' $(grep -l ^sleep /proc/[0-9]*/comm | sed s/comm/status/) /dev/null || :"))
	require.NoError(t, err)
	assert.Empty(t, left, "the command lives on")
}
