//go:build linux

package local_test

import (
	"context"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// TestEvents watches sandboxes, and changes them with another provider of the
// same state directory, as another program would.
func TestEvents(t *testing.T) {
	dir := t.TempDir()
	c, other := newLocal(t, dir, local.Namespaces), newLocal(t, dir, local.Namespaces)
	for _, tc := range []struct {
		name string
		test func(*testing.T, compute.Compute, compute.Compute)
	}{
		{"ByOthers", eventsByOthers},
		{"Limits", eventsOfLimits},
		{"Over", eventsOfTheEnd},
		{"Wait", waitByEvents},
		{"Break", eventsBreak},
		{"Suspended", eventsOfSuspended},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, c, other) })
	}
}

type nextEvent = func() (compute.Event, error, bool)

func watching(t *testing.T, sb compute.Sandbox) nextEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	next, stop := iter.Pull2(compute.Events(ctx, sb))
	t.Cleanup(func() { stop(); cancel() })
	return next
}

func requireStatus(t *testing.T, next nextEvent, want compute.Status) compute.Event {
	t.Helper()
	e, err, ok := next()
	require.NoError(t, err)
	require.True(t, ok, "events ended where %s was to come", want)
	require.Equal(t, compute.EventStatus, e.Type, "%+v", e)
	require.Equal(t, want, e.Status)
	require.WithinDuration(t, time.Now(), e.Time, time.Minute)
	return e
}

func eventsByOthers(t *testing.T, c, other compute.Compute) {
	sb := living(t, c, 0, 0)
	theirs, err := other.GetSandbox(t.Context(), sb.ID())
	require.NoError(t, err)
	next := watching(t, sb)
	requireStatus(t, next, compute.StatusRunning)
	require.NoError(t, compute.Suspend(t.Context(), theirs))
	requireStatus(t, next, compute.StatusSuspended)
	require.NoError(t, compute.Resume(t.Context(), theirs))
	requireStatus(t, next, compute.StatusRunning)
	require.NoError(t, theirs.Destroy(t.Context()))
	e := requireStatus(t, next, compute.StatusStopped)
	assert.Contains(t, e.Message, "destroyed")
	_, _, ok := next()
	assert.False(t, ok, "the end")
}

func eventsOfLimits(t *testing.T, c, _ compute.Compute) {
	sb := limited(t, c, compute.CreateSandboxOptions{}, local.Limits{CommandTime: 200 * time.Millisecond})
	next := watching(t, sb)
	requireStatus(t, next, compute.StatusRunning)
	run(t, sb, "sleep 60; true")
	e, err, _ := next()
	require.NoError(t, err)
	assert.Equal(t, compute.EventLog, e.Type)
	assert.Contains(t, e.Message, "time limit")
}

func eventsOfTheEnd(t *testing.T, c, _ compute.Compute) {
	for want, sb := range map[string]compute.Sandbox{
		"lifetime": living(t, c, 1500*time.Millisecond, 0), "not used": living(t, c, 0, 1500*time.Millisecond),
	} {
		next := watching(t, sb)
		e, err, ok := next()
		for ok && err == nil && e.Status == compute.StatusRunning {
			e, err, ok = next()
		}
		if !ok || err != nil {
			t.Logf("%s: it ended before we watched", want)
			continue
		}
		assert.Equal(t, compute.StatusStopped, e.Status)
		assert.Contains(t, e.Message, want)
	}
}

func eventsOfSuspended(t *testing.T, c, _ compute.Compute) {
	sb := living(t, c, 1500*time.Millisecond, 0)
	require.NoError(t, compute.Suspend(t.Context(), sb))
	next := watching(t, sb)
	requireStatus(t, next, compute.StatusSuspended)
	requireStatus(t, next, compute.StatusStopped)
}

func waitByEvents(t *testing.T, c, other compute.Compute) {
	sb := living(t, c, 0, 0)
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := compute.WaitForStatus(ctx, sb, compute.StatusSuspended)
		done <- err
	}()
	theirs, err := other.GetSandbox(t.Context(), sb.ID())
	require.NoError(t, err)
	require.NoError(t, compute.Suspend(t.Context(), theirs))
	require.NoError(t, <-done)
	require.NoError(t, theirs.Destroy(t.Context()))
	_, err = compute.WaitForStatus(t.Context(), sb, compute.StatusRunning)
	assert.ErrorIs(t, err, compute.ErrNotFound)
}

func eventsBreak(t *testing.T, c, _ compute.Compute) {
	sb := living(t, c, 0, 0)
	n := 0
	for _, err := range compute.Events(t.Context(), sb) {
		require.NoError(t, err)
		n++
		break
	}
	assert.Equal(t, 1, n)
}
