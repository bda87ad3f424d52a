package workspace_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/workspace"
)

// fault is what goes wrong once: before the operation is done, or after it, when
// only the answer is lost.
type fault struct {
	at    int // which operation, from 0
	after bool

	mu  sync.Mutex
	n   int
	hit string
}

var errLost = errors.New("connection reset")

func (f *fault) intercept(ctx context.Context, op compute.Op, next func(context.Context) error) error {
	if op.Name == "get sandbox" {
		return next(ctx) // the test's own
	}
	f.mu.Lock()
	mine := f.n == f.at
	if f.n++; mine {
		f.hit = op.Name
	}
	f.mu.Unlock()
	if !mine {
		return next(ctx)
	}
	if f.after {
		if err := next(ctx); err != nil {
			return err
		}
	}
	return &compute.Error{Op: op.Name, Kind: compute.ErrUnavailable, Err: errLost}
}

// faulty runs do with a fault at every operation, one after the other, until
// there is none left to fail. check sees the sandbox without faults.
func faulty(t *testing.T, prepare string, do func(sb compute.Sandbox) error, check func(t *testing.T, sb compute.Sandbox, err error)) {
	t.Helper()
	for _, b := range backends() {
		if b.asUser != "" {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			if b.real && !long {
				t.Skip("set COMPUTE_TEST_LONG to run it")
			}
			c := b.new(t)
			sb, err := c.CreateSandbox(t.Context(), nil)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, sb.Destroy(context.Background())) })
			for _, after := range []bool{false, true} {
				for at := range 100 {
					output(t, sb, "rm -rf ./* ./.[!.]*; "+prepare)
					f := &fault{at: at, after: after}
					err := do(intercepted(t, c, sb.ID(), f.intercept))
					if f.hit == "" {
						require.NoError(t, err)
						require.Positive(t, at)
						break
					}
					t.Run(fmt.Sprintf("%d %s after=%v", at, f.hit, after), func(t *testing.T) {
						if err != nil {
							_, typed := errors.AsType[*compute.Error](err)
							assert.True(t, typed, "%v", err)
							assert.ErrorIs(t, err, compute.ErrUnavailable)
						}
						check(t, sb, err)
						none(t, sb)
					})
				}
			}
		})
	}
}

// intercepted returns sb with an interceptor around its operations.
func intercepted(t *testing.T, c compute.Compute, id string, i compute.Interceptor) compute.Sandbox {
	t.Helper()
	sb, err := compute.Intercept(c, i).GetSandbox(t.Context(), id)
	require.NoError(t, err)
	return sb
}

func TestFaultsOfApply(t *testing.T) {
	m := &workspace.Manifest{Entries: workspace.Entries{"a": file("new a"), "d/b": file("new b"), "d/e/c": file("new c")}}
	faulty(t, "mkdir d; echo old >d/b; echo mine >d/mine", func(sb compute.Sandbox) error {
		_, err := workspace.Apply(t.Context(), sb, m, nil)
		return err
	}, func(t *testing.T, sb compute.Sandbox, _ error) {
		assert.Equal(t, "mine\n", output(t, sb, "cat d/mine"))
		assert.Contains(t, []string{"old\n", "new b"}, output(t, sb, "cat d/b"), "whole, old or new")
		_, err := workspace.Apply(t.Context(), sb, m, nil)
		require.NoError(t, err, "again")
		assert.Equal(t, "new anew bnew c", output(t, sb, "cat a d/b d/e/c"))
	})
}

func TestFaultsOfHydrate(t *testing.T) {
	archive := packed(t, false, "README.md", "new", "src/x", "new", "l", "->src/x")
	files := packed(t, false, "README.md", "new", "src/x", "new")
	faulty(t, lived, func(sb compute.Sandbox) error {
		data := archive
		if _, ok := compute.As[compute.Archiver](sb.Filesystem()); !ok {
			data = files
		}
		_, err := workspace.Hydrate(t.Context(), sb, bytes.NewReader(data), nil)
		return err
	}, func(t *testing.T, sb compute.Sandbox, err error) {
		if err == nil {
			assert.Equal(t, "newnew", output(t, sb, "cat README.md src/x; [ ! -e .git ]"))
			return
		}
		assert.Equal(t, "hello\nx\nmain\nwaste\n", output(t, sb, "cat README.md .git/config src/main.go cache/waste"), "the old one is whole")
		assert.Equal(t, "no\n", output(t, sb, "[ -e src/x ] || [ -e .compute-workspace-lock ] && echo yes || echo no"))
	})
}

