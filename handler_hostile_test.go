package compute_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// No offset is below zero, whichever way a client says it.
func TestHandlerNegativeOffsets(t *testing.T) {
	f := newFar(t, compute.HandlerOptions{}, nil)
	id := f.create()
	terminal := f.do(compute.Request{Action: "compute.sandbox.terminal.create", SandboxID: id,
		TerminalOptions: compute.TerminalOptions{Command: "echo hello; cat"}}).Terminal.TerminalID
	query := url.Values{"action": {"terminal.stream"}, "sandboxId": {id}, "terminalId": {terminal}, "request": {`{"offsets":{"stdout":-5}}`}}
	answer, status := f.answer(f.send(http.MethodGet, "?"+query.Encode(), nil))
	require.Equal(t, []any{http.StatusBadRequest, "offsets must not be negative"}, []any{status, answer.Error})
	query.Set("action", "terminal.connect")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, resp, err := websocket.Dial(ctx, strings.Replace(f.URL, "http", "ws", 1)+"?"+query.Encode(), nil) //nolint:bodyclose // it is a piece of memory
	require.Error(t, err)
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	for _, action := range []string{"compute.sandbox.process.output", "compute.template.logs"} {
		req := compute.Request{Action: action, SandboxID: id, ProcessID: terminal, ID: "x", Offsets: compute.Offsets{Stdout: -1}}
		_, status := f.ask(req)
		require.Equal(t, http.StatusBadRequest, status, action)
	}
}

// sparse returns a tar archive with a file of so many bytes, none of which are in
// the archive.
func sparse(t *testing.T, size int) []byte {
	const theirs = "GNU_sparse." // package tar reads such records, and does not write them
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	holes := make([]byte, 512)
	copy(holes, fmt.Sprintf("1\n%d\n0\n", size))
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "f", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(holes)),
		PAXRecords: map[string]string{theirs + "major": "1", theirs + "minor": "0", theirs + "name": "f", theirs + "realsize": strconv.Itoa(size)}}))
	_, err := w.Write(holes)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return bytes.ReplaceAll(b.Bytes(), []byte(theirs), []byte("GNU.sparse."))
}

func archiveOf(t *testing.T, name string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Format: tar.FormatPAX}))
	require.NoError(t, w.Close())
	return b.Bytes()
}

