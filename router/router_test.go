package router_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/computefake"
	"github.com/computekit/compute/router"
)

// failOn fails one operation of a fake.
func failOn(op string, err error) func(string, string) error {
	return func(got, _ string) error {
		if got == op {
			return err
		}
		return nil
	}
}

func two() (a, b *computefake.Compute) {
	return &computefake.Compute{Label: "a"}, &computefake.Compute{Label: "b"}
}

func create(t *testing.T, c compute.Compute, opts *compute.CreateSandboxOptions) compute.Sandbox {
	t.Helper()
	sb, err := c.CreateSandbox(t.Context(), opts)
	require.NoError(t, err)
	return sb
}

func TestFallback(t *testing.T) {
	nothingDone := &compute.Error{Kind: compute.ErrUnavailable, NothingDone: true}
	tests := map[string]struct {
		err  error
		next bool
	}{
		"quota":        {compute.ErrQuota, true},
		"unsupported":  {&compute.Error{Kind: errors.ErrUnsupported}, true},
		"nothing done": {nothingDone, true},
		"unavailable":  {&compute.Error{Kind: compute.ErrUnavailable}, false},
		"unauthorized": {&compute.Error{Kind: compute.ErrUnauthorized}, false},
		"invalid":      {&compute.Error{Kind: compute.ErrInvalid}, false},
		"not found":    {&compute.Error{Kind: compute.ErrNotFound}, false},
		"timeout":      {context.DeadlineExceeded, false},
		"unknown":      {errors.New("boom"), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, b := two()
			a.Fail = failOn("create sandbox", tt.err)
			sb, err := router.Fallback(a, b).CreateSandbox(t.Context(), nil)
			if tt.next {
				require.NoError(t, err)
				require.Equal(t, "b:s1", sb.ID())
				return
			}
			require.ErrorIs(t, err, tt.err)
			require.Nil(t, sb)
			require.Empty(t, b.Created())
		})
	}
}

func TestFallbackStopsWithContext(t *testing.T) {
	a, b := two()
	ctx, cancel := context.WithCancel(t.Context())
	a.Fail = func(string, string) error { cancel(); return compute.ErrQuota }
	_, err := router.Fallback(a, b).CreateSandbox(ctx, nil)
	require.ErrorIs(t, err, compute.ErrQuota)
	require.Empty(t, b.Created())
}

func TestFallbackErrors(t *testing.T) {
	a, b := two()
	first := &compute.Error{Op: "create sandbox", Provider: "a", Kind: compute.ErrQuota}
	second := &compute.Error{Op: "create sandbox", Provider: "b", ID: "left", Kind: compute.ErrUnavailable, StatusCode: 502}
	a.Fail, b.Fail = failOn("create sandbox", first), failOn("create sandbox", second)
	_, err := router.Fallback(a, b).CreateSandbox(t.Context(), nil)
	require.ErrorIs(t, err, compute.ErrQuota)
	require.ErrorIs(t, err, compute.ErrUnavailable)
	require.ErrorContains(t, err, `"b:left"`, "what was left can be given to the router")
	require.False(t, compute.NothingDone(err), "the second may have been done")
	require.False(t, compute.Retryable(compute.Op{}, err))
	require.Equal(t, "left", second.ID, "the member's error is its own")

	b.Fail = failOn("create sandbox", errors.ErrUnsupported)
	_, err = router.Fallback(a, b).CreateSandbox(t.Context(), nil)
	require.True(t, compute.NothingDone(err))
}

func TestErrorsKeepWhatIsAroundThem(t *testing.T) {
	a, _ := two()
	extra := errors.New("extra")
	a.Fail = failOn("create sandbox", errors.Join(extra, &compute.Error{Op: "create sandbox", ID: "x", Kind: compute.ErrConflict}))
	_, err := router.Fallback(a).CreateSandbox(t.Context(), nil)
	require.ErrorIs(t, err, extra)
	require.ErrorIs(t, err, compute.ErrConflict)
	e, ok := errors.AsType[*compute.Error](err)
	require.True(t, ok)
	require.Equal(t, "a:x", e.ID)
	require.Equal(t, "fallback", e.Provider)
	require.ErrorContains(t, err, "a: ")
}

func TestRoundRobin(t *testing.T) {
	a, b := two()
	c := router.RoundRobin(a, b)
	var ids []string
	for range 4 {
		ids = append(ids, create(t, c, nil).ID())
	}
	require.Equal(t, []string{"a:s1", "b:s1", "a:s2", "b:s2"}, ids)
	a.Fail = failOn("create sandbox", compute.ErrQuota)
	require.Equal(t, "b:s3", create(t, c, nil).ID())
}