func TestFaultsOfPersist(t *testing.T) {
	var whole *workspace.Index
	faulty(t, lived, func(sb compute.Sandbox) error {
		var archive bytes.Buffer
		p, err := workspace.Persist(t.Context(), sb, &workspace.Manifest{}, &archive, nil)
		if err == nil {
			require.NotZero(t, archive.Len())
			require.NotEmpty(t, p.Index.Entries)
		}
		return err
	}, func(t *testing.T, sb compute.Sandbox, _ error) {
		x, err := workspace.TakeIndex(t.Context(), sb, nil)
		require.NoError(t, err)
		if whole != nil {
			assert.Empty(t, workspace.Diff(whole, x))
		}
		whole = x
	})
}

// Whenever a context ends, the old workspace is whole or the new one is.
func TestHydrateCancelled(t *testing.T) {
	archive := packed(t, false, "README.md", "new", "src/x", "new")
	for _, b := range backends()[:2] {
		t.Run(b.name, func(t *testing.T) {
			if b.real && !long {
				t.Skip("set COMPUTE_TEST_LONG to run it")
			}
			c := b.new(t)
			sb, err := c.CreateSandbox(t.Context(), nil)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, sb.Destroy(context.Background())) })
			for _, op := range []string{"write archive", "run command"} {
				output(t, sb, "rm -rf ./* ./.[!.]*; "+lived)
				ctx, cancel := context.WithCancel(t.Context())
				own := intercepted(t, c, sb.ID(), func(ctx context.Context, o compute.Op, next func(context.Context) error) error {
					if o.Name == op {
						cancel()
					}
					return next(ctx)
				})
				_, err = workspace.Hydrate(ctx, own, bytes.NewReader(archive), nil)
				require.ErrorIs(t, err, context.Canceled)
				assert.Equal(t, "hello\nx\nmain\nwaste\n", output(t, sb, "cat README.md .git/config src/main.go cache/waste"))
				none(t, sb)
			}
		})
	}
}

// What a context that has ended leaves is removed all the same.
func TestApplyCancelled(t *testing.T) {
	for _, b := range backends() {
		if b.real && !long {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			c := b.new(t)
			sb := computetest.NewSandbox(t, c, nil)
			for _, op := range []string{"write archive", "write file", "run command"} {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				own := intercepted(t, c, sb.ID(), func(ctx context.Context, o compute.Op, next func(context.Context) error) error {
					err := next(ctx)
					if o.Name == op {
						cancel()
					}
					return err
				})
				_, err := workspace.Apply(ctx, own, &workspace.Manifest{Entries: workspace.Entries{"a": file("a"), "d/b": file("b")}}, nil)
				if err != nil {
					require.ErrorIs(t, err, context.Canceled)
				}
				none(t, sb)
			}
		})
	}
}

// A script that is killed in the midst of replacing is undone by another; one
// that cannot go on undoes it itself.
func TestHydrateBrokenOff(t *testing.T) {
	c := newLocal(t)
	sb, err := c.CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Destroy(context.Background())) })
	archive := packed(t, false, "README.md", "new", "a", "new", "zz", "new")
	// The nth mv fails, or kills the script that it works for.
	const mv = `cat >/usr/local/bin/mv <<'END'
#!/bin/sh
n=$(($(cat /tmp/moves) - 1)); echo $n >/tmp/moves
[ $n != 0 ] || { read fail </tmp/fail; eval "$fail"; }
exec /usr/bin/mv "$@"
END
chmod 755 /usr/local/bin/mv`
	output(t, sb, mv)
	for _, fail := range []string{"exit 1", "kill -9 $PPID"} {
		for n := 1; ; n++ {
			if !long && n != 4 && n != 8 { // some of the old ones' moves, and of the new ones'
				if n > 8 {
					break
				}
				continue
			}
			output(t, sb, fmt.Sprintf("rm -rf ./* ./.[!.]*; %s; echo %d >/tmp/moves; echo '%s' >/tmp/fail", lived, n, fail))
			_, err := workspace.Hydrate(t.Context(), sb, bytes.NewReader(archive), nil)
			none(t, sb)
			if err == nil {
				require.Greater(t, n, 8)
				assert.Equal(t, "newnewnew", output(t, sb, "cat README.md a zz; [ ! -e src ]"))
				break
			}
			assert.Equal(t, "hello\nx\nmain\nwaste\n", output(t, sb, "cat README.md .git/config src/main.go cache/waste"), "%s after %d moves", fail, n)
			assert.Equal(t, "no\n", output(t, sb, "[ -e zz ] || [ -e a ] || [ -e .compute-workspace-lock ] && echo yes || echo no"), "%s after %d moves", fail, n)
		}
	}
}
