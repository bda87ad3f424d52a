package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/stub"
)

func post(t *testing.T, url, token, accept, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/compute", strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, strings.ReplaceAll(string(data), "sbx_0001", "ID")
}

// TestRoutes is one story: ann has a sandbox, and bob wants it.
func TestRoutes(t *testing.T) {
	c := stub.New(stub.Config{})
	defer c.Close()
	srv := httptest.NewServer(routes(c, map[string]string{"ann's": "ann", "bob's": "bob"}))
	defer srv.Close()
	const (
		run  = `{"action":"compute.sandbox.runCommand","sandboxId":"sbx_0001","command":"echo","args":["hi"]}`
		read = `{"action":"compute.sandbox.filesystem.readFile","sandboxId":"sbx_0001","path":"/a"}`
	)
	for _, tt := range []struct {
		name, token, accept, body string
		status                    int
		want                      string
	}{
		{"no token", "", "", `{"action":"compute.sandbox.create"}`, 401, `"code":"unauthorized"`},
		{"wrong token", "eve's", "", `{"action":"compute.sandbox.create"}`, 401, `"code":"unauthorized"`},
		{"create", "ann's", "", `{"action":"compute.sandbox.create","options":{"runtime":"python","metadata":{"user":"bob"}}}`, 200, `"sandboxId":"ID"`},
		{"info", "ann's", "", `{"action":"compute.sandbox.getInfo","sandboxId":"sbx_0001"}`, 200, `"metadata":{"user":"bob"}`},
		{"lifetime", "ann's", "", `{"action":"compute.sandbox.getInfo","sandboxId":"sbx_0001"}`, 200, `"timeout":600000`},
		{"run", "ann's", "", run, 200, `"stdout":"hi\n"`},
		{"stream", "ann's", "text/event-stream", run, 200, "event: stdout\nid: 3-0\ndata: {\"text\":\"hi\\n\"}\n\nevent: result\n"},
		{"write", "ann's", "", `{"action":"compute.sandbox.filesystem.writeFile","sandboxId":"sbx_0001","path":"/a","content":"x"}`, 200, `"success":true`},
		{"read", "ann's", "", read, 200, `"fileContent":"x"`},
		{"missing file", "ann's", "", `{"action":"compute.sandbox.filesystem.readFile","sandboxId":"sbx_0001","path":"/b"}`, 404, `"code":"file_not_exist"`},
		{"list", "ann's", "", `{"action":"compute.sandbox.list"}`, 200, `"sandboxId":"ID"`},
		{"another's list", "bob's", "", `{"action":"compute.sandbox.list","options":{"metadata":{"user":"ann"}}}`, 200, `"sandboxes":[]`},
		{"another's run", "bob's", "", run, 404, `"error":"Sandbox ID not found"`},
		{"another's file", "bob's", "", read, 404, `"error":"Sandbox ID not found"`},
		{"another's destroy", "bob's", "", `{"action":"compute.sandbox.destroy","sandboxId":"sbx_0001"}`, 200, `"success":true`}, // as of one that never was
		{"nobody's", "bob's", "", `{"action":"compute.sandbox.destroy","sandboxId":"sbx_0009"}`, 200, `"success":true`},
		{"still there", "ann's", "", run, 200, `"stdout":"hi\n"`},
		{"a snapshot", "bob's", "", `{"action":"compute.snapshot.create","sandboxId":"sbx_0001"}`, 403, `"code":"forbidden"`},
		{"from a snapshot", "bob's", "", `{"action":"compute.sandbox.create","options":{"snapshotId":"snap_0001"}}`, 404, `"code":"not_found"`},
		{"unknown action", "ann's", "", `{"action":"compute.sandbox.rm -rf","sandboxId":"sbx_0001"}`, 400, `Unknown action`},
		{"no sandbox", "ann's", "", `{"action":"compute.sandbox.getInfo"}`, 400, `sandboxId is required for this action`},
		{"junk", "ann's", "", `{`, 400, `Invalid JSON in request body`},
		{"destroy", "ann's", "", `{"action":"compute.sandbox.destroy","sandboxId":"sbx_0001"}`, 200, `"success":true`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := post(t, srv.URL, tt.token, tt.accept, tt.body)
			require.Equal(t, tt.status, status, body)
			require.Contains(t, body, tt.want)
		})
	}
}

func TestParseTokens(t *testing.T) {
	for s, want := range map[string]map[string]string{
		"":                     {},
		"ann:0123456789abcdef": {"0123456789abcdef": "ann"},
		"ann:0123456789abcdef,bob:fedcba9876543210": {"0123456789abcdef": "ann", "fedcba9876543210": "bob"},
		"ann":                   nil,
		"ann:short":             nil,
		":0123456789abcdef":     nil,
		"ann:0123456789abcdef,": {"0123456789abcdef": "ann"},
	} {
		users, err := parseTokens(s)
		require.Equal(t, want == nil, err != nil, s)
		require.Equal(t, want, users, s)
	}
}

func TestServeStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error)
	go func() { done <- serve(ctx, ln, routes(stub.New(stub.Config{}), nil)) }()
	status, _ := post(t, "http://"+ln.Addr().String(), "", "", `{}`)
	require.Equal(t, http.StatusUnauthorized, status)
	cancel()
	require.NoError(t, <-done)
}
