package compute_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/computefake"
)

// failing returns a fake whose operations fail n times with err.
func failing(n int, err error) (c *computefake.Compute, calls *int) {
	calls = new(int)
	return &computefake.Compute{Label: "fake", Fail: func(string, string) error {
		if *calls++; *calls <= n {
			return err
		}
		return nil
	}}, calls
}

func TestRetry(t *testing.T) {
	create := func(ctx context.Context, c compute.Compute) error { _, err := c.CreateSandbox(ctx, nil); return err }
	destroy := func(ctx context.Context, c compute.Compute) error { return c.DestroySandbox(ctx, "x") }
	unavailable := &compute.Error{Kind: compute.ErrUnavailable}
	tests := map[string]struct {
		do    func(context.Context, compute.Compute) error
		fails int
		err   error
		calls int
		ok    bool
	}{
		"idempotent":                {destroy, 2, unavailable, 3, true},
		"too often":                 {destroy, 5, unavailable, 3, false},
		"creation may be done":      {create, 1, unavailable, 1, false},
		"creation surely not done":  {create, 2, &compute.Error{Kind: compute.ErrUnavailable, NothingDone: true}, 3, true},
		"creation over quota":       {create, 2, compute.ErrQuota, 3, true},
		"never mind":                {destroy, 1, &compute.Error{Kind: compute.ErrNotFound}, 1, false},
		"creation joined with more": {create, 1, errors.Join(compute.ErrQuota, unavailable), 1, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, calls := failing(tt.fails, tt.err)
				err := tt.do(t.Context(), compute.Intercept(c, compute.Retry(3, time.Second)))
				require.Equal(t, tt.ok, err == nil, err)
				require.Equal(t, tt.calls, *calls)
			})
		})
	}
}

func TestRetryWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c, _ := failing(1, &compute.Error{Kind: compute.ErrQuota, RetryAfter: 42 * time.Second})
		require.NoError(t, compute.Intercept(c, compute.Retry(2, time.Millisecond)).DestroySandbox(t.Context(), "x"))
		require.Equal(t, 42*time.Second, time.Since(start), "as long as the provider asked for")

		start = time.Now()
		c, _ = failing(3, compute.ErrQuota)
		require.NoError(t, compute.Intercept(c, compute.Retry(4, time.Second)).DestroySandbox(t.Context(), "x"))
		require.GreaterOrEqual(t, time.Since(start), 3*500*time.Millisecond)
		require.LessOrEqual(t, time.Since(start), 8500*time.Millisecond)
	})
}

func TestRetryAndContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limited := &compute.Error{Kind: compute.ErrQuota, RetryAfter: time.Minute}
		c, calls := failing(9, limited)
		retrying := compute.Intercept(c, compute.Retry(9, time.Second))

		ctx, cancel := context.WithTimeout(t.Context(), 59*time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, retrying.DestroySandbox(ctx, "x"), compute.ErrQuota)
		require.Zero(t, time.Since(start), "a wait that outlasts the context is not begun")
		require.Equal(t, 1, *calls)

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		require.ErrorIs(t, retrying.DestroySandbox(ctx, "x"), compute.ErrQuota)
		require.Equal(t, time.Second, time.Since(start))
		require.Equal(t, 2, *calls)
	})
}

func TestLog(t *testing.T) {
	var out strings.Builder
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, _ := failing(0, nil)
	logged := compute.Intercept(c, compute.Log(logger))
	sb, err := logged.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Env: map[string]string{"TOKEN": secret}})
	require.NoError(t, err)
	cmd := compute.Exec("login", secret)
	cmd.Env = map[string]string{"TOKEN": secret}
	_, err = sb.RunCommand(t.Context(), cmd)
	require.NoError(t, err)
	_, err = logged.GetSandbox(t.Context(), "none")
	require.Error(t, err)
	require.NotContains(t, out.String(), secret)
	require.NotContains(t, out.String(), "login")
	require.Contains(t, out.String(), `level=DEBUG msg="compute: done" provider=fake op="create sandbox" sandbox=""`)
	require.Contains(t, out.String(), `op="run command" sandbox=s1`)
	require.Contains(t, out.String(), `level=WARN msg="compute: failed" provider=fake op="get sandbox"`)

	out.Reset()
	quiet := slog.New(slog.NewTextHandler(&out, nil))
	_, err = compute.Intercept(c, compute.Log(quiet)).CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, out.String())
}

