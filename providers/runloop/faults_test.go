package runloop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/runloop/runlooptest"
)

// fault answers the next request for an operation with a status.
func fault(op string, status int) runlooptest.Fault {
	return runlooptest.Fault{Match: op, Status: status}
}

// singleFaults are what can go wrong with one request.
func singleFaults() map[string]runlooptest.Fault {
	return map[string]runlooptest.Fault{
		"refused":          {Status: 429, RetryAfter: 10 * time.Millisecond},
		"down":             {Status: 503, RetryAfter: 10 * time.Millisecond},
		"broken":           {Status: 500, RetryAfter: 10 * time.Millisecond},
		"reset":            {Reset: true},
		"reset afterwards": {AfterWork: true},
		"down afterwards":  {Status: 502, AfterWork: true, RetryAfter: 10 * time.Millisecond},
		"cut at once":      {Cut: true},
		"cut in the body":  {Cut: true, CutAt: 20},
	}
}

// TestSingleFaults puts each fault on each request of an operation, one at a
// time: the operation succeeds as if there had been none, or says what failed;
// nothing runs twice and nothing is left.
func TestSingleFaults(t *testing.T) {
	backend := newLocal(t, t.TempDir())
	e := newEmulated(t, backend, false, runloop.Config{}, runloopapi.WithRetries(1))
	ctx := t.Context()
	sb, err := e.CreateSandbox(ctx, nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, sb.Destroy(context.Background())) })
	want := strings.Repeat("line é\n", 3000) + "\xff\x00"
	require.NoError(t, sb.Filesystem().WriteFile(ctx, "in", []byte(want), 0o644))

	operations := map[string]func(t *testing.T) error{
		"create": func(t *testing.T) error {
			sb, err := e.CreateSandbox(ctx, &compute.CreateSandboxOptions{Metadata: map[string]string{"fault": "1"}})
			if err == nil {
				defer func() { require.NoError(t, sb.Destroy(ctx)) }()
			}
			left := 0
			if err == nil {
				left = 1
			}
			found, lerr := compute.Collect(e.ListSandboxes(ctx, &compute.ListSandboxesOptions{Metadata: map[string]string{"fault": "1"}}), 0)
			require.NoError(t, lerr)
			assert.Len(t, found, left, "devboxes after %v", err)
			return err
		},
		"command": func(t *testing.T) error {
			require.NoError(t, sb.Filesystem().RemoveAll(ctx, "ran"))
			out, err := compute.Output(ctx, sb, compute.Shell("echo x >> ran; cat in"))
			return once(t, sb, err, want, out)
		},
		"streamed command": func(t *testing.T) error {
			require.NoError(t, sb.Filesystem().RemoveAll(ctx, "ran"))
			var out bytes.Buffer
			cmd := compute.Shell("echo x >> ran; cat in")
			cmd.Stdout = &out
			_, err := sb.RunCommand(ctx, cmd)
			return once(t, sb, err, want, out.String())
		},
		"process": func(t *testing.T) error {
			require.NoError(t, sb.Filesystem().RemoveAll(ctx, "ran"))
			p, err := compute.Start(ctx, sb, compute.Shell("echo x >> ran; cat in"))
			var res *compute.Result
			if err == nil {
				if res, err = p.Wait(ctx); err == nil {
					return once(t, sb, err, want, res.Stdout)
				}
			}
			return once(t, sb, err, want, "")
		},
		"write": func(t *testing.T) error {
			err := sb.Filesystem().WriteFile(ctx, "out", []byte(want), 0o600)
			if err == nil {
				got, err := sb.Filesystem().ReadFile(ctx, "out")
				require.NoError(t, err)
				assert.Equal(t, want, string(got))
			}
			return err
		},
		"read": func(t *testing.T) error {
			got, err := sb.Filesystem().ReadFile(ctx, "in")
			if err == nil {
				assert.Equal(t, want, string(got), "half a file is none")
			}
			return err
		},
		"list": func(t *testing.T) error {
			found, err := compute.Collect(e.ListSandboxes(ctx, nil), 0)
			if err == nil {
				assert.NotEmpty(t, found)
			}
			return err
		},
		"destroy": func(t *testing.T) error { return e.DestroySandbox(ctx, "dbx_none") },
	}
	for name, op := range operations {
		for what, f := range singleFaults() {
			t.Run(name+"/"+what, func(t *testing.T) {
				f.Match = target(name)
				remove := e.emulator.Inject(f)
				defer remove()
				if err := op(t); err != nil {
					typed, ok := errors.AsType[*compute.Error](err)
					require.True(t, ok, "error is a %T: %v", err, err)
					assert.Error(t, typed.Kind, "%v", err)
					assert.NotErrorIs(t, err, compute.ErrNotFound)
				}
			})
		}
	}
}

// target is the operation of the emulator whose next request goes wrong.
func target(op string) string {
	return map[string]string{
		"create": "devboxes.create*", "command": "executions.execute", "streamed command": "executions.stream_stdout",
		"process": "executions.execute_async", "write": "executions.execute", "read": "files.download", "list": "devboxes.list",
		"destroy": "devboxes.shutdown",
	}[op]
}

// once checks that a command that did not fail ran once, and one that failed at
// most once, and that no byte was lost.
func once(t *testing.T, sb compute.Sandbox, err error, want, got string) error {
	t.Helper()
	ran, rerr := sb.Filesystem().ReadFile(t.Context(), "ran")
	if err == nil {
		require.NoError(t, rerr)
		assert.Equal(t, "x\n", string(ran), "how often it ran")
		requireSame(t, want, got)
		return nil
	}
	assert.LessOrEqual(t, len(ran), 2, "it ran more than once")
	return err
}

// requireSame is Equal that does not print kilobytes.
func requireSame(t *testing.T, want, got string) {
	t.Helper()
	if want != got {
		t.Fatalf("%d bytes, want %d others", len(got), len(want))
	}
}

// A key that is not accepted is an error that says so, and holds no key.
func TestUnauthorized(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{}, runloopapi.WithAPIKey("wr0ng-key"))
	_, err := e.CreateSandbox(t.Context(), nil)
	require.ErrorIs(t, err, compute.ErrUnauthorized)
	assert.True(t, compute.NothingDone(err))
	assert.NotContains(t, fmt.Sprintf("%+v", err), "wr0ng-key")
}
