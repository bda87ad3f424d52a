package compute_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/computefake"
)

// recorder returns an interceptor that notes what passes.
func recorder(tag string, log *[]string) compute.Interceptor {
	return func(ctx context.Context, op compute.Op, next func(context.Context) error) error {
		*log = append(*log, tag+" "+op.Name)
		return next(ctx)
	}
}

func pass(ctx context.Context, _ compute.Op, next func(context.Context) error) error {
	return next(ctx)
}

// able is a sandbox with processes.
type able struct{ compute.Sandbox }

func (a able) StartCommand(context.Context, *compute.Command) (compute.Process, error) {
	return proc("p1"), nil
}

func (a able) ListProcesses(context.Context) iter.Seq2[*compute.ProcessInfo, error] {
	return func(yield func(*compute.ProcessInfo, error) bool) {
		_ = yield(&compute.ProcessInfo{ID: "p1"}, nil) && yield(&compute.ProcessInfo{ID: "p2"}, nil)
	}
}

// computeOf wraps the sandboxes of a Compute.
type computeOf struct {
	compute.Compute
	wrap func(compute.Sandbox) compute.Sandbox
}

func (c computeOf) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	sb, err := c.Compute.CreateSandbox(ctx, opts)
	if err != nil {
		return nil, err
	}
	return c.wrap(sb), nil
}

// proc is a process that knows signals.
type proc string

func (p proc) ID() string { return string(p) }
func (p proc) Info(context.Context) (*compute.ProcessInfo, error) {
	return &compute.ProcessInfo{ID: string(p)}, nil
}
func (p proc) Wait(context.Context) (*compute.Result, error)      { return &compute.Result{}, nil }
func (p proc) Attach(context.Context, io.Writer, io.Writer) error { return nil }
func (p proc) Kill(context.Context) error                         { return nil }
func (p proc) Signal(context.Context, compute.Signal) error       { return nil }
func ableSandbox(t *testing.T, ins ...compute.Interceptor) compute.Sandbox {
	return newSandbox(t, computeOf{&computefake.Compute{Label: "fake"}, func(sb compute.Sandbox) compute.Sandbox { return able{sb} }}, ins...)
}

func newSandbox(t testing.TB, c compute.Compute, ins ...compute.Interceptor) compute.Sandbox {
	t.Helper()
	sb, err := compute.Intercept(c, ins...).CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	return sb
}

func TestAs(t *testing.T) {
	sb := newSandbox(t, &computefake.Compute{Label: "fake"}, pass, pass, pass)
	_, ok := compute.As[compute.Suspender](sb)
	require.True(t, ok)
	_, ok = compute.As[*computefake.Sandbox](sb)
	require.True(t, ok)
	_, ok = compute.As[compute.Dialer](sb)
	require.False(t, ok)
	_, ok = compute.As[compute.Suspender](nil)
	require.False(t, ok)
	_, ok = compute.As[compute.FileOpener](sb.Filesystem())
	require.True(t, ok)
}

func TestAbilities(t *testing.T) {
	sb := newSandbox(t, &computefake.Compute{Label: "fake"}, pass, pass)
	require.Equal(t, []string{"Suspender", "Rollbacker"}, compute.Abilities(sb))
	require.Equal(t, []string{"FileOpener", "FileCreator", "Renamer"}, compute.Abilities(sb.Filesystem()))
	require.Equal(t, []string{"Signaler"}, compute.Abilities(proc("x")))
	require.Empty(t, compute.Abilities(nil))
}

func TestAbilityPassesEveryInterceptorOnce(t *testing.T) {
	var log []string
	sb := ableSandbox(t, recorder("a", &log), recorder("b", &log), recorder("c", &log))
	log = nil
	_, err := compute.Start(t.Context(), sb, compute.Exec("x"))
	require.NoError(t, err)
	require.Equal(t, []string{"a start command", "b start command", "c start command"}, log)

	log = nil
	require.ErrorIs(t, compute.Extend(t.Context(), sb, 1), errors.ErrUnsupported)
	require.Empty(t, log, "what no layer can do is no operation")
}

