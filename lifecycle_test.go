package compute_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/computefake"
)

func failOn(op string, err error) func(string, string) error {
	return func(got, _ string) error {
		if got == op {
			return err
		}
		return nil
	}
}

func TestWithSandbox(t *testing.T) {
	boom := errors.New("boom")
	c := &computefake.Compute{Label: "fake"}
	use := func(context.Context, compute.Sandbox) error { return boom }
	require.ErrorIs(t, compute.WithSandbox(t.Context(), c, nil, use), boom)
	require.Empty(t, c.IDs())

	require.PanicsWithValue(t, "boom", func() {
		_ = compute.WithSandbox(t.Context(), c, nil, func(context.Context, compute.Sandbox) error { panic("boom") })
	})
	require.Empty(t, c.IDs(), "destroyed after a panic")

	ctx, cancel := context.WithCancel(t.Context())
	err := compute.WithSandbox(ctx, c, nil, func(ctx context.Context, _ compute.Sandbox) error { cancel(); return ctx.Err() })
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, c.IDs(), "destroyed after the context's end")

	c.Fail = failOn("destroy sandbox", compute.ErrUnavailable)
	err = compute.WithSandbox(t.Context(), c, nil, use)
	require.ErrorIs(t, err, boom)
	require.ErrorIs(t, err, compute.ErrUnavailable)

	c.Fail = failOn("create sandbox", compute.ErrQuota)
	require.ErrorIs(t, compute.WithSandbox(t.Context(), c, nil, use), compute.ErrQuota)
}

func TestGetOrCreate(t *testing.T) {
	c := &computefake.Compute{Label: "fake"}
	opts := &compute.CreateSandboxOptions{Metadata: map[string]string{"a": "b"}}
	sb, created, err := compute.GetOrCreate(t.Context(), c, "key", opts)
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, map[string]string{"a": "b"}, opts.Metadata, "options are the caller's")
	require.Equal(t, map[string]string{"a": "b", compute.KeyLabel: "key"}, c.Created()[0].Metadata)

	again, created, err := compute.GetOrCreate(t.Context(), c, "key", opts)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, sb.ID(), again.ID())

	other, created, err := compute.GetOrCreate(t.Context(), c, "other", nil)
	require.NoError(t, err)
	require.True(t, created)
	require.NotEqual(t, sb.ID(), other.ID())

	c.SetStatus(sb.ID(), compute.StatusStopped)
	again, created, err = compute.GetOrCreate(t.Context(), c, "key", opts)
	require.NoError(t, err)
	require.True(t, created, "a dead one does not count")
	require.NotEqual(t, sb.ID(), again.ID())

	for _, key := range []string{"", "a\x00"} {
		_, _, err = compute.GetOrCreate(t.Context(), c, key, nil)
		require.ErrorIs(t, err, compute.ErrInvalid)
	}
}

func TestGetOrCreateFailures(t *testing.T) {
	c := &computefake.Compute{Label: "fake", Fail: failOn("list sandboxes", compute.ErrUnavailable)}
	_, _, err := compute.GetOrCreate(t.Context(), c, "key", nil)
	require.ErrorIs(t, err, compute.ErrUnavailable)
	require.Empty(t, c.Created(), "a listing that fails is never a new sandbox")

	lists := 0
	c.Fail = func(op, _ string) error {
		if op == "list sandboxes" {
			if lists++; lists == 2 {
				return compute.ErrUnavailable
			}
		}
		return nil
	}
	_, _, err = compute.GetOrCreate(t.Context(), c, "key", nil)
	require.ErrorIs(t, err, compute.ErrUnavailable)
	require.Empty(t, c.IDs(), "nor is the second")

	lists = 0
	second := c.Fail
	c.Fail = func(op, id string) error {
		if op == "destroy sandbox" {
			return compute.ErrForbidden
		}
		return second(op, id)
	}
	_, _, err = compute.GetOrCreate(t.Context(), c, "key", nil)
	e, ok := errors.AsType[*compute.Error](err)
	require.True(t, ok)
	require.Equal(t, []string{e.ID}, c.IDs(), "the error names what was left")
}

func TestGetOrCreateRace(t *testing.T) {
	const n = 8
	var barrier sync.WaitGroup // until all have seen that there is none
	barrier.Add(n)
	c := &computefake.Compute{Label: "fake"}
	c.Fail = func(op, _ string) error {
		if op == "create sandbox" {
			barrier.Done()
			barrier.Wait()
		}
		return nil
	}
	ids, made := make(chan string, n), make(chan bool, n)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			sb, created, err := compute.GetOrCreate(context.Background(), c, "key", nil)
			if err == nil {
				ids <- sb.ID()
				made <- created
			}
		})
	}
	wg.Wait()
	require.Len(t, c.IDs(), 1)
	require.Len(t, ids, n)
	creators := 0
	for range n {
		require.Equal(t, c.IDs()[0], <-ids)
		if <-made {
			creators++
		}
	}
	require.Equal(t, 1, creators)
}

func TestWaitForStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := &computefake.Compute{Label: "fake", Fail: func(op, _ string) error {
			if op == "info" {
				asked++
			}
			return nil
		}}
		sb := newSandbox(t, c, pass)
		c.SetStatus(sb.ID(), compute.StatusSuspending)
		time.AfterFunc(time.Minute, func() { c.SetStatus(sb.ID(), compute.StatusSuspended) })
		start := time.Now()
		info, err := compute.WaitForStatus(t.Context(), sb, compute.StatusRunning, compute.StatusSuspended)
		require.NoError(t, err)
		require.Equal(t, compute.StatusSuspended, info.Status)
		require.Less(t, time.Since(start), time.Minute+2*time.Second)
		require.Less(t, asked, 40, "at growing intervals")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = compute.WaitForStatus(ctx, sb, compute.StatusRunning)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		c.SetStatus(sb.ID(), compute.StatusFailed)
		info, err = compute.WaitForStatus(t.Context(), sb, compute.StatusRunning)
		require.ErrorIs(t, err, compute.ErrConflict)
		require.Equal(t, compute.StatusFailed, info.Status)
		_, err = compute.WaitForStatus(t.Context(), sb, compute.StatusFailed)
		require.NoError(t, err)
		require.NoError(t, sb.Destroy(t.Context()))
		_, err = compute.WaitForStatus(t.Context(), sb, compute.StatusStopped)
		require.ErrorIs(t, err, compute.ErrNotFound)
	})
}

func TestBranch(t *testing.T) {
	outage, quota := compute.ErrUnavailable, compute.ErrQuota
	tests := map[string]struct {
		fail           map[string]error
		is             []error
		sandboxes      int // that there are then, with the one branched from
		snapshots      int
		named          string // what was left, in the error
		canceledByThen bool
	}{
		"succeeds":                 {sandboxes: 2},
		"no snapshot":              {fail: map[string]error{"create snapshot": quota}, is: []error{quota}, sandboxes: 1},
		"no sandbox":               {fail: map[string]error{"create sandbox": quota}, is: []error{quota}, sandboxes: 1},
		"snapshot stays":           {fail: map[string]error{"delete snapshot": outage}, is: []error{outage}, sandboxes: 1, snapshots: 1, named: `"n2"`},
		"no sandbox, and it stays": {fail: map[string]error{"create sandbox": quota, "delete snapshot": outage}, is: []error{quota, outage}, sandboxes: 1, snapshots: 1, named: `"n2"`},
		"all stays": {fail: map[string]error{"delete snapshot": outage, "destroy sandbox": quota},
			is: []error{outage, quota}, sandboxes: 2, snapshots: 1, named: `"s3"`},
		"context ends": {canceledByThen: true, is: []error{context.Canceled}, sandboxes: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := &computefake.Compute{Label: "fake"}
			from := newSandbox(t, c)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.Fail = func(op, _ string) error {
				if op == "create sandbox" && tt.canceledByThen {
					cancel()
				}
				return tt.fail[op]
			}
			sb, err := compute.Branch(ctx, c, from.ID(), &compute.CreateSandboxOptions{Name: "n"})
			c.Fail = nil
			require.Len(t, c.IDs(), tt.sandboxes)
			left, lerr := compute.Collect(c.ListSnapshots(t.Context(), nil), 0)
			require.NoError(t, lerr)
			require.Len(t, left, tt.snapshots)
			if tt.is == nil {
				require.NoError(t, err)
				require.Equal(t, "n2", c.Created()[1].Snapshot)
				require.Equal(t, "n", c.Created()[1].Name)
				return
			}
			require.Nil(t, sb)
			for _, target := range tt.is {
				require.ErrorIs(t, err, target)
			}
			require.ErrorContains(t, err, tt.named)
		})
	}
	_, err := compute.Branch(t.Context(), &computefake.Compute{}, "s", &compute.CreateSandboxOptions{Image: "i"})
	require.ErrorIs(t, err, compute.ErrInvalid)
}

// closing notes when it is closed.
type closing struct {
	compute.Compute
	name string
	log  *[]string
}

func (c closing) Unwrap() compute.Compute { return c.Compute }
func (c closing) Close() error {
	*c.log = append(*c.log, c.name)
	return errors.New(c.name)
}

func TestClose(t *testing.T) {
	var log []string
	inner := &computefake.Compute{Label: "fake"}
	c := compute.Intercept(closing{compute.Intercept(closing{inner, "b", &log}, pass), "a", &log}, pass)
	require.EqualError(t, compute.Close(c), "a\nb")
	require.Equal(t, []string{"a", "b"}, log, "from the outermost inwards")
	require.Equal(t, 1, inner.Closed())
	require.NoError(t, compute.Close(struct{ compute.Compute }{inner}), "what cannot be closed need not be")
	_, isCloser := compute.Intercept(inner, pass).(io.Closer)
	require.False(t, isCloser)
}

// forgetful misses a sandbox in its first listing.
type forgetful struct {
	compute.Compute
	id     string
	listed int
}

func (f *forgetful) ListSandboxes(ctx context.Context, opts *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	f.listed++
	first := f.listed == 1
	return func(yield func(*compute.SandboxInfo, error) bool) {
		for info, err := range f.Compute.ListSandboxes(ctx, opts) {
			if (!first || info.ID != f.id) && !yield(info, err) {
				return
			}
		}
	}
}

func TestGetOrCreateListingMisses(t *testing.T) {
	c := &computefake.Compute{Label: "fake"}
	var ids []string
	for range 2 {
		sb, err := c.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Metadata: map[string]string{compute.KeyLabel: "key"}})
		require.NoError(t, err)
		ids = append(ids, sb.ID())
	}
	sb, created, err := compute.GetOrCreate(t.Context(), &forgetful{Compute: c, id: ids[0]}, "key", nil)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, ids[0], sb.ID(), "the oldest, though the first listing was made before it was there")
}