func TestSandboxes(t *testing.T) {
	a, b := two()
	a.Fail = failOn("create sandbox", compute.ErrQuota)
	sb := create(t, router.Fallback(a, b), nil)

	c := router.Fallback(b, a) // another program, another order
	again, err := c.GetSandbox(t.Context(), sb.ID())
	require.NoError(t, err)
	info, err := again.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, "b:s1", info.ID)
	require.Equal(t, "fallback", info.Provider)

	_, err = c.GetSandbox(t.Context(), "a:s1")
	require.ErrorIs(t, err, compute.ErrNotFound)
	for _, id := range []string{"s1", "", "zz:s1", "b", ":s1", "B:s1"} {
		require.ErrorIs(t, c.DestroySandbox(t.Context(), id), compute.ErrInvalid, id)
		_, err = c.GetSandbox(t.Context(), id)
		require.ErrorIs(t, err, compute.ErrNotFound, id)
	}
	require.NoError(t, c.DestroySandbox(t.Context(), "a:s1"), "gone from its provider")
	require.Equal(t, []string{"s1"}, b.IDs())
	require.NoError(t, c.DestroySandbox(t.Context(), sb.ID()))
	require.Empty(t, b.IDs())
}

func TestAbilities(t *testing.T) {
	a, b := two()
	c := router.Fallback(a, b)
	sb := create(t, c, nil)
	require.ElementsMatch(t, []string{"Suspender", "Rollbacker"}, compute.Abilities(sb))
	require.NoError(t, compute.Suspend(t.Context(), sb))
	inner, ok := compute.As[*computefake.Sandbox](sb)
	require.True(t, ok)
	require.Equal(t, "s1", inner.ID())
	info, err := compute.WaitForStatus(t.Context(), sb, compute.StatusSuspended)
	require.NoError(t, err)
	require.Equal(t, "a:s1", info.ID)
	require.Empty(t, compute.Abilities(c), "no member has volumes")

	s, err := c.CreateSnapshot(t.Context(), sb.ID(), nil)
	require.NoError(t, err)
	require.NoError(t, compute.Rollback(t.Context(), sb, s.ID))
	require.ErrorIs(t, compute.Rollback(t.Context(), sb, "b:n1"), compute.ErrNotFound)
}

// tick returns a clock that fakes share: each look at it is a second later.
func tick() func() time.Time {
	now := time.Unix(0, 0)
	return func() time.Time { now = now.Add(time.Second); return now }
}

func TestListMerges(t *testing.T) {
	a, b := two()
	a.Now = tick()
	b.Now = a.Now
	c := router.RoundRobin(a, b)
	for range 5 {
		create(t, c, nil)
	}
	list := func(opts *compute.ListSandboxesOptions, limit int) (ids []string, err error) {
		all, err := compute.Collect(c.ListSandboxes(t.Context(), opts), limit)
		for _, i := range all {
			ids = append(ids, i.ID)
		}
		return ids, err
	}
	ids, err := list(nil, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"a:s3", "b:s2", "a:s2", "b:s1", "a:s1"}, ids)
	ids, err = list(&compute.ListSandboxesOptions{Limit: 3}, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"a:s3", "b:s2", "a:s2"}, ids)
	ids, err = list(nil, 1)
	require.NoError(t, err)
	require.Equal(t, []string{"a:s3"}, ids)

	a.Fail = failOn("list sandboxes", compute.ErrUnavailable)
	ids, err = list(nil, 0)
	require.ErrorIs(t, err, compute.ErrUnavailable)
	require.Equal(t, []string{"b:s2", "b:s1"}, ids, "one member's failure does not hide the others")
	_, err = list(&compute.ListSandboxesOptions{Limit: 1}, 0)
	require.ErrorIs(t, err, compute.ErrUnavailable, "what is not known may have been newer")
	_, err = list(&compute.ListSandboxesOptions{Limit: -1}, 0)
	require.ErrorIs(t, err, compute.ErrInvalid)
}

func TestMisuse(t *testing.T) {
	a, _ := two()
	require.PanicsWithValue(t, `router: two providers are named "a"; use router.Named`, func() { router.Fallback(a, a) })
	require.PanicsWithValue(t, "router: no providers", func() { router.RoundRobin() })
	require.Panics(t, func() { router.Fallback(router.Named("a:b", a)) })
	c := router.Fallback(a, router.Named("a2", a))
	require.Equal(t, "fallback", c.Name())
}

func TestNested(t *testing.T) {
	a, b := two()
	c := router.Fallback(router.RoundRobin(a, b), router.Named("more", &computefake.Compute{Label: "a"}))
	sb := create(t, c, nil)
	require.Equal(t, "roundrobin:a:s1", sb.ID())
	require.NoError(t, c.DestroySandbox(t.Context(), sb.ID()))
	require.Empty(t, a.IDs())
}

func TestClose(t *testing.T) {
	a, b := two()
	c := router.Fallback(compute.Intercept(a, compute.Retry(1, 0)), b)
	require.NoError(t, compute.Close(c))
	require.NoError(t, compute.Close(c))
	require.Equal(t, 1, a.Closed())
	require.Equal(t, 1, b.Closed())
}
