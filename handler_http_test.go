package compute_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// authorize is the application of these tests: tokens decide.
func authorize(r *http.Request, req *compute.Request) error {
	switch r.Header.Get("Authorization") {
	case "Bearer good":
		return nil
	case "Bearer stranger":
		return errors.Join(compute.ErrNotFound, errSecret)
	case "Bearer readonly":
		if req.Action == "compute.sandbox.list" {
			return nil
		}
		return errors.New("read only: s3cret")
	case "Bearer busy":
		return &compute.Error{Kind: compute.ErrQuota, RetryAfter: 7 * time.Second}
	case "Bearer bug":
		panic("s3cret")
	}
	return compute.ErrUnauthorized
}

const (
	list = `{"action":"compute.sandbox.list"}`
	info = `{"action":"compute.sandbox.getInfo","sandboxId":"s1"}`
)

// raw makes a request as bytes; length is what Content-Length says.
func raw(method, token string, length int, body string, header ...string) string {
	return fmt.Sprintf("%s /api/compute HTTP/1.1\r\nHost: example.com\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n%s\r\n%s",
		method, token, length, strings.Join(append(header, ""), "\r\n"), body)
}

func good(body string) string { return raw("POST", "good", len(body), body) }

// TestHandlerRefuses lists everything that is sent back, as bytes on a
// connection, since some of it no HTTP client would send.
func TestHandlerRefuses(t *testing.T) {
	srv := httptest.NewServer(compute.NewHandler(newHandlerFake(), compute.HandlerOptions{
		Authorize: authorize, MaxBody: 1000, BodyTimeout: 500 * time.Millisecond}))
	defer srv.Close()
	for _, tt := range []struct {
		name, request string
		status        int
		code, error   string
	}{
		{"GET", raw("GET", "good", 0, ""), 405, "method_not_allowed", "Only POST requests are supported"},
		{"PUT", raw("PUT", "good", len(list), list), 405, "method_not_allowed", "Only POST requests are supported"},
		{"other origin", raw("POST", "good", len(list), list, "Sec-Fetch-Site: cross-site"), 403, "forbidden", "cross-origin request"},
		{"other origin, old browser", raw("POST", "good", len(list), list, "Origin: https://evil.example"), 403, "forbidden", "cross-origin request"},

		{"no token", raw("POST", "", len(list), list), 401, "unauthorized", "refused"},
		{"no token, bad request", raw("POST", "", 2, "{}"), 401, "unauthorized", "refused"},
		{"not allowed", raw("POST", "readonly", len(info), info), 403, "forbidden", "refused"},
		{"someone else's", raw("POST", "stranger", len(info), info), 404, "not_found", "Sandbox s1 not found"},
		{"too often", raw("POST", "busy", len(list), list), 429, "quota", "refused"},
		{"bug in Authorize", raw("POST", "bug", len(list), list), 500, "internal", "Request handling failed"},

		{"empty body", good(``), 400, "invalid", "Invalid JSON in request body"},
		{"not JSON", good(`action=list`), 400, "invalid", "Invalid JSON in request body"},
		{"half", good(`{"action":`), 400, "invalid", "Invalid JSON in request body"},
		{"trailing garbage", good(list + list), 400, "invalid", "Invalid JSON in request body"},
		{"null", good(`null`), 400, "invalid", "request body must be a JSON object"},
		{"array", good(`[` + list + `]`), 400, "invalid", "request body must be a JSON object"},
		{"string", good(`"list"`), 400, "invalid", "request body must be a JSON object"},
		{"not UTF-8", good("{\"action\":\"\xff\"}"), 400, "invalid", "request body is not UTF-8"},
		{"wrong type", good(`{"action":"x","options":{"timeout":"5"}}`), 400, "invalid", "options.timeout must not be a JSON string"},
		{"not base64", good(`{"contentBase64":"?"}`), 400, "invalid", "request body: illegal base64 data at input byte 0"},
		{"too large", raw("POST", "good", 1001, strings.Repeat(" ", 1001)), 413, "too_large", "request body is too large"},
		{"slow", raw("POST", "good", 900, list), 408, "timeout", "request body took too long"},
		{"truncated", raw("POST", "good", 900, list), 400, "invalid", "request body is incomplete"},
		{"chunk cut off", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "invalid", "request body is incomplete"},

		{"no action", good(`{}`), 400, "invalid", "action is required"},
		{"unknown action", good(`{"action":"rm -rf","sandboxId":"s1"}`), 400, "invalid", "Unknown action: rm -rf"},
		{"no sandboxId", good(`{"action":"compute.sandbox.getInfo"}`), 400, "invalid", "sandboxId is required for this action"},
		{"nothing to destroy", good(`{"action":"compute.sandbox.destroy"}`), 400, "invalid", "sandboxId is required for destroy action"},
		{"no command", good(`{"action":"compute.sandbox.runCommand","sandboxId":"s1"}`), 400, "invalid", "command is required"},
		{"no path", good(`{"action":"compute.sandbox.filesystem.readFile","sandboxId":"s1"}`), 400, "invalid", "path is required"},
		{"no content", good(`{"action":"compute.sandbox.filesystem.writeFile","sandboxId":"s1","path":"a"}`), 400, "invalid", "content is required"},
		{"two contents", good(`{"action":"compute.sandbox.filesystem.writeFile","sandboxId":"s1","path":"a","content":"","contentBase64":""}`), 400, "invalid", "content and contentBase64 cannot be combined"},
		{"no port", good(`{"action":"compute.sandbox.getUrl","sandboxId":"s1"}`), 400, "invalid", "port is required"},
		{"bad port", good(`{"action":"compute.sandbox.getUrl","sandboxId":"s1","port":65536}`), 400, "invalid", "port must be between 1 and 65535"},
		{"no time", good(`{"action":"compute.sandbox.extend","sandboxId":"s1"}`), 400, "invalid", "options.timeout is required"},
		{"time before now", good(`{"action":"compute.sandbox.create","options":{"timeout":-1}}`), 400, "invalid", "options.timeout is out of range"},
		{"time beyond time", good(`{"action":"compute.sandbox.create","options":{"timeout":9223372036854775807}}`), 400, "invalid", "options.timeout is out of range"},
		{"no name", good(`{"action":"compute.template.create"}`), 400, "invalid", "options.name is required"},
		{"no id", good(`{"action":"compute.snapshot.delete"}`), 400, "invalid", "id is required"},
		{"no such sandbox", good(`{"action":"compute.sandbox.getInfo","sandboxId":"s2"}`), 404, "not_found", "Sandbox s2 not found"},
		{"no such template", good(`{"action":"compute.template.get","id":"t2"}`), 404, "not_found", "Template t2 not found"},
		{"cannot sleep", good(`{"action":"compute.sandbox.suspend","sandboxId":"s1"}`), 501, "unsupported", "compute: suspend: unsupported operation"},
		{"background", good(`{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x","commandOptions":{"background":true}}`), 501, "unsupported", "compute: start command: unsupported operation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
			_, err = io.WriteString(conn, tt.request)
			require.NoError(t, err)
			if tt.name == "truncated" { // elsewhere the client waits
				require.NoError(t, conn.(*net.TCPConn).CloseWrite())
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Equal(t, tt.status, resp.StatusCode)
			var body map[string]any
			require.NoError(t, json.NewDecoder(resp.Body).Decode(&body))
			require.Equal(t, []any{false, tt.code, tt.error, "fake"}, []any{body["success"], body["code"], body["error"], body["provider"]})
			require.Contains(t, body, "sandboxId")
			require.Equal(t, tt.status == 405, resp.Header.Get("Allow") != "")
			require.Equal(t, tt.status == 429, resp.Header.Get("Retry-After") == "7")
		})
	}
}

