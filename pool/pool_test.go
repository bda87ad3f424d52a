package pool_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/computefake"
	"github.com/computekit/compute/pool"
)

// A bubble of synctest fails if a goroutine is left in it, so every test here
// also tests that none is.

func full(t *testing.T, c compute.Compute, cfg pool.Config) *pool.Pool {
	t.Helper()
	p := pool.New(c, cfg)
	synctest.Wait()
	return p
}

func create(t *testing.T, c compute.Compute, opts *compute.CreateSandboxOptions) compute.Sandbox {
	t.Helper()
	sb, err := c.CreateSandbox(t.Context(), opts)
	require.NoError(t, err)
	return sb
}

func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &computefake.Compute{Label: "fake"}
		p := full(t, c, pool.Config{Size: 2})
		require.Equal(t, pool.Stats{Idle: 2}, p.Stats())

		sb := create(t, p, nil)
		require.Contains(t, []string{"s1", "s2"}, sb.ID())
		synctest.Wait()
		require.Equal(t, []string{"s1", "s2", "s3"}, c.IDs(), "one handed out, two idle")
		require.Equal(t, pool.Stats{Hits: 1, Idle: 2}, p.Stats())

		require.NoError(t, compute.Close(p))
		require.NoError(t, p.Close(), "idempotent")
		require.Equal(t, []string{sb.ID()}, c.IDs(), "Close leaves what was handed out")
		require.Equal(t, 1, c.Closed())

		create(t, p, nil)
		require.Equal(t, pool.Stats{Hits: 1, Misses: 1}, p.Stats(), "a closed pool creates directly")
	})
}

func TestEmptyPoolCreatesDirectly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := full(t, &computefake.Compute{Label: "fake"}, pool.Config{Size: 1, Ready: func(ctx context.Context, _ compute.Sandbox) error {
			<-ctx.Done() // it never gets ready
			return ctx.Err()
		}})
		require.Equal(t, "s2", create(t, p, nil).ID())
		require.Equal(t, pool.Stats{Misses: 1}, p.Stats())
		require.NoError(t, p.Close())
	})
}

func TestOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &computefake.Compute{Label: "fake"}
		opts := func() *compute.CreateSandboxOptions {
			return &compute.CreateSandboxOptions{Name: "n", Metadata: map[string]string{"k": "v"}, Ports: []int{80}}
		}
		mine := opts()
		p := full(t, c, pool.Config{Size: 1, Options: mine, Name: "warm"})
		require.Equal(t, opts(), mine, "options are the caller's")
		mine.Metadata["k"] = "changed later"

		require.Equal(t, "s1", create(t, p, opts()).ID(), "options equal to the pool's take an idle one")
		synctest.Wait()
		other := opts()
		other.Name = "other"
		require.Equal(t, "s3", create(t, p, other).ID())
		require.Equal(t, "s4", create(t, p, &compute.CreateSandboxOptions{}).ID(), "no options are not the pool's")
		require.Equal(t, pool.Stats{Hits: 1, Idle: 1}, p.Stats())

		left, err := compute.Collect(p.ListSandboxes(t.Context(), &compute.ListSandboxesOptions{
			Metadata: map[string]string{pool.Label: "warm", "k": "v"}}), 0)
		require.NoError(t, err)
		require.Len(t, left, 2)
		require.NoError(t, p.Close())
	})
}

func TestReadyGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &computefake.Compute{Label: "fake"}
		var heard atomic.Int32
		notReady := errors.New("not ready")
		p := full(t, c, pool.Config{Size: 1, Backoff: time.Second,
			Ready: func(_ context.Context, sb compute.Sandbox) error {
				if sb.ID() == "s1" {
					return notReady
				}
				return nil
			},
			OnError: func(err error) {
				heard.Add(1)
				require.ErrorIs(t, err, notReady)
			}})
		require.Empty(t, c.IDs(), "what did not get ready was destroyed")
		require.EqualValues(t, 1, heard.Load())
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, "s2", create(t, p, nil).ID())
		require.NoError(t, p.Close())
	})
}

func TestUnhealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &computefake.Compute{Label: "fake"}
		p := full(t, c, pool.Config{Size: 2})
		c.SetStatus("s1", compute.StatusStopped)
		c.SetStatus("s2", compute.StatusFailed)
		sb := create(t, p, nil)
		synctest.Wait()
		require.NotContains(t, []string{"s1", "s2"}, sb.ID())
		require.NotContains(t, c.IDs(), "s1", "destroyed, not just dropped")
		require.NotContains(t, c.IDs(), "s2")
		require.Equal(t, 2, p.Stats().Idle)
		require.NoError(t, p.Close())
	})
}

func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &computefake.Compute{Label: "fake"}
		p := full(t, c, pool.Config{Size: 1, MaxAge: time.Minute})
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		require.Equal(t, []string{"s1"}, c.IDs())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Equal(t, []string{"s2"}, c.IDs())
		require.NoError(t, p.Close())
		require.Empty(t, c.IDs())
	})
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries []time.Duration
		start := time.Now()
		fail := &compute.Error{Kind: compute.ErrUnavailable}
		c := &computefake.Compute{Label: "fake", Fail: func(string, string) error {
			if tries = append(tries, time.Since(start)/time.Second); len(tries) == 4 {
				return &compute.Error{Kind: compute.ErrQuota, RetryAfter: time.Minute}
			}
			return fail
		}}
		p := full(t, c, pool.Config{Size: 1, Backoff: time.Second})
		time.Sleep(68 * time.Second)
		require.NoError(t, p.Close(), "Close does not wait for the next try")
		require.Equal(t, []time.Duration{0, 1, 3, 7, 67}, tries)
	})
}

func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := full(t, &computefake.Compute{Label: "fake"}, pool.Config{Size: 1})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := p.CreateSandbox(ctx, nil)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, pool.Stats{Idle: 1}, p.Stats())
		require.NoError(t, p.Close())
	})
}

func TestCloseReportsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outage := &compute.Error{Kind: compute.ErrUnavailable}
		c := &computefake.Compute{Label: "fake", Fail: func(op, _ string) error {
			if op == "destroy sandbox" {
				return outage
			}
			return nil
		}}
		p := full(t, c, pool.Config{Size: 2})
		err := p.Close()
		require.ErrorIs(t, err, compute.ErrUnavailable)
		require.ErrorContains(t, err, `"s1"`)
		require.ErrorContains(t, err, `"s2"`)
		require.Equal(t, err, p.Close())
	})
}

// slow takes a minute to create, however its context ends.
type slow struct{ *computefake.Compute }

func (s slow) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	time.Sleep(time.Minute)
	return s.Compute.CreateSandbox(context.WithoutCancel(ctx), opts)
}

func TestCloseWaitsForCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &computefake.Compute{Label: "fake"}
		p := full(t, slow{c}, pool.Config{Size: 3})
		require.NoError(t, p.Close())
		require.Empty(t, c.IDs())
		require.Len(t, c.Created(), 3)
	})
}

func TestManyTakers(t *testing.T) {
	c := &computefake.Compute{Label: "fake"}
	p := pool.New(c, pool.Config{Size: 3})
	const n = 50
	ids := make(chan string, n)
	for range n {
		go func() {
			sb, err := p.CreateSandbox(context.Background(), nil)
			if err == nil {
				ids <- sb.ID()
			}
		}()
	}
	seen := map[string]bool{}
	for range n {
		seen[<-ids] = true
	}
	require.Len(t, seen, n, "no sandbox is handed out twice")
	require.NoError(t, p.Close())
	require.Len(t, c.IDs(), n)
	s := p.Stats()
	require.Equal(t, n, s.Hits+s.Misses)
}

func TestSizeMustBePositive(t *testing.T) {
	require.Panics(t, func() { pool.New(&computefake.Compute{}, pool.Config{}) })
}
