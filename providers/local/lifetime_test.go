//go:build linux

package local_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// TestLifetimes has sandboxes end by themselves.
func TestLifetimes(t *testing.T) {
	dir := t.TempDir()
	c := newLocal(t, dir, local.Namespaces)
	for _, tc := range []struct {
		name string
		test func(*testing.T, compute.Compute)
	}{
		{"Over", lifetimeEnds},
		{"TooShort", lifeTooShort},
		{"Suspended", lifetimeOfSuspended},
		{"Extended", lifetimeExtended},
		{"ExtendedTooLate", extendedTooLate},
		{"AfterResume", lifetimeAfterResume},
		{"Idle", idleEnds},
		{"IdleButBusy", idleButBusy},
		{"IdleSuspended", idleSuspended},
		{"LookingIsNoUse", lookingIsNoUse},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, c) })
	}
	left, err := filepath.Glob(filepath.Join(dir, "sandboxes", "*"))
	require.NoError(t, err)
	assert.Empty(t, left, "files of sandboxes that are over")
}

func living(t *testing.T, c compute.Compute, life, idle time.Duration) compute.Sandbox {
	t.Helper()
	return limited(t, c, compute.CreateSandboxOptions{Lifetime: life, IdleTimeout: idle}, local.Limits{})
}

// requireOver waits for a sandbox to be gone, without looking at it much.
func requireOver(t *testing.T, c compute.Compute, sb compute.Sandbox, after time.Duration) {
	t.Helper()
	time.Sleep(after)
	require.Eventually(t, func() bool {
		_, err := c.GetSandbox(t.Context(), sb.ID())
		return errors.Is(err, compute.ErrNotFound)
	}, 5*time.Second, 20*time.Millisecond, "the sandbox lives on")
	_, err := sb.RunCommand(t.Context(), compute.Exec("true"))
	assert.ErrorIs(t, err, compute.ErrNotFound)
	assert.ErrorIs(t, compute.Extend(t.Context(), sb, time.Hour), compute.ErrNotFound)
	assert.ErrorIs(t, compute.Resume(t.Context(), sb), compute.ErrNotFound)
	for info, err := range c.ListSandboxes(t.Context(), nil) {
		require.NoError(t, err)
		assert.NotEqual(t, sb.ID(), info.ID)
	}
}

func lifetimeEnds(t *testing.T, c compute.Compute) {
	sb := living(t, c, 1500*time.Millisecond, 0)
	began := time.Now()
	// What runs ends with it, though nobody looks.
	_, err := sb.RunCommand(t.Context(), compute.Exec("sleep", "60"))
	require.ErrorIs(t, err, compute.ErrUnavailable)
	assert.Less(t, time.Since(began), 20*time.Second)
	requireOver(t, c, sb, 0)
}

// One whose life is over before it has begun is not what this machine cannot do.
func lifeTooShort(t *testing.T, c compute.Compute) {
	_, err := c.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Lifetime: time.Nanosecond})
	require.ErrorIs(t, err, compute.ErrInvalid)
	assert.ErrorContains(t, err, "lifetime is over")
}

func lifetimeOfSuspended(t *testing.T, c compute.Compute) {
	sb := living(t, c, 1500*time.Millisecond, 0)
	require.NoError(t, compute.Suspend(t.Context(), sb))
	requireOver(t, c, sb, 1500*time.Millisecond)
}

func lifetimeExtended(t *testing.T, c compute.Compute) {
	sb := living(t, c, 1500*time.Millisecond, 0)
	require.NoError(t, compute.Extend(t.Context(), sb, time.Hour))
	info, err := sb.Info(t.Context())
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(time.Hour), info.Expires, time.Minute)
	time.Sleep(1600 * time.Millisecond)
	_, err = compute.Output(t.Context(), sb, compute.Exec("true"))
	require.NoError(t, err)
	require.NoError(t, compute.Extend(t.Context(), sb, time.Second))
	again, err := sb.Info(t.Context())
	require.NoError(t, err)
	assert.Equal(t, info.Expires, again.Expires, "an extension does not shorten")
}

// extendedTooLate races extensions with the end: either the sandbox lives, or
// the extension is an error.
func extendedTooLate(t *testing.T, c compute.Compute) {
	for i := range 8 {
		life := 300 * time.Millisecond
		began := time.Now()
		sb, err := c.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Lifetime: life})
		if errors.Is(err, compute.ErrUnavailable) || errors.Is(err, compute.ErrInvalid) {
			continue // a machine that is busy: it was over before it was ready
		}
		require.NoError(t, err)
		time.Sleep(time.Until(began.Add(life - 4*time.Millisecond + time.Duration(i)*time.Millisecond)))
		err = compute.Extend(t.Context(), sb, time.Hour)
		if err != nil {
			require.ErrorIs(t, err, compute.ErrNotFound)
			requireOver(t, c, sb, 0)
			continue
		}
		time.Sleep(20 * time.Millisecond)
		_, err = compute.Output(t.Context(), sb, compute.Exec("true"))
		require.NoError(t, err, "it was extended")
		require.NoError(t, sb.Destroy(t.Context()))
	}
}