func TestAbilityOfALayerSkipsThoseInside(t *testing.T) {
	var log []string
	c := computeOf{compute.Intercept(&computefake.Compute{Label: "fake"}, recorder("inner", &log)),
		func(sb compute.Sandbox) compute.Sandbox { return able{sb} }}
	sb := newSandbox(t, c, recorder("outer", &log))
	log = nil
	_, err := compute.Start(t.Context(), sb, compute.Exec("x"))
	require.NoError(t, err)
	require.Equal(t, []string{"outer start command"}, log)
}

func TestProcessIsIntercepted(t *testing.T) {
	var log []string
	sb := ableSandbox(t, recorder("a", &log), recorder("b", &log))
	p, err := compute.Start(t.Context(), sb, compute.Exec("x"))
	require.NoError(t, err)
	ops := map[string]func() error{
		"process info": func() error { _, err := p.Info(t.Context()); return err },
		"wait":         func() error { _, err := p.Wait(t.Context()); return err },
		"attach":       func() error { return p.Attach(t.Context(), nil, nil) },
		"kill":         func() error { return p.Kill(t.Context()) },
		"send signal":  func() error { return compute.SendSignal(t.Context(), p, compute.SIGHUP) },
	}
	for name, do := range ops {
		log = nil
		require.NoError(t, do())
		require.Equal(t, []string{"a " + name, "b " + name}, log)
	}
	_, ok := compute.As[proc](p)
	require.True(t, ok)
	bare, err := compute.Start(t.Context(), ableSandbox(t), compute.Exec("x"))
	require.NoError(t, err)
	require.Equal(t, proc("p1"), bare, "nothing is wrapped in nothing")
}

func TestListingIsOneOperation(t *testing.T) {
	var log []string
	sb := ableSandbox(t, recorder("a", &log))
	log = nil
	all, err := compute.Collect(compute.ListProcesses(t.Context(), sb), 0)
	require.NoError(t, err)
	require.Len(t, all, 2)
	_, err = compute.Collect(compute.ListProcesses(t.Context(), sb), 1)
	require.NoError(t, err)
	require.Equal(t, []string{"a list processes", "a list processes"}, log)
	_, err = compute.Collect(compute.ListURLs(t.Context(), sb), 0)
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// pagesThenQuota lists two sandboxes and then fails, each time.
type pagesThenQuota struct {
	compute.Compute
	calls *int
	first int // values before the failure
}

func (c pagesThenQuota) ListSandboxes(context.Context, *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	return func(yield func(*compute.SandboxInfo, error) bool) {
		*c.calls++
		for range c.first {
			if !yield(&compute.SandboxInfo{}, nil) {
				return
			}
		}
		yield(nil, compute.ErrQuota)
	}
}

func TestListingThatHasBegunIsNotBegunAgain(t *testing.T) {
	for first, want := range []int{3, 1, 1} {
		calls := 0
		c := compute.Intercept(pagesThenQuota{&computefake.Compute{}, &calls, first}, compute.Retry(3, 0))
		all, err := compute.Collect(c.ListSandboxes(t.Context(), nil), 0)
		require.ErrorIs(t, err, compute.ErrQuota)
		require.Len(t, all, first, "nothing is yielded twice")
		require.Equal(t, want, calls)

		again := func(ctx context.Context, _ compute.Op, next func(context.Context) error) error {
			_ = next(ctx)
			return next(ctx)
		}
		c = compute.Intercept(c, again)
		all, err = compute.Collect(c.ListSandboxes(t.Context(), nil), 0)
		require.ErrorIs(t, err, compute.ErrQuota)
		require.Len(t, all, first, "not by an interceptor of the user's either")
	}
}
