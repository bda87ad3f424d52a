//go:build linux

package local_test

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

const lagSize = 20 << 20 // more than twice what is kept of a stream

// numbers prints lagSize bytes that are nowhere the same, and then says so in a file.
const numbers = `perl -e 'for (my $n = 0; $n < 20 << 20; $n += 64) { printf "%63d\n", $n }'; : > done`

// A stalled writer takes nothing until it is let go.
type stalled struct {
	sum hash.Hash
	n   atomic.Int64
	let chan struct{}
}

func (w *stalled) Write(p []byte) (int, error) {
	<-w.let
	w.n.Add(int64(len(p)))
	return w.sum.Write(p)
}

func numbersSum(t *testing.T, c compute.Compute) []byte {
	t.Helper()
	sum := sha256.New()
	sb := computetest.NewSandbox(t, c, nil)
	cmd := compute.Shell(numbers)
	cmd.Stdout = sum
	_, err := sb.RunCommand(t.Context(), cmd)
	require.NoError(t, err)
	return sum.Sum(nil)
}

// A process waits for its writers, as a command in the foreground does.
func TestWriterThatLags(t *testing.T) {
	for _, isolation := range []local.Isolation{local.Namespaces, local.Landlock, local.None, local.GVisor} {
		t.Run(string(isolation), func(t *testing.T) {
			dir := passable(t)
			if isolation == local.GVisor {
				newGVisor(t, dir) // or skip
			}
			c := newLocal(t, dir, isolation)
			want := numbersSum(t, c)
			sb := computetest.NewSandbox(t, c, nil)
			for name, stream := range map[string]string{"stdout": "", "stderr": " >&2"} {
				t.Run(name, func(t *testing.T) {
					script(t, sb, "rm -f done")
					w := &stalled{sum: sha256.New(), let: make(chan struct{})}
					cmd := compute.Shell("{ " + numbers + "; }" + stream)
					if stream == "" {
						cmd.Stdout, cmd.Stderr = w, io.Discard
					} else {
						cmd.Stdout, cmd.Stderr = io.Discard, w
					}
					p, err := compute.Start(t.Context(), sb, cmd)
					require.NoError(t, err)
					assert.Never(t, func() bool {
						ok, _ := compute.Exists(t.Context(), sb.Filesystem(), "done")
						return ok
					}, time.Second, 100*time.Millisecond, "the process waits")
					close(w.let)
					res, err := p.Wait(t.Context())
					require.NoError(t, err)
					assert.Zero(t, res.ExitCode)
					assert.False(t, res.Truncated)
					assert.Equal(t, int64(lagSize), w.n.Load())
					assert.Equal(t, want, w.sum.Sum(nil))
				})
			}
		})
	}
}

// Once its writer's provider is closed, a process waits for nobody: it goes on,
// and what is lost is no secret.
func TestWriterThatIsGone(t *testing.T) {
	dir := t.TempDir()
	c, err := local.New(local.Config{Dir: dir, Isolation: local.Namespaces})
	require.NoError(t, err)
	again := newLocal(t, dir, local.Namespaces)
	sb, err := c.CreateSandbox(t.Context(), nil)
	if err != nil {
		require.NoError(t, c.Close())
		t.Skip("this machine cannot isolate: ", err)
	}
	w := &stalled{sum: sha256.New(), let: make(chan struct{})}
	cmd := compute.Shell(numbers)
	cmd.Stdout = w
	p, err := compute.Start(t.Context(), sb, cmd)
	require.NoError(t, err)
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	sb, err = again.GetSandbox(t.Context(), sb.ID())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, sb.Destroy(context.Background())) })
	waitFor(t, sb, "done")
	close(w.let)
	require.NoError(t, <-closed)
	assert.Less(t, w.n.Load(), int64(lagSize))
	p, err = compute.GetProcess(t.Context(), sb, p.ID())
	require.NoError(t, err)
	assert.ErrorIs(t, p.Attach(t.Context(), io.Discard, nil), compute.ErrTruncated)
	res, err := p.Wait(t.Context())
	require.NoError(t, err)
	assert.True(t, res.Truncated)
}
