//go:build linux

package engine

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What nobody looks at before the end is read at the end. That must make no
// difference, however long the command runs and however much it prints.
func TestCaptured(t *testing.T) {
	b := newBox(t)
	run := func(t *testing.T, ctx context.Context, script string, max int64) (out, errs string, exit Exit, err error) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		exit, err = b.Exec(ctx, Command{
			Argv: []string{"/bin/sh", "-c", script}, Stdout: &stdout, Stderr: &stderr, Captured: true, MaxOutput: max,
		})
		return stdout.String(), stderr.String(), exit, err
	}
	for name, test := range map[string]struct{ script, out, errs string }{
		"nothing":              {":", "", ""},
		"both streams":         {"echo out; echo err >&2", "out\n", "err\n"},
		"a little later":       {"echo now; sleep 0.05; echo later", "now\nlater\n", ""},
		"more than a pipe has": {"head -c 300000 /dev/zero; head -c 200000 /dev/zero >&2", strings.Repeat("\x00", 300_000), strings.Repeat("\x00", 200_000)},
		"all of a pipe":        {"head -c 65536 /dev/zero", strings.Repeat("\x00", 65536), ""},
		"held open":            {"echo now; sleep 30 & ", "now\n", ""},
		"held open on one":     {"echo now; echo err >&2; sleep 30 2>/dev/null & ", "now\n", "err\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 5 { // with a spare connection and without
				out, errs, exit, err := run(t, t.Context(), test.script, 0)
				require.NoError(t, err)
				assert.Zero(t, exit.Code)
				assert.Equal(t, test.out, out)
				assert.Equal(t, test.errs, errs)
			}
		})
	}
	t.Run("killed", func(t *testing.T) {
		for _, after := range []time.Duration{0, soonTime / 5, soonTime, 4 * soonTime} {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			start := time.Now()
			_, _, _, err := run(t, ctx, "echo begun; sleep 1000", 0)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Less(t, time.Since(start), 10*time.Second)
		}
	})
	t.Run("bounded", func(t *testing.T) {
		out, _, exit, err := run(t, t.Context(), "head -c 60000 /dev/zero", 1000)
		require.NoError(t, err)
		assert.Len(t, out, 1000)
		assert.Equal(t, LimitOutput, exit.Limit)
	})
	t.Run("as no program", func(t *testing.T) {
		_, err := b.Exec(t.Context(), Command{Argv: []string{"/no/program"}, Captured: true})
		require.ErrorIs(t, err, ErrNotFound)
	})
	t.Run("more at once than may wait for it", func(t *testing.T) {
		var all sync.WaitGroup
		for range maxSoon + 20 {
			all.Go(func() {
				out, _, _, err := run(t, t.Context(), "sleep 0.01; echo $$", 0)
				assert.NoError(t, err)
				assert.NotEmpty(t, out)
			})
		}
		all.Wait()
		assert.Empty(t, waitingSoon)
	})
}
