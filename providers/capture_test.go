package providers_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

func TestCapture(t *testing.T) {
	var c providers.Capture
	require.Empty(t, c.String())
	big := strings.Repeat("x", compute.MaxCapture-1)
	for _, s := range []string{big, "yz", "more"} {
		n, err := io.WriteString(&c, s)
		require.NoError(t, err)
		require.Equal(t, len(s), n)
	}
	require.True(t, c.Truncated())
	require.Equal(t, big+"y", c.String())

	var full providers.Capture
	_, _ = io.WriteString(&full, big+"z")
	require.False(t, full.Truncated(), "exactly full is not too much")
}

func TestCaptureCostsNothingUnused(t *testing.T) {
	require.Zero(t, testing.AllocsPerRun(100, func() {
		var c providers.Capture
		_, _ = c.Write(nil)
		_ = c.String()
	}))
}

func TestStreamsCollect(t *testing.T) {
	var out strings.Builder
	s := providers.NewStreams(&compute.Command{Stdout: &out})
	_, _ = io.WriteString(s.Stdout, "to the writer")
	_, _ = io.WriteString(s.Stderr, "kept")
	res := &compute.Result{}
	s.Close(res)
	_, err := io.WriteString(s.Stdout, "late")
	require.NoError(t, err)
	_, err = io.WriteString(s.Stderr, "late")
	require.NoError(t, err)
	require.Equal(t, "to the writer", out.String())
	require.Equal(t, &compute.Result{Stderr: "kept"}, res)
}

// lone fails if it is entered twice at a time.
type lone struct{ busy sync.Mutex }

func (l *lone) Write(p []byte) (int, error) {
	if !l.busy.TryLock() {
		return 0, errors.New("two writes at a time")
	}
	defer l.busy.Unlock()
	return len(p), nil
}

// uncomparable cannot be told from another of its kind.
type uncomparable struct {
	*lone
	_ []int
}

func TestStreamsEqualWriters(t *testing.T) {
	l := &lone{}
	for name, w := range map[string]io.Writer{"same": l, "uncomparable": uncomparable{lone: l}} {
		t.Run(name, func(t *testing.T) {
			s := providers.NewStreams(&compute.Command{Stdout: w, Stderr: w})
			var wg sync.WaitGroup
			for _, w := range []io.Writer{s.Stdout, s.Stderr} {
				wg.Go(func() {
					for range 1000 {
						_, _ = w.Write([]byte("x"))
					}
				})
			}
			wg.Wait()
			require.NoError(t, s.Err())
		})
	}
}

// A reader that takes one stream to its end before the other must not hang.
func TestStreamsDoNotHoldUpEachOther(t *testing.T) {
	or, ow := io.Pipe()
	er, ew := io.Pipe()
	s := providers.NewStreams(&compute.Command{Stdout: ow, Stderr: ew})
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.WriteString(s.Stderr, "e") })
	wg.Go(func() { _, _ = io.WriteString(s.Stdout, "o"); _ = ow.Close() })
	_, err := io.ReadAll(or)
	require.NoError(t, err)
	_, err = er.Read(make([]byte, 1))
	require.NoError(t, err)
	wg.Wait()
}

type failing struct{ n int }

func (f failing) Write(p []byte) (int, error) { return min(f.n, len(p)), nil }

func TestStreamsErr(t *testing.T) {
	s := providers.NewStreams(&compute.Command{Stderr: failing{1}})
	require.NoError(t, s.Err())
	_, err := io.WriteString(s.Stderr, "xy")
	require.ErrorIs(t, err, io.ErrShortWrite)
	_, err = io.WriteString(s.Stderr, "z")
	require.ErrorIs(t, err, io.ErrShortWrite, "it stays failed")
	require.ErrorIs(t, s.Err(), io.ErrShortWrite)
}

func BenchmarkStreams(b *testing.B) {
	cmd := compute.Exec("true")
	b.ReportAllocs()
	for b.Loop() {
		s := providers.NewStreams(cmd)
		s.Close(&compute.Result{})
	}
}
