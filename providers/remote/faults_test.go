package remote_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/internal/duplex"
	"github.com/computekit/compute/providers/remote"
	"github.com/computekit/compute/providers/stub"
)

// proxy is between the two ends and makes trouble.
type proxy struct {
	next http.Handler

	mu     sync.Mutex
	fault  func(http.ResponseWriter, *http.Request, http.Handler)
	faults int // how many requests are still to meet it
	met    atomic.Int32
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	fault := p.fault
	if p.faults == 0 {
		fault = nil
	} else {
		p.faults--
	}
	p.mu.Unlock()
	if fault == nil {
		p.next.ServeHTTP(w, r)
		return
	}
	p.met.Add(1)
	fault(w, r, p.next)
}

// inject lets the next n requests meet a fault.
func (p *proxy) inject(n int, fault func(http.ResponseWriter, *http.Request, http.Handler)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.faults = fault, n
	p.met.Store(0)
}

// behindProxy returns a remote Compute whose requests go through a proxy to a
// handler over c.
func behindProxy(t *testing.T, c compute.Compute) (compute.Compute, *proxy) {
	t.Helper()
	far, client := serve(t, c, protocols[0])
	target, err := url.Parse(far)
	require.NoError(t, err)
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, FlushInterval: -1,
		Transport: client.Transport, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }}
	p := &proxy{next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { duplex.Serve(forward, w, r) })}
	s := httptest.NewServer(p)
	t.Cleanup(func() { s.Client().CloseIdleConnections(); s.Close() })
	r, err := remote.New(t.Context(), remote.Config{URL: s.URL, Client: s.Client()})
	require.NoError(t, err, "New")
	t.Cleanup(func() { require.NoError(t, compute.Close(r), "Close") })
	return r, p
}

// The faults.
var (
	badGateway = func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html>secret host</html>")
	}
	reset = func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }
	// lostAnswer lets the request through and not the answer.
	lostAnswer = func(_ http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
	slow = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&slowWriter{ResponseWriter: w}, r)
	}
)

// cutAfter ends the connection after n bytes of the answer's body.
func cutAfter(n int) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&cutWriter{w, n}, r)
	}
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *cutWriter) Write(p []byte) (int, error) {
	n, _ := w.ResponseWriter.Write(p[:min(len(p), w.left)])
	if w.left -= n; w.left == 0 {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

// slowWriter writes byte after byte, each in a packet of its own.
type slowWriter struct{ http.ResponseWriter }

func (w *slowWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *slowWriter) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := w.ResponseWriter.Write(p[i : i+1]); err != nil {
			return i, err
		}
		_ = http.NewResponseController(w.ResponseWriter).Flush()
	}
	return len(p), nil
}

func TestIdempotentOperationsAreTriedAgain(t *testing.T) {
	c, p := behindProxy(t, newStub(t))
	sb := computetest.NewSandbox(t, c, nil)
	fsys := sb.Filesystem()
	require.NoError(t, fsys.WriteFile(t.Context(), "f", []byte(strings.Repeat("x", 10_000)), 0o644))
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"bad gateway": badGateway, "reset": reset, "lost answer": lostAnswer, "cut": cutAfter(50),
	} {
		for op, do := range map[string]func(context.Context) error{
			"info":  func(ctx context.Context) error { _, err := sb.Info(ctx); return err },
			"list":  func(ctx context.Context) error { _, err := compute.Collect(c.ListSandboxes(ctx, nil), 0); return err },
			"write": func(ctx context.Context) error { return fsys.WriteFile(ctx, "g", []byte("data"), 0o644) },
			"read": func(ctx context.Context) error {
				data, err := fsys.ReadFile(ctx, "f")
				if err == nil && len(data) != 10_000 {
					err = errors.New("half a file")
				}
				return err
			},
		} {
			t.Run(op+"/"+name, func(t *testing.T) {
				p.inject(2, fault)
				require.NoError(t, do(t.Context()), "what passes is got over")
				p.inject(100, fault)
				err := do(t.Context())
				p.inject(0, nil)
				require.ErrorIs(t, err, compute.ErrUnavailable, "what lasts is not")
				assert.NotErrorIs(t, err, compute.ErrNotFound)
				assert.NotContains(t, err.Error(), "secret")
				assert.NotContains(t, err.Error(), "127.0.0.1")
			})
		}
	}
}

func TestCommandsAreNotRepeated(t *testing.T) {
	c, p := behindProxy(t, newStub(t))
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"lost answer": lostAnswer, "cut": cutAfter(30), "reset": reset, "bad gateway": badGateway,
	} {
		t.Run(name, func(t *testing.T) {
			sb := computetest.NewSandbox(t, c, nil)
			p.inject(1, fault)
			_, err := sb.RunCommand(t.Context(), compute.Shell("echo once >> log; echo some output"))
			require.ErrorIs(t, err, compute.ErrUnavailable, "a lost connection is never an exit code")
			assert.EqualValues(t, 1, p.met.Load(), "requests")
			data, err := sb.Filesystem().ReadFile(t.Context(), "log")
			if err == nil {
				assert.Equal(t, "once\n", string(data))
			}
		})
	}
}