func lifetimeAfterResume(t *testing.T, c compute.Compute) {
	sb := living(t, c, 2*time.Second, 0)
	require.NoError(t, compute.Suspend(t.Context(), sb))
	require.NoError(t, compute.Resume(t.Context(), sb))
	require.NoError(t, compute.Extend(t.Context(), sb, 2500*time.Millisecond))
	_, err := compute.Output(t.Context(), sb, compute.Exec("true"))
	require.NoError(t, err)
	requireOver(t, c, sb, 2500*time.Millisecond)
}

func idleEnds(t *testing.T, c compute.Compute) {
	sb := living(t, c, 0, time.Second)
	for range 5 { // used again and again
		time.Sleep(300 * time.Millisecond)
		_, err := compute.Output(t.Context(), sb, compute.Exec("true"))
		require.NoError(t, err)
	}
	requireOver(t, c, sb, time.Second)
}

func idleButBusy(t *testing.T, c compute.Compute) {
	sb := living(t, c, 0, 600*time.Millisecond)
	_, err := compute.Output(t.Context(), sb, compute.Exec("sleep", "1.2"))
	require.NoError(t, err, "a running command is use")
	p, err := compute.Start(t.Context(), sb, compute.Exec("sleep", "1.2"))
	require.NoError(t, err)
	time.Sleep(time.Second)
	_, err = p.Wait(t.Context())
	require.NoError(t, err, "a running process is use")
	requireOver(t, c, sb, 600*time.Millisecond)
}

func idleSuspended(t *testing.T, c compute.Compute) {
	sb := living(t, c, 0, 1500*time.Millisecond)
	require.NoError(t, compute.Suspend(t.Context(), sb))
	time.Sleep(200 * time.Millisecond)
	require.NoError(t, compute.Resume(t.Context(), sb))
	require.NoError(t, compute.Suspend(t.Context(), sb))
	requireOver(t, c, sb, 1500*time.Millisecond)
}

func lookingIsNoUse(t *testing.T, c compute.Compute) {
	sb := living(t, c, 0, 400*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, err := compute.GetUsage(ctx, sb)
		if err == nil {
			_, err = sb.Info(ctx)
		}
		if err != nil {
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	requireOver(t, c, sb, 0)
}

// What is over goes though nobody looks, as long as a program has the state
// directory open; otherwise when the next one does.
func TestOverIsSwept(t *testing.T) {
	dir := t.TempDir()
	c := newLocal(t, dir, local.Namespaces)
	gone := func(sb compute.Sandbox) func() bool {
		return func() bool {
			_, err := os.Lstat(filepath.Join(dir, "sandboxes", sb.ID()))
			return errors.Is(err, os.ErrNotExist)
		}
	}
	late := living(t, c, time.Hour, 0)
	for _, sb := range []compute.Sandbox{living(t, c, time.Second, 0), suspended(t, living(t, c, 0, time.Second))} {
		assert.Eventually(t, gone(sb), 20*time.Second, 20*time.Millisecond, "nobody has looked")
	}
	assert.False(t, gone(late)(), "it is not over")
	sb := living(t, c, time.Second, 0)
	require.NoError(t, compute.Close(c))
	time.Sleep(1100 * time.Millisecond)
	assert.False(t, gone(sb)(), "nobody has the directory open")
	newLocal(t, dir, local.Namespaces)
	assert.True(t, gone(sb)())
}

func suspended(t *testing.T, sb compute.Sandbox) compute.Sandbox {
	t.Helper()
	require.NoError(t, compute.Suspend(t.Context(), sb))
	return sb
}

// A connection may be what finds out that the sandbox is over that it is to, and
// must not wait for its own end.
func TestURLOfOver(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	p, err := local.New(local.Config{Dir: dir})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	sb := living(t, p, time.Second, 0)
	url, err := sb.GetURL(t.Context(), 80)
	require.NoError(t, err)
	address := strings.TrimPrefix(url, "http://")
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			break // nobody listens any more
		}
		require.NoError(t, conn.SetDeadline(deadline))
		_, err = conn.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
		require.NoError(t, conn.Close())
	}
	require.NoError(t, p.Close())
	goleak.VerifyNone(t, before)
}

// A sandbox that may be idle only for a while does not stay for ever because its
// init was killed, which would have ended it.
func TestIdleWithoutInit(t *testing.T) {
	dir := t.TempDir()
	c := newLocal(t, dir, local.Namespaces)
	idle, kept := living(t, c, 0, 3*time.Second), living(t, c, 0, 3*time.Second)
	for _, sb := range []compute.Sandbox{idle, kept} {
		require.NoError(t, syscall.Kill(initOf(t, dir, sb.ID()), syscall.SIGKILL))
	}
	require.Eventually(t, func() bool {
		info, err := kept.Info(t.Context())
		return err == nil && info.Status == compute.StatusFailed
	}, 5*time.Second, 10*time.Millisecond)
	newLocal(t, dir, local.Namespaces) // looks at once, and then when one is over
	require.NoError(t, compute.Resume(t.Context(), kept))
	for use := true; use; {
		_, err := compute.Output(t.Context(), kept, compute.Exec("true"))
		require.NoError(t, err, "it is used again")
		_, err = os.Lstat(filepath.Join(dir, "sandboxes", idle.ID()))
		use = err == nil
		time.Sleep(50 * time.Millisecond)
	}
}