// A build context may not take more of the server than its archive does. The
// stub cannot do anything with those that are good.
func TestHandlerContextBombs(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	f := newFar(t, compute.HandlerOptions{MaxUpload: 1 << 20}, nil)
	query := "?" + url.Values{"action": {"compute.template.create"}, "request": {`{"options":{"name":"n"}}`}}.Encode()
	for name, tt := range map[string]struct {
		archive []byte
		status  int
	}{
		"sparse":          {sparse(t, 8<<20), http.StatusRequestEntityTooLarge},
		"a little sparse": {sparse(t, 1<<10), http.StatusNotImplemented},
		"deep":            {archiveOf(t, strings.Repeat("a/", 1000)+"f"), http.StatusBadRequest},
		"long":            {archiveOf(t, strings.Repeat(strings.Repeat("a", 200)+"/", 25)+"f"), http.StatusBadRequest},
		"deep enough":     {archiveOf(t, strings.Repeat("a/", 60)+"f"), http.StatusNotImplemented},
	} {
		t.Run(name, func(t *testing.T) {
			answer, status := f.answer(f.send(http.MethodPut, query, bytes.NewReader(tt.archive)))
			assert.Equal(t, tt.status, status, answer.Error)
			left, err := filepath.Glob(filepath.Join(dir, "compute-context-*"))
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

// slowWriter is a client that takes so many bytes a second.
type slowWriter struct {
	*httptest.ResponseRecorder
	rate     int
	deadline time.Time
}

func (w *slowWriter) SetWriteDeadline(t time.Time) error { w.deadline = t; return nil }

func (w *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(len(p)) * time.Second / time.Duration(w.rate))
	if !w.deadline.IsZero() && time.Now().After(w.deadline) {
		return 0, os.ErrDeadlineExceeded
	}
	return w.ResponseRecorder.Write(p)
}

// A slow client gets a large answer, if it keeps at it.
func TestHandlerLargeAnswersToSlowClients(t *testing.T) {
	for name, accept := range map[string]string{"json": "application/json", "events": "text/event-stream"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newHandlerFake()
				fake.files["big"] = &fstest.MapFile{Data: bytes.Repeat([]byte("x"), compute.MaxCapture)}
				r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"action":"compute.sandbox.filesystem.readFile","sandboxId":"s1","path":"/big"}`))
				r.Header.Set("Accept", accept)
				w := &slowWriter{ResponseRecorder: httptest.NewRecorder(), rate: compute.MaxCapture / 100}
				open(fake).ServeHTTP(w, r)
				require.Greater(t, w.Body.Len(), compute.MaxCapture)
				w = &slowWriter{ResponseRecorder: httptest.NewRecorder(), rate: 1_000}
				r.Body = io.NopCloser(strings.NewReader(`{"action":"compute.sandbox.filesystem.readFile","sandboxId":"s1","path":"/big"}`))
				open(fake).ServeHTTP(w, r)
				require.Less(t, w.Body.Len(), 1<<10, "one that hardly reads")
			})
		})
	}
}

// unstatable is a file system that cannot say anything of its files.
type unstatable struct{ compute.Filesystem }

func (unstatable) Stat(context.Context, string) (fs.FileInfo, error) {
	return nil, &compute.Error{Op: "stat", Kind: compute.ErrUnavailable}
}

type unstatableSandbox struct{ compute.Sandbox }

func (s unstatableSandbox) Filesystem() compute.Filesystem {
	return unstatable{s.Sandbox.Filesystem()}
}

// A file can be read where nothing else is known of it.
func TestHandlerDownloadWithoutStat(t *testing.T) {
	fake := newHandlerFake()
	fake.files["big"] = &fstest.MapFile{Data: bytes.Repeat([]byte("x"), 100<<10)}
	f := newFarOver(t, withSandbox{fake, unstatableSandbox{&fakeSandbox{fake}}}, compute.HandlerOptions{}, nil)
	for path, want := range map[string]string{"/etc/motd": "hi\n", "/big": strings.Repeat("x", 100<<10)} {
		resp := f.send(http.MethodGet, "?action=filesystem.download&sandboxId=s1&path="+path, nil, "Range", "bytes=1-2")
		data, err := io.ReadAll(resp.body)
		require.NoError(t, err)
		require.Equal(t, []any{http.StatusOK, want}, []any{resp.status, string(data)})
	}
	_, status := f.answer(f.send(http.MethodGet, "?action=filesystem.download&sandboxId=s1&path=/none", nil))
	require.Equal(t, http.StatusNotFound, status)
}

// A HEAD request for a stream has no end to wait for.
func TestHandlerHeadOfStream(t *testing.T) {
	f := newFar(t, compute.HandlerOptions{}, nil)
	id := f.create()
	terminal := f.do(compute.Request{Action: "compute.sandbox.terminal.create", SandboxID: id, Env: map[string]string{"A": "a", "B": "b"},
		TerminalOptions: compute.TerminalOptions{Command: "echo $A$B; cat", Env: map[string]string{"B": "c"}}}).Terminal.TerminalID
	r := httptest.NewRequest(http.MethodHead, "/?action=terminal.stream&sandboxId="+id+"&terminalId="+terminal, nil)
	w := httptest.NewRecorder()
	f.Config.Handler.ServeHTTP(w, r) // returns
	require.Equal(t, []any{http.StatusOK, "text/event-stream", 0}, []any{w.Code, w.Header().Get("Content-Type"), w.Body.Len()})
	var out strings.Builder
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	events := f.events(compute.Request{Action: "compute.sandbox.process.output", SandboxID: id, ProcessID: terminal})
	for !strings.Contains(out.String(), "ac") && ctx.Err() == nil {
		out.WriteString(events.next().data)
	}
	require.Contains(t, out.String(), "ac", "the environment of both fields")
}