// TestNothingIsLeft: what was created and whose answer got lost is undone.
func TestNothingIsLeft(t *testing.T) {
	far := newStub(t)
	c, p := behindProxy(t, far)
	sb := computetest.NewSandbox(t, c, nil)
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"lost answer": lostAnswer, "cut": cutAfter(20), "reset": reset,
	} {
		t.Run(name, func(t *testing.T) {
			p.inject(1, fault)
			_, err := c.CreateSandbox(t.Context(), nil)
			require.ErrorIs(t, err, compute.ErrUnavailable)
			p.inject(1, fault)
			_, err = c.CreateSnapshot(t.Context(), sb.ID(), nil)
			require.ErrorIs(t, err, compute.ErrUnavailable)
			p.inject(1, fault)
			_, err = compute.CreateVolume(t.Context(), c, nil)
			require.ErrorIs(t, err, compute.ErrUnavailable)
			p.inject(1, fault)
			_, err = compute.Start(t.Context(), sb, compute.Exec("sleep", "60"))
			require.ErrorIs(t, err, compute.ErrUnavailable)

			sandboxes, err := compute.Collect(far.ListSandboxes(t.Context(), nil), 0)
			require.NoError(t, err)
			assert.Len(t, sandboxes, 1)
			snapshots, err := compute.Collect(far.ListSnapshots(t.Context(), nil), 0)
			require.NoError(t, err)
			assert.Empty(t, snapshots)
			volumes, err := compute.Collect(compute.ListVolumes(t.Context(), far), 0)
			require.NoError(t, err)
			assert.Empty(t, volumes)
			for info, err := range compute.ListProcesses(t.Context(), sb) {
				require.NoError(t, err)
				assert.False(t, info.Running, "process %s", info.ID)
			}
		})
	}
}

// TestOutputIsResumed cuts the stream of a process again and again.
func TestOutputIsResumed(t *testing.T) {
	c, p := behindProxy(t, newStub(t))
	sb := computetest.NewSandbox(t, c, nil)
	want := strings.Repeat("line é\n", 5000)
	require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "f", []byte(want), 0o644))
	proc, err := compute.Start(t.Context(), sb, compute.Exec("cat", "f"))
	require.NoError(t, err)
	_, err = proc.Wait(t.Context())
	require.NoError(t, err)
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){"cut": cutAfter(40_000), "slow": slow} {
		t.Run(name, func(t *testing.T) {
			p.inject(1, fault)
			var out bytes.Buffer
			require.NoError(t, proc.Attach(t.Context(), &out, nil))
			assert.EqualValues(t, 1, p.met.Load())
			assert.Equal(t, sha256.Sum256([]byte(want)), sha256.Sum256(out.Bytes()), "%d bytes of %d, or others", out.Len(), len(want))
		})
	}
}

// TestStreamsThatAreCut: half of a file is never a file.
func TestStreamsThatAreCut(t *testing.T) {
	c, p := behindProxy(t, newStub(t))
	fsys := computetest.NewSandbox(t, c, nil).Filesystem()
	require.NoError(t, fsys.WriteFile(t.Context(), "d/f", []byte(strings.Repeat("x", 100_000)), 0o644))
	p.inject(1, cutAfter(1000))
	r, err := compute.OpenFile(t.Context(), fsys, "d/f")
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, compute.ErrUnavailable)
	require.NoError(t, r.Close())
	p.inject(1, cutAfter(1000))
	require.ErrorIs(t, compute.ReadArchive(t.Context(), fsys, "d", io.Discard), compute.ErrUnavailable)
}

func TestContextEndsTheWork(t *testing.T) {
	far := stub.New(stub.Config{})
	t.Cleanup(func() { require.NoError(t, compute.Close(far)) })
	c, _ := behindProxy(t, far)
	sb := computetest.NewSandbox(t, c, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cmd := compute.Shell("echo begun; while :; do echo > beat; sleep 0.01; done")
	cmd.Stdout = writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	_, err := sb.RunCommand(ctx, cmd)
	require.ErrorIs(t, err, context.Canceled)
	fsys := sb.Filesystem()
	require.Eventually(t, func() bool {
		require.NoError(t, fsys.RemoveAll(t.Context(), "beat"))
		time.Sleep(50 * time.Millisecond)
		there, err := compute.Exists(t.Context(), fsys, "beat")
		return err == nil && !there
	}, 10*time.Second, 10*time.Millisecond, "the command runs on")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	_, err = remote.New(t.Context(), remote.Config{URL: "http://" + address})
	require.ErrorIs(t, err, compute.ErrUnavailable)
	assert.True(t, compute.NothingDone(err))
}