// What is not one's own looks like what does not exist.
func TestHandlerHidesTheExistence(t *testing.T) {
	h := compute.NewHandler(newHandlerFake(), compute.HandlerOptions{Authorize: authorize})
	other := post(h, info, "Authorization", "Bearer stranger")
	none := post(h, strings.ReplaceAll(info, "s1", "s2"), "Authorization", "Bearer good")
	require.Equal(t, none.Code, other.Code)
	require.Equal(t, strings.ReplaceAll(none.Body.String(), "s2", "s1"), other.Body.String())
}

// A deeply nested body costs no more than its bytes.
func TestHandlerDepth(t *testing.T) {
	w := post(open(newHandlerFake()), `{"x":`+strings.Repeat(`[`, 1<<19))
	require.Equal(t, http.StatusBadRequest, w.Code)
}

// A client that goes away cancels its command, whether it is answered in one
// piece or in events.
func TestHandlerClientGoesAway(t *testing.T) {
	for _, accept := range []string{"application/json", "text/event-stream"} {
		t.Run(accept, func(t *testing.T) {
			started, ended := make(chan struct{}), make(chan error, 1)
			f := newHandlerFake()
			f.run = func(ctx context.Context, _ *compute.Command) (*compute.Result, error) {
				close(started)
				<-ctx.Done()
				ended <- ctx.Err()
				return nil, ctx.Err()
			}
			srv := httptest.NewServer(compute.NewHandler(f, compute.HandlerOptions{Authorize: authorize}))
			defer srv.Close()
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			require.NoError(t, err)
			body := `{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"sleep 1000"}`
			_, err = io.WriteString(conn, raw("POST", "good", len(body), body, "Accept: "+accept))
			require.NoError(t, err)
			<-started
			require.NoError(t, conn.Close())
			select {
			case err := <-ended:
				require.ErrorIs(t, err, context.Canceled)
			case <-time.After(10 * time.Second):
				t.Fatal("the command runs on")
			}
		})
	}
}

// A command may take longer than the server's timeouts, which are for requests
// and answers.
func TestHandlerOutlivesServerTimeouts(t *testing.T) {
	f := newHandlerFake()
	f.run = func(ctx context.Context, _ *compute.Command) (*compute.Result, error) {
		select {
		case <-time.After(time.Second):
			return &compute.Result{Stdout: "late"}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	srv := httptest.NewUnstartedServer(open(f))
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = 500*time.Millisecond, 500*time.Millisecond
	srv.Start()
	defer srv.Close()
	for range 2 { // the second on the same connection
		resp, err := srv.Client().Post(srv.URL, "application/json", strings.NewReader(`{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x"}`))
		require.NoError(t, err)
		data, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
		require.Contains(t, string(data), `"stdout":"late"`)
	}
}
