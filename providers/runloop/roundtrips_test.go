package runloop_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/stub"
)

// requests returns how many requests f takes.
func (e *emulated) requests(t *testing.T, what string, f func() error) int {
	t.Helper()
	count := func() (n int) {
		for _, c := range e.emulator.Counts() {
			n += c
		}
		return n
	}
	before := count()
	require.NoError(t, f(), what)
	return count() - before
}

// What an operation costs is how often it goes to the service and back.
func TestRoundTrips(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	ctx := t.Context()
	var sb compute.Sandbox
	assert.Equal(t, 1, e.requests(t, "create", func() (err error) {
		sb, err = e.CreateSandbox(ctx, nil)
		return err
	}), "create")
	fsys := sb.Filesystem()
	mebibyte := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
	long := append(mebibyte, 'x')
	for _, c := range []struct {
		what string
		want int
		f    func() error
	}{
		{"command", 1, func() error { _, err := compute.Output(ctx, sb, compute.Shell("echo a; echo b >&2")); return err }},
		{"command with long output", 1, func() error {
			out, err := compute.Output(ctx, sb, compute.Shell("seq 100000"))
			assert.Len(t, out, 588895)
			return err
		}},
		{"command with input", 1, func() error {
			cmd := compute.Exec("cat")
			cmd.Stdin = bytes.NewReader(mebibyte[:1000])
			out, err := compute.Output(ctx, sb, cmd)
			assert.Len(t, out, 1000)
			return err
		}},
		{"write", 1, func() error { return fsys.WriteFile(ctx, "d/f", []byte("x"), 0o600) }},
		{"write of a mebibyte", 1, func() error { return fsys.WriteFile(ctx, "d/g", mebibyte, 0o644) }},
		{"write of more", 2, func() error { return fsys.WriteFile(ctx, "d/h", long, 0o644) }},
		{"read", 1, func() error { _, err := fsys.ReadFile(ctx, "d/f"); return err }},
		{"read of a mebibyte", 1, func() error { _, err := fsys.ReadFile(ctx, "d/g"); return err }},
		{"list directory", 1, func() error { _, err := fsys.ReadDir(ctx, "d"); return err }},
		{"stat", 1, func() error { _, err := fsys.Stat(ctx, "d/f"); return err }},
		{"exists", 1, func() error { _, err := compute.Exists(ctx, fsys, "d/none"); return err }},
		{"make directory", 1, func() error { return fsys.MkdirAll(ctx, "d/e", 0o755) }},
		{"rename", 1, func() error { return compute.Rename(ctx, fsys, "d/f", "d/i") }},
		{"remove", 1, func() error { return fsys.RemoveAll(ctx, "d/i") }},
		{"info", 1, func() error { _, err := sb.Info(ctx); return err }},
		{"first url", 1, func() error { _, err := sb.GetURL(ctx, 8080); return err }},
		{"second url", 0, func() error { _, err := sb.GetURL(ctx, 8081); return err }},
		{"get", 1, func() error { _, err := e.GetSandbox(ctx, sb.ID()); return err }},
		{"destroy", 1, func() error { return sb.Destroy(ctx) }},
	} {
		assert.Equal(t, c.want, e.requests(t, c.what, c.f), c.what)
	}
}

func TestRoundTripsOfList(t *testing.T) {
	e := newEmulated(t, stub.New(stub.Config{}), false, runloop.Config{})
	const n = 1000
	for i := range n {
		_, err := e.client.Devboxes.Create(t.Context(), &runloopapi.DevboxCreateParams{Name: fmt.Sprint(i)})
		require.NoError(t, err)
	}
	assert.Equal(t, 1, e.requests(t, "list", func() error {
		found, err := compute.Collect(e.ListSandboxes(t.Context(), nil), 0)
		assert.Len(t, found, n)
		return err
	}))
}

// A service that does not take long commands gets long files another way.
func TestRefusedLongCommand(t *testing.T) {
	for _, status := range []int{400, 413, 500} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{}, runloopapi.WithRetries(0))
			sb := computetest.NewSandbox(t, e.Provider, nil)
			data := bytes.Repeat([]byte("x\x00\xff"), 100_000)
			e.emulator.Inject(fault("executions.execute", status))
			require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "f", data, 0o600))
			got, err := sb.Filesystem().ReadFile(t.Context(), "f")
			require.NoError(t, err)
			assert.Equal(t, data, got)
			assert.Equal(t, 2, e.requests(t, "write", func() error {
				return sb.Filesystem().WriteFile(t.Context(), "f", data, 0o600)
			}), "it is remembered")
		})
	}
}
