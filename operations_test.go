package compute_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// operations are the names that the sources use.
func operations(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`Op\{Name: "([^"]+)"`).FindAllSubmatch(source, -1) {
			names = append(names, string(m[1]))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestOperationsAreDocumented(t *testing.T) {
	source, err := os.ReadFile("intercept.go")
	require.NoError(t, err)
	doc := strings.ReplaceAll(string(source), "\n//", "")
	for _, name := range operations(t) {
		verb, noun, _ := strings.Cut(name, " ")
		switch noun = strings.TrimSuffix(noun, "s"); noun {
		case "template", "snapshot", "volume": // as of a sandbox
			assert.Contains(t, []string{"create", "get", "list", "delete"}, verb)
			name = noun
		}
		assert.Contains(t, doc, `"`+name+`"`)
	}
}

// A fault of an operation that there is not would never happen, and the test
// that has it would be about nothing.
func TestFaultsKnowTheOperations(t *testing.T) {
	p := stub.New(stub.Config{})
	for _, name := range operations(t) {
		require.NotPanics(t, func() { p.Inject(stub.Fault{Op: name, Err: compute.ErrQuota})() }, name)
	}
	assert.Panics(t, func() { p.Inject(stub.Fault{Op: "run comand", Err: compute.ErrQuota}) })
}

// errLate is what an interceptor makes of a success.
var errLate = errors.New("late")

func failLate(name string) compute.Interceptor {
	return func(ctx context.Context, op compute.Op, next func(context.Context) error) error {
		if err := next(ctx); err != nil || op.Name != name {
			return err
		}
		return errLate
	}
}

func TestNothingIsLeftByLateFailures(t *testing.T) {
	tests := map[string]func(ctx context.Context, c compute.Compute, sb compute.Sandbox) error{
		"create sandbox": func(ctx context.Context, c compute.Compute, _ compute.Sandbox) error {
			_, err := c.CreateSandbox(ctx, nil)
			return err
		},
		"create template": func(ctx context.Context, c compute.Compute, _ compute.Sandbox) error {
			_, err := c.CreateTemplate(ctx, &compute.CreateTemplateOptions{Name: "t"})
			return err
		},
		"create snapshot": func(ctx context.Context, c compute.Compute, sb compute.Sandbox) error {
			_, err := c.CreateSnapshot(ctx, sb.ID(), nil)
			return err
		},
		"create volume": func(ctx context.Context, c compute.Compute, _ compute.Sandbox) error {
			_, err := compute.CreateVolume(ctx, c, nil)
			return err
		},
		"start command": func(ctx context.Context, _ compute.Compute, sb compute.Sandbox) error {
			_, err := compute.Start(ctx, sb, compute.Exec("sleep", "1000"))
			return err
		},
	}
	for op, do := range tests {
		t.Run(op, func(t *testing.T) {
			p := stub.New(stub.Config{})
			t.Cleanup(func() { require.NoError(t, p.Close()) })
			plain, err := p.CreateSandbox(t.Context(), nil)
			require.NoError(t, err)
			c := compute.Intercept(p, failLate(op), compute.Log(slog.New(slog.DiscardHandler)))
			sb, err := c.GetSandbox(t.Context(), plain.ID())
			require.NoError(t, err)
			require.ErrorIs(t, do(t.Context(), c, sb), errLate)

			sandboxes, err := compute.Collect(p.ListSandboxes(t.Context(), nil), 0)
			require.NoError(t, err)
			assert.Len(t, sandboxes, 1)
			templates, err := compute.Collect(p.ListTemplates(t.Context(), nil), 0)
			require.NoError(t, err)
			assert.Empty(t, templates)
			snapshots, err := compute.Collect(p.ListSnapshots(t.Context(), nil), 0)
			require.NoError(t, err)
			assert.Empty(t, snapshots)
			volumes, err := compute.Collect(compute.ListVolumes(t.Context(), p), 0)
			require.NoError(t, err)
			assert.Empty(t, volumes)
			for info, err := range compute.ListProcesses(t.Context(), plain) {
				require.NoError(t, err)
				assert.False(t, info.Running)
			}
		})
	}
}

func TestInterceptNamedShells(t *testing.T) {
	p := stub.New(stub.Config{})
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	var heard []string
	listen := func(layer string) compute.Interceptor {
		return func(ctx context.Context, op compute.Op, next func(context.Context) error) error {
			heard = append(heard, layer+" "+op.Name+" "+op.SandboxID)
			return next(ctx)
		}
	}
	sb, err := compute.Intercept(p, listen("outer"), listen("inner")).CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	sh, err := compute.OpenShell(t.Context(), sb, "main")
	require.NoError(t, err)
	heard = nil
	out, err := compute.Output(t.Context(), sh, compute.Shell("cd /tmp; pwd"))
	require.NoError(t, err)
	assert.Equal(t, "/tmp\n", out)
	require.NoError(t, sh.Close(t.Context()))
	id := " " + sb.ID()
	assert.Equal(t, []string{"outer run command" + id, "inner run command" + id, "outer close shell" + id, "inner close shell" + id}, heard)
}

// plainFS has no abilities: files are opened from memory.
type plainFS struct{ compute.Filesystem }

func (plainFS) ReadFile(context.Context, string) ([]byte, error) { return []byte("hello"), nil }

func TestOpenFileFromMemoryEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, err := compute.OpenFile(ctx, plainFS{}, "f")
	require.NoError(t, err)
	b := make([]byte, 2)
	_, err = io.ReadFull(r, b)
	require.NoError(t, err)
	cancel()
	_, err = r.Read(b)
	require.ErrorIs(t, err, context.Canceled)
	var about *fs.PathError
	require.ErrorAs(t, err, &about)
	require.NoError(t, r.Close())
}

// counted hands out streams and connections and counts those that are closed.
type counted struct {
	compute.Compute
	closed *int
}

type countedSandbox struct {
	compute.Sandbox
	closed *int
}

type countedFS struct {
	compute.Filesystem
	closed *int
}

type countedConn struct {
	net.Conn
	closed *int
}

func (c counted) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	sb, err := c.Compute.CreateSandbox(ctx, opts)
	return countedSandbox{sb, c.closed}, err
}

func (s countedSandbox) DialContext(context.Context, string, string) (net.Conn, error) {
	return countedConn{nil, s.closed}, nil
}

func (s countedSandbox) Filesystem() compute.Filesystem {
	return countedFS{s.Sandbox.Filesystem(), s.closed}
}

func (f countedFS) OpenFile(context.Context, string) (io.ReadCloser, error) {
	return countedConn{nil, f.closed}, nil
}

func (c countedConn) Close() error {
	*c.closed++
	return nil
}

func TestLateFailuresCloseStreams(t *testing.T) {
	p, closed := stub.New(stub.Config{}), 0
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	c := compute.Intercept(counted{p, &closed}, failLate("open file"), failLate("dial"))
	sb, err := c.CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	r, err := compute.OpenFile(t.Context(), sb.Filesystem(), "f")
	require.ErrorIs(t, err, errLate)
	assert.Nil(t, r)
	assert.Equal(t, 1, closed)
	conn, err := compute.Dial(t.Context(), sb, "tcp", "127.0.0.1:80")
	require.ErrorIs(t, err, errLate)
	assert.Nil(t, conn)
	assert.Equal(t, 2, closed)
}
