package remote_test

import (
	"context"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// lateCompute has sandboxes whose commands print something when their contexts
// have ended.
type lateCompute struct{ compute.Compute }

func (c lateCompute) Unwrap() compute.Compute { return c.Compute }

func (c lateCompute) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	sb, err := c.Compute.GetSandbox(ctx, id)
	return lateSandbox{sb}, err
}

type lateSandbox struct{ compute.Sandbox }

func (s lateSandbox) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	_, _ = io.WriteString(cmd.Stdout, "first ")
	<-ctx.Done()
	time.Sleep(50 * time.Millisecond)
	_, _ = io.WriteString(cmd.Stdout, "last")
	return &compute.Result{ExitCode: -1}, ctx.Err()
}

// What a command says when it is cut comes too, if the far end can be asked to
// cut it. Otherwise nobody waits for it.
func TestCutCommands(t *testing.T) {
	refuse := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		body, err := io.ReadAll(r.Body)
		if err != nil || strings.Contains(string(body), "compute.cancel") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		next.ServeHTTP(w, r)
	}
	for name, test := range map[string]struct {
		stdin  io.Reader
		fault  func(http.ResponseWriter, *http.Request, http.Handler)
		output string
	}{
		"asked":             {nil, nil, "first last"},
		"asked, with input": {strings.NewReader("input"), nil, "first last"},
		"not to be asked":   {nil, refuse, "first "},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := behindProxy(t, lateCompute{newStub(t)})
			sb, err := c.CreateSandbox(t.Context(), nil)
			require.NoError(t, err)
			if test.fault != nil {
				p.inject(100, test.fault)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var out strings.Builder
			begun := time.Now()
			res, err := sb.RunCommand(ctx, &compute.Command{Script: "x", Stdin: test.stdin, Stderr: io.Discard,
				Stdout: writerFunc(func(b []byte) (int, error) { cancel(); return out.Write(b) })})
			require.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, -1, res.ExitCode)
			assert.Equal(t, test.output, out.String())
			assert.Less(t, time.Since(begun), 2*time.Second)
		})
	}
}

// lateFiles takes its time to remove what was given up.
type lateFiles struct {
	compute.Compute
	begun   chan struct{}
	removed *atomic.Bool
}

func (c lateFiles) Unwrap() compute.Compute { return c.Compute }

func (c lateFiles) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	sb, err := c.Compute.GetSandbox(ctx, id)
	return lateFilesSandbox{sb, c}, err
}

type lateFilesSandbox struct {
	compute.Sandbox
	files lateFiles
}

func (s lateFilesSandbox) Filesystem() compute.Filesystem {
	return lateFilesystem{s.Sandbox.Filesystem(), s.files}
}

type lateFilesystem struct {
	compute.Filesystem
	files lateFiles
}

func (f lateFilesystem) CreateFile(ctx context.Context, name string, perm fs.FileMode) (io.WriteCloser, error) {
	w, err := compute.CreateFile(ctx, f.Filesystem, name, perm)
	return lateWriter{w, f.files}, err
}

type lateWriter struct {
	io.WriteCloser
	files lateFiles
}

func (w lateWriter) Write(p []byte) (int, error) {
	n, err := w.WriteCloser.Write(p)
	if n > 0 {
		close(w.files.begun)
	}
	return n, err
}

func (w lateWriter) Close() error {
	time.Sleep(100 * time.Millisecond)
	defer w.files.removed.Store(true)
	return w.WriteCloser.Close()
}

// When Close has returned, what was given up is gone at the far end, too.
func TestUploadsGivenUp(t *testing.T) {
	far := lateFiles{newStub(t), make(chan struct{}), new(atomic.Bool)}
	c, _ := behindProxy(t, far)
	sb, err := c.CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := compute.CreateFile(ctx, sb.Filesystem(), "f", 0o600)
	require.NoError(t, err)
	_, err = io.WriteString(w, "half")
	require.NoError(t, err)
	<-far.begun
	cancel()
	require.ErrorIs(t, w.Close(), context.Canceled)
	require.True(t, far.removed.Load(), "Close has waited")
}
