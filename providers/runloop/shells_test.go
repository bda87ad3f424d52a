package runloop_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/runloop"
)

// floodScript prints without end to both outputs until the devbox throws some of
// it away, which it says by its exit code.
const floodScript = `seq 10000000 inf & a=$!
seq 10000000 inf >&2 & b=$!
n=0 found=1
while [ $n -lt 100 ] && [ $found != 0 ]; do
n=$((n+1)); sleep .1
[ -e /tmp/.compute/*/od ] && [ -e /tmp/.compute/*/ed ] && found=0
done
[ "$(jobs -p | wc -l)" = 2 ] || found=2
kill $a $b
wait
`

// What a command of a named shell prints without end does not fill the disk of the
// devbox either; the shell does not notice, and nothing is left of it.
func TestEndlessOutputOfShells(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	sb := computetest.NewSandbox(t, e.Provider, nil)
	sh, err := compute.OpenShell(t.Context(), sb, "flood")
	require.NoError(t, err)
	t.Run("ends", func(t *testing.T) {
		for _, line := range []string{"set -eu -o noclobber; IFS=,", "true", "set +e"} {
			_, err := sh.RunCommand(t.Context(), compute.Shell(line))
			require.NoError(t, err, line)
		}
		res, err := sh.RunCommand(t.Context(), compute.Shell(floodScript+"(exit $found)"))
		require.NoError(t, err)
		assert.Equal(t, 0, res.ExitCode, "nothing was thrown away")
		for _, out := range []string{res.Stdout, res.Stderr} {
			assert.Len(t, out, compute.MaxCapture)
			assert.True(t, strings.HasPrefix(out, "10000000\n10000001\n"))
		}
		assert.True(t, res.Truncated)
	})
	t.Run("is killed", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		res, err := sh.RunCommand(ctx, compute.Shell("seq 10000000 inf & seq 10000000 inf >&2; touch /tmp/not-killed"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		for _, out := range []string{res.Stdout, res.Stderr} {
			assert.True(t, strings.HasPrefix(out, "10000000\n10000001\n"), "%d bytes: %v", len(out), err)
		}
	})
	require.NoError(t, sh.Close(t.Context()))
	out, err := compute.Output(t.Context(), sb, compute.Shell(`n=0
while cat /proc/[0-9]*/cmdline | tr '\0' ' ' | grep -q 'pos [8] o' && [ $n -lt 100 ]; do n=$((n+1)); sleep .1; done
cat /proc/[0-9]*/cmdline | tr '\0' ' ' | grep -c 'pos [8] o'; find /tmp/.compute -path '*/f' -prune -o -size +100k -print; ls /tmp/not-killed 2>/dev/null; true`))
	require.NoError(t, err)
	assert.Equal(t, "0\n", out)
}

// Writers get all that a command of a named shell prints, however much that is.
func TestLongOutputOfShells(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	sb := computetest.NewSandbox(t, e.Provider, nil)
	sh, err := compute.OpenShell(t.Context(), sb, "long")
	require.NoError(t, err)
	const size = compute.MaxCapture + 1<<20
	var out, errs counter
	cmd := compute.Shell(fmt.Sprintf("head -c %d /dev/zero; head -c %[1]d /dev/zero >&2", size))
	cmd.Stdout, cmd.Stderr = &out, &errs
	res, err := sh.RunCommand(t.Context(), cmd)
	require.NoError(t, err)
	assert.Equal(t, []int{size, size}, []int{int(out), int(errs)})
	assert.False(t, res.Truncated)
	require.NoError(t, sh.Close(t.Context()))
}

// counter counts the bytes that are written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
