package runloop_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/runloop/runlooptest"
)

// fault answers the next request for an operation with a status.
func fault(op string, status int) runlooptest.Fault {
	return runlooptest.Fault{Match: op, Status: status}
}

// singleFaults are what can go wrong with one request. Without long they are some,
// which go without a pause.
func singleFaults() map[string]runlooptest.Fault {
	some := map[string]runlooptest.Fault{
		"down":             {Status: 503, RetryAfter: 10 * time.Millisecond},
		"down afterwards":  {Status: 502, AfterWork: true, RetryAfter: 10 * time.Millisecond},
		"reset afterwards": {AfterWork: true},
		"cut in the body":  {Cut: true, CutAt: 20},
	}
	if long() {
		maps.Copy(some, map[string]runlooptest.Fault{
			"refused":     {Status: 429, RetryAfter: 10 * time.Millisecond},
			"broken":      {Status: 500, RetryAfter: 10 * time.Millisecond},
			"reset":       {Reset: true},
			"cut at once": {Cut: true},
			"cut early":   {Cut: true, CutAt: 1},
			"cut late":    {Cut: true, CutAt: 1000},
		})
	}
	return some
}

// faulty is a provider whose service is to fail, with one sandbox.
type faulty struct {
	*emulated
	sb   compute.Sandbox
	want string // what is in its file in
}

// step is an operation that is to go wrong. Check is called after it, when nothing
// goes wrong any more, with its error, which may be nil.
type step struct {
	do    func(ctx context.Context, f *faulty) error
	check func(t *testing.T, f *faulty, err error)
}

// TestSingleFaults puts each fault on each request of each operation, one at a
// time: the operation succeeds as if there had been none, or says what failed;
// nothing runs twice and nothing is left.
func TestSingleFaults(t *testing.T) {
	backend := newLocal(t, t.TempDir())
	retries := []int{0}
	if long() {
		retries = []int{0, 1}
	}
	for name, newStep := range steps() {
		for _, n := range retries {
			t.Run(fmt.Sprintf("%s/retries=%d", name, n), func(t *testing.T) {
				t.Parallel()
				f := &faulty{emulated: newEmulated(t, backend, false, runloop.Config{}, runloopapi.WithRetries(n))}
				f.want = strings.Repeat("line é\n", 3000) + "\xff\x00"
				f.again(t)
				f.sweep(t, newStep)
			})
		}
	}
}

// sweep makes each request of a step go wrong in turn, in each way.
func (f *faulty) sweep(t *testing.T, newStep func() step) {
	var requests int
	t.Run("none", func(t *testing.T) { // and see how many there are
		s := newStep()
		requests = f.requests(t, "without a fault", func() error { return s.do(t.Context(), f) })
		s.check(t, f, nil)
		f.again(t)
	})
	require.Positive(t, requests)
	for nth := 1; nth <= requests && !t.Failed(); nth++ {
		for what, fault := range singleFaults() {
			t.Run(fmt.Sprintf("%d/%s", nth, what), func(t *testing.T) {
				s := newStep()
				fault.Nth = nth
				remove := f.emulator.Inject(fault)
				err := s.do(t.Context(), f)
				remove()
				if err != nil {
					typed, ok := errors.AsType[*compute.Error](err)
					require.True(t, ok, "error is a %T: %v", err, err)
					assert.Error(t, typed.Kind, "%v", err)
					assert.NotErrorIs(t, err, compute.ErrNotFound)
				}
				s.check(t, f, err)
				f.again(t)
			})
		}
	}
}

// again sees to it that there is the sandbox, running, and no other.
func (f *faulty) again(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	if f.sb != nil {
		if info, err := f.sb.Info(ctx); err == nil {
			require.Len(t, f.running(t), 1, "devboxes")
			if info.Status != compute.StatusRunning {
				require.NoError(t, compute.Resume(ctx, f.sb))
			}
			return
		}
	}
	require.Empty(t, f.running(t), "devboxes")
	var err error
	f.sb, err = f.CreateSandbox(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, f.sb.Filesystem().WriteFile(ctx, "in", []byte(f.want), 0o644))
}

// running returns the IDs of all devboxes that have not ended.
func (f *faulty) running(t *testing.T) (ids []string) {
	t.Helper()
	for view, err := range f.client.Devboxes.List(t.Context(), nil) {
		require.NoError(t, err)
		if !view.Status.Final() {
			ids = append(ids, view.ID)
		}
	}
	return ids
}

// requireSame is Equal that does not print kilobytes.
func requireSame(t *testing.T, want, got string) {
	t.Helper()
	if want != got {
		t.Fatalf("%d bytes, want %d others", len(got), len(want))
	}
}

// A key that is not accepted is an error that says so, and holds no key.
func TestUnauthorized(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{}, runloopapi.WithAPIKey("wr0ng-key"))
	_, err := e.CreateSandbox(t.Context(), nil)
	require.ErrorIs(t, err, compute.ErrUnauthorized)
	assert.True(t, compute.NothingDone(err))
	assert.NotContains(t, fmt.Sprintf("%+v", err), "wr0ng-key")
}