func TestInterceptSeesEverything(t *testing.T) {
	var ops []compute.Op
	c := compute.Intercept(&computefake.Compute{Label: "fake"}, func(ctx context.Context, op compute.Op, next func(context.Context) error) error {
		ops = append(ops, op)
		return next(ctx)
	})
	ctx := t.Context()
	sb, err := c.CreateSandbox(ctx, nil)
	require.NoError(t, err)
	fsys := sb.Filesystem()
	calls := map[string]func() error{
		"get sandbox":     func() error { _, err := c.GetSandbox(ctx, "s1"); return err },
		"list sandboxes":  func() error { _, err := compute.Collect(c.ListSandboxes(ctx, nil), 0); return err },
		"destroy sandbox": func() error { return c.DestroySandbox(ctx, "x") },
		"create template": func() error {
			_, err := c.CreateTemplate(ctx, &compute.CreateTemplateOptions{Name: "t"})
			return err
		},
		"get template":    func() error { _, err := c.GetTemplate(ctx, "t"); return err },
		"list templates":  func() error { _, err := compute.Collect(c.ListTemplates(ctx, nil), 0); return err },
		"delete template": func() error { return c.DeleteTemplate(ctx, "t") },
		"create snapshot": func() error { _, err := c.CreateSnapshot(ctx, "s1", nil); return err },
		"get snapshot":    func() error { _, err := c.GetSnapshot(ctx, "x"); return err },
		"list snapshots":  func() error { _, err := compute.Collect(c.ListSnapshots(ctx, nil), 0); return err },
		"delete snapshot": func() error { return c.DeleteSnapshot(ctx, "x") },
		"info":            func() error { _, err := sb.Info(ctx); return err },
		"run command":     func() error { _, err := sb.RunCommand(ctx, compute.Exec("x")); return err },
		"get url":         func() error { _, err := sb.GetURL(ctx, 80); return err },
		"suspend":         func() error { return compute.Suspend(ctx, sb) },
		"read file":       func() error { _, err := fsys.ReadFile(ctx, "x"); return err },
		"write file":      func() error { return fsys.WriteFile(ctx, "x", nil, 0o600) },
		"read dir":        func() error { _, err := fsys.ReadDir(ctx, "x"); return err },
		"stat":            func() error { _, err := fsys.Stat(ctx, "x"); return err },
		"make dir":        func() error { return fsys.MkdirAll(ctx, "x", 0o700) },
		"remove":          func() error { return fsys.RemoveAll(ctx, "x") },
		"rename":          func() error { return compute.Rename(ctx, fsys, "x", "y") },
		"open file":       func() error { _, err := compute.OpenFile(ctx, fsys, "x"); return err },
	}
	for name, call := range calls {
		ops = nil
		_ = call() // what comes of it is not the point
		require.Len(t, ops, 1, name)
		require.Equal(t, name, ops[0].Name)
		require.Equal(t, "fake", ops[0].Provider)
	}
	ops = nil
	require.NoError(t, sb.Destroy(ctx))
	require.Equal(t, "destroy sandbox", ops[0].Name)
	require.Equal(t, "s1", ops[0].SandboxID)
}

func TestInterceptorThatFailsACreation(t *testing.T) {
	refuse := func(ctx context.Context, op compute.Op, next func(context.Context) error) error {
		if err := next(ctx); err != nil || op.Name != "create sandbox" {
			return err
		}
		return fs.ErrPermission
	}
	c := &computefake.Compute{Label: "fake"}
	_, err := compute.Intercept(c, pass, refuse, pass).CreateSandbox(t.Context(), nil)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.Empty(t, c.IDs(), "nothing is left")

	c.Fail = func(op, _ string) error {
		if op == "destroy sandbox" {
			return compute.ErrUnavailable
		}
		return nil
	}
	_, err = compute.Intercept(c, refuse).CreateSandbox(t.Context(), nil)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorIs(t, err, compute.ErrUnavailable)
	e, ok := errors.AsType[*compute.Error](err)
	require.True(t, ok)
	require.Equal(t, []string{e.ID}, c.IDs(), "the error names what was left")
}

// A decorator must be cheap enough never to be thought about.
func TestInterceptAllocations(t *testing.T) {
	perLayer := func(n int) float64 {
		sb := newSandbox(t, &computefake.Compute{Label: "fake"}, layers(n)...)
		cmd := compute.Exec("true")
		return testing.AllocsPerRun(100, func() { _, _ = sb.RunCommand(context.Background(), cmd) })
	}
	none := perLayer(0)
	require.LessOrEqual(t, perLayer(1)-none, 2.0)
	require.LessOrEqual(t, perLayer(3)-none, 6.0)
}

func layers(n int) []compute.Interceptor {
	ins := make([]compute.Interceptor, n)
	for i := range ins {
		ins[i] = pass
	}
	return ins
}
