//go:build linux

package local_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// Writers whom nobody reads, and who have given up, must not stay in init: it
// has room for 16 at a time.
func TestStdinNobodyReads(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	for name, cmd := range map[string]*compute.Command{
		"pipe":     {Script: "while [ ! -e go ]; do sleep 0.02; done; wc -c", OpenStdin: true},
		"terminal": {Script: "stty raw -echo; : >ready; while [ ! -e go ]; do sleep 0.02; done; head -c 100 | wc -c", OpenStdin: true, TTY: &compute.TTY{}},
	} {
		t.Run(name, func(t *testing.T) {
			script(t, sb, "rm -f go ready")
			p, err := compute.Start(t.Context(), sb, cmd)
			require.NoError(t, err)
			if cmd.TTY != nil {
				waitFor(t, sb, "ready")
			}
			for range 3 {
				giveUp(t, p, 10)
			}
			require.Eventually(t, func() bool {
				_, err := compute.OpenStdin(t.Context(), p)
				return err == nil
			}, 10*time.Second, 10*time.Millisecond, "there is no room for another writer")
			require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "go", nil, 0o600))
			w, err := compute.OpenStdin(t.Context(), p)
			require.NoError(t, err)
			require.NoError(t, w.Close())
			res, err := p.Wait(t.Context())
			require.NoError(t, err)
			assert.NotEqual(t, "0\n", res.Stdout, "what was written arrives")
		})
	}
}

func waitFor(t *testing.T, sb compute.Sandbox, name string) {
	t.Helper()
	require.Eventually(t, func() bool { ok, _ := compute.Exists(t.Context(), sb.Filesystem(), name); return ok },
		20*time.Second, 5*time.Millisecond)
}

// giveUp has n writers write more than fits, until their context ends.
func giveUp(t *testing.T, p compute.Process, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			w, err := compute.OpenStdin(ctx, p)
			if err != nil {
				return // the time was over, or another had the turn
			}
			_, err = w.Write(make([]byte, 1<<20))
			assert.Error(t, err)
		})
	}
	all.Wait()
}

func TestStdinTooManyWriters(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	p, err := compute.Start(t.Context(), sb, &compute.Command{Args: []string{"sleep", "60"}, OpenStdin: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Kill(context.Background()) })
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 40)
	for range 40 {
		go func() {
			w, err := compute.OpenStdin(ctx, p)
			if err == nil {
				_, err = w.Write(make([]byte, 1<<20))
			}
			failed <- err
		}()
	}
	for range 40 - 16 {
		assert.ErrorIs(t, <-failed, compute.ErrLimit)
	}
	cancel()
	for range 16 {
		assert.ErrorIs(t, <-failed, context.Canceled)
	}
}

// What is under way when a process is killed ends with it.
func TestStdinOfKilled(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	p, err := compute.Start(t.Context(), sb, &compute.Command{Args: []string{"sleep", "60"}, OpenStdin: true})
	require.NoError(t, err)
	w, err := compute.OpenStdin(t.Context(), p)
	require.NoError(t, err)
	failed := make(chan error, 1)
	go func() {
		_, err := w.Write(make([]byte, 1<<20))
		failed <- err
	}()
	time.Sleep(20 * time.Millisecond)
	require.NoError(t, p.Kill(t.Context()))
	assert.Error(t, <-failed)
}

// A command may leave a child behind that never reads its input: neither the
// call nor a goroutine of it waits for that.
func TestStdinOfChildLeftBehind(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	before := goleak.IgnoreCurrent()
	res, err := sb.RunCommand(t.Context(), &compute.Command{Script: "exec 3<&0; sleep 60 <&3 & echo done", Stdin: endless{}})
	require.NoError(t, err)
	assert.Equal(t, "done\n", res.Stdout)
	goleak.VerifyNone(t, before)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestStdinGoesThrough(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	data := bytes.Repeat([]byte("0123456789abcdef\x00\xff\n"), 200_000)
	p, err := compute.Start(t.Context(), sb, &compute.Command{Script: "sleep 0.6; cat | sha256sum", OpenStdin: true})
	require.NoError(t, err)
	w, err := compute.OpenStdin(t.Context(), p)
	require.NoError(t, err)
	_, err = io.Copy(w, bytes.NewReader(data)) // longer than init waits at a time
	require.NoError(t, errors.Join(err, w.Close()))
	got, err := p.Wait(t.Context())
	require.NoError(t, err)
	want, err := sb.RunCommand(t.Context(), &compute.Command{Args: []string{"sha256sum"}, Stdin: bytes.NewReader(data)})
	require.NoError(t, err)
	assert.Equal(t, want.Stdout, got.Stdout)
	assert.True(t, strings.HasSuffix(got.Stdout, "-\n"))
}
