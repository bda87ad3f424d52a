package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runlooptest"
	"github.com/computekit/compute/providers/stub"
)

func newTestServer(t *testing.T) (*httptest.Server, *runlooptest.Emulator) {
	t.Helper()
	backend := stub.New(stub.Config{})
	e, err := runlooptest.New(runlooptest.WithBackend(backend))
	require.NoError(t, err)
	srv := httptest.NewServer(handler(e, misbehaving(e), backend))
	t.Cleanup(func() {
		require.NoError(t, e.Close())
		srv.Close()
	})
	return srv, e
}

// do makes a request with the key, as a script.
func do(t *testing.T, e *runlooptest.Emulator, method, url, script, body string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+e.APIKey())
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(scriptHeader, script)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	var v map[string]any
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&v))
	return resp.StatusCode, v
}

func TestFaults(t *testing.T) {
	srv, e := newTestServer(t)
	status, _ := do(t, e, "POST", srv.URL+"/interop/faults", "", `{"match":"secrets.list","status":503,"message":"because","header":{"X-Why":"test"}}`)
	require.Equal(t, http.StatusOK, status)
	status, body := do(t, e, "GET", srv.URL+"/v1/secrets", "", "")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Equal(t, "because", body["message"])
	status, _ = do(t, e, "GET", srv.URL+"/v1/secrets", "", "")
	assert.Equal(t, http.StatusOK, status)
}

func TestUnknownFault(t *testing.T) {
	srv, _ := newTestServer(t)
	resp, err := http.Post(srv.URL+"/interop/faults", "application/json", strings.NewReader(`{"colour":"blue"}`))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
}

// TestMisbehaving checks that a script gets its broken promise, and others none.
func TestMisbehaving(t *testing.T) {
	srv, e := newTestServer(t)
	_, made := do(t, e, "POST", srv.URL+"/v1/secrets", "secrets", `{"name":"S","value":"v"}`)
	require.Equal(t, "S", made["name"])
	_, view := do(t, e, "GET", srv.URL+"/v1/secrets/S", "secrets", "")
	assert.Equal(t, "told", view["value"])
	_, view = do(t, e, "GET", srv.URL+"/v1/secrets/S", "objects", "")
	assert.NotContains(t, view, "value")
	status, _ := do(t, e, "GET", srv.URL+"/v1/secrets/no_such_secret", "errors", "")
	assert.Equal(t, http.StatusInternalServerError, status)
	status, _ = do(t, e, "GET", srv.URL+"/v1/secrets/no_such_secret", "secrets", "")
	assert.Equal(t, http.StatusNotFound, status)
}

func TestNothingLeft(t *testing.T) {
	backend := stub.New(stub.Config{})
	require.NoError(t, nothingLeft(t.Context(), backend))
	sb, err := backend.CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	require.ErrorContains(t, nothingLeft(t.Context(), backend), sb.ID())
	require.NoError(t, sb.Destroy(t.Context()))
	snapshots, err := backend.CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	snapshot, err := backend.CreateSnapshot(t.Context(), snapshots.ID(), nil)
	require.NoError(t, err)
	require.NoError(t, snapshots.Destroy(t.Context()))
	require.ErrorContains(t, nothingLeft(t.Context(), backend), snapshot.ID)
}

// TestServe starts what the command starts, and stops it while a stream is open.
func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	backend := compute.Compute(stub.New(stub.Config{}))
	e, err := runlooptest.New(runlooptest.WithBackend(backend))
	require.NoError(t, err)
	ready, served := make(chan struct{}), make(chan error, 1)
	go func() {
		served <- serve(ctx, []net.Listener{l}, handler(e, e, backend), func() error { close(ready); return nil }, e.Close)
	}()
	<-ready
	base := "http://" + l.Addr().String()
	for _, http2 := range []bool{false, true} {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(!http2)
		transport.Protocols.SetUnencryptedHTTP2(http2)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/devboxes/evictions/watch", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+e.APIKey())
		resp, err := transport.RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, http2, resp.ProtoMajor == 2)
		t.Cleanup(func() {
			var rest bytes.Buffer
			_, _ = rest.ReadFrom(resp.Body) // until the server has ended it
			_ = resp.Body.Close()
			transport.CloseIdleConnections()
		})
	}
	cancel()
	require.NoError(t, <-served)
}
