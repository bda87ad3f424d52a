package compute_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/computekit/compute"
)

// zeroes is a body without an end.
type zeroes struct{ n atomic.Int64 }

func (z *zeroes) Read(p []byte) (int, error) {
	clear(p)
	z.n.Add(int64(len(p)))
	return len(p), nil
}

// TestHandlerRefusesBadRequests is TestHandlerRefuses for what HTTP clients
// can send, with both protocols, and for GET and PUT.
func TestHandlerRefusesBadRequests(t *testing.T) {
	opts := compute.HandlerOptions{Authorize: authorize, MaxBody: 1000, MaxUpload: 1000, BodyTimeout: 200 * time.Millisecond}
	const download, upload = "?action=filesystem.download&sandboxId=s1", "?action=filesystem.upload&sandboxId=s1"
	for _, tt := range []struct {
		name, method, query string
		body                io.Reader
		header              string
		status              int
		code, error         string
	}{
		{"no action", "GET", "", nil, "", 405, "method_not_allowed", "Only POST requests are supported"},
		{"unknown action", "GET", "?action=nope", nil, "", 405, "method_not_allowed", "Only POST requests are supported"},
		{"action of POST", "GET", "?action=compute.sandbox.destroy&sandboxId=s1", nil, "", 405, "method_not_allowed", "Only POST requests are supported"},
		{"action of PUT", "GET", upload + "&path=x", nil, "", 405, "method_not_allowed", "Only POST requests are supported"},
		{"action of GET", "PUT", download + "&path=x", nil, "", 405, "method_not_allowed", "Only POST requests are supported"},
		{"other method", "DELETE", "?action=filesystem.download", nil, "", 405, "method_not_allowed", "Only POST requests are supported"},
		{"action of GET by POST", "POST", "", strings.NewReader(`{"action":"compute.sandbox.filesystem.download"}`), "", 400, "invalid", "compute.sandbox.filesystem.download is not for POST"},
		{"broken query", "GET", "?action=%zz", nil, "", 400, "invalid", "the query cannot be read"},
		{"repeated", "GET", download + "&path=a&path=b", nil, "", 400, "invalid", `the query has "path" more than once`},
		{"repeated sandbox", "GET", download + "&sandboxId=s2&path=b", nil, "", 400, "invalid", `the query has "sandboxId" more than once`},
		{"no sandbox", "GET", "?action=filesystem.download", nil, "", 400, "invalid", "sandboxId is required for this action"},
		{"no path", "GET", download, nil, "", 400, "invalid", "path is required"},
		{"no terminal", "GET", "?action=terminal.stream&sandboxId=s1", nil, "", 400, "invalid", "terminalId is required for this action"},
		{"bad mode", "PUT", upload + "&path=x&mode=999", strings.NewReader("x"), "", 400, "invalid", "mode in the query cannot be read"},
		{"setuid", "PUT", upload + "&path=x&mode=4755", strings.NewReader("x"), "", 400, "invalid", "mode in the query cannot be read"},
		{"bad port", "GET", "?action=sandbox.dial&sandboxId=s1&port=http", nil, "", 400, "invalid", "port in the query cannot be read"},
		{"port 0", "GET", "?action=sandbox.dial&sandboxId=s1&port=0", nil, "", 400, "invalid", "port is required"},
		{"not a WebSocket", "GET", "?action=sandbox.dial&sandboxId=s1&port=80", nil, "", 426, "invalid", "this action needs a WebSocket over HTTP/1.1"},
		{"negative offset", "GET", "?action=terminal.stream&sandboxId=s1&terminalId=1&offset=-1", nil, "", 400, "invalid", "offset in the query cannot be read"},
		{"request is not JSON", "GET", download + "&request=x", nil, "", 400, "invalid", "Invalid JSON in request body"},
		{"no token", "GET", download + "&path=x", nil, "Authorization: ", 401, "unauthorized", "refused"},
		{"someone else's", "GET", download + "&path=x", nil, "Authorization: Bearer stranger", 404, "not_found", "Sandbox s1 not found"},
		{"other origin", "GET", download + "&path=x", nil, "Origin: https://evil.example", 403, "forbidden", "cross-origin request"},
		{"endless upload", "PUT", upload + "&path=x", &zeroes{}, "", 413, "too_large", "request body is too large"},
		{"endless request", "POST", "", &zeroes{}, "", 413, "too_large", "request body is too large"},
		{"bytes that are none", "POST", "", strings.NewReader(`{"data":[256]}`), "", 400, "invalid", "request body: data must be a string or bytes"},
		{"bytes with a hole", "POST", "", strings.NewReader(`{"data":{"0":1,"2":1}}`), "", 400, "invalid", "request body: data must be a string or bytes"},
		{"bytes without an end", "POST", "", strings.NewReader(`{"data":{"2000000000":1}}`), "", 400, "invalid", "request body: data must be a string or bytes"},
		{"two commands", "POST", "", strings.NewReader(`{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"a","argv":["b"]}`), "", 400, "invalid", "command and argv cannot be combined"},
		{"events that are none", "POST", "", strings.NewReader(`{"action":"compute.sandbox.events","sandboxId":"s1"}`), "", 406, "invalid", "this action needs Accept: text/event-stream"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			protocols(t, func(t *testing.T, config func(*httptest.Server)) {
				defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
				srv := httptest.NewUnstartedServer(compute.NewHandler(newHandlerFake(), opts))
				config(srv)
				srv.StartTLS()
				defer srv.Close()
				body := tt.body
				if s, ok := body.(io.Seeker); ok {
					_, _ = s.Seek(0, io.SeekStart)
				}
				r, err := http.NewRequestWithContext(t.Context(), tt.method, srv.URL+tt.query, body)
				require.NoError(t, err)
				r.Header.Set("Authorization", "Bearer good")
				if key, value, ok := strings.Cut(tt.header, ": "); ok {
					r.Header.Set(key, value)
				}
				f := &far{Server: srv, t: t}
				resp, err := f.Client().Do(r)
				require.NoError(t, err)
				defer resp.Body.Close()
				answer, status := f.answer(reply{resp.StatusCode, resp.Header, resp.Body, 0})
				require.Equal(t, []any{tt.status, tt.code, tt.error, false}, []any{status, answer.Code, answer.Error, answer.Success})
				require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
				if z, ok := body.(*zeroes); ok {
					require.Less(t, z.n.Load(), int64(16<<20), "the rest is not read")
				}
			})
		})
	}
}

// A server that is sent as much as there is holds no more than it may.
func TestHandlerBadInputMemory(t *testing.T) {
	h := compute.NewHandler(newHandlerFake(), compute.HandlerOptions{Authorize: compute.AllowAll})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", io.LimitReader(&zeroes{}, 1<<30)))
		require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, (after.TotalAlloc-before.TotalAlloc)/20, uint64(16<<20), "bytes for each request")
}

// FuzzHandlerQuery: whatever the URL says, the answer is JSON, a file or events,
// and its status says which.
func FuzzHandlerQuery(f *testing.F) {
	for action := range compute.RawActions() {
		f.Add("GET", "action="+action+"&sandboxId=s1&path=/etc/motd&id=t1", "bytes=0-1")
		f.Add("PUT", "action="+action+"&sandboxId=s1&path=/x&request={\"options\":{\"name\":\"n\"}}", "")
	}
	f.Add("GET", "action=filesystem.download&sandboxId=s1&path=/etc/motd", "bytes=-9223372036854775808")
	f.Add("HEAD", "%", "bytes=9223372036854775807-")
	f.Fuzz(func(t *testing.T, method, query, ranges string) {
		switch method {
		case "GET", "HEAD", "PUT", "POST", "DELETE":
		default:
			return
		}
		r := httptest.NewRequest(method, "/", strings.NewReader("body"))
		r.URL = &url.URL{Path: "/", RawQuery: query}
		r.Header.Set("Range", ranges)
		w := httptest.NewRecorder()
		open(newHandlerFake()).ServeHTTP(w, r)
		require.Contains(t, []int{200, 206, 400, 404, 405, 409, 416, 426, 500, 501}, w.Code)
		if w.Code >= 400 {
			require.True(t, bytes.HasPrefix(w.Body.Bytes(), []byte(`{"success":false`)), w.Body)
		}
	})
}

// Whatever bytes come, each request that is carried out is one that was allowed,
// and what is behind a request is another.
func TestHandlerRawRequests(t *testing.T) {
	var allowed, heard atomic.Int64
	srv := httptest.NewServer(compute.NewHandler(newHandlerFake(), compute.HandlerOptions{
		Authorize: func(_ *http.Request, req *compute.Request) error {
			if req.Action == "compute.sandbox.list" {
				allowed.Add(1)
			}
			return nil
		},
		Audit: func(_ context.Context, rec compute.AuditRecord) {
			if rec.Status == http.StatusOK {
				heard.Add(1)
			}
		}}))
	defer srv.Close()
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(list), list)
	second := "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " + strconv.Itoa(len(list)) + "\r\n\r\n" + list
	for _, tt := range []struct {
		name, request, want string
		allowed             int64
	}{
		{"length and chunks", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked + second, "200 200", 2},
		{"too short", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n" + list, "400", 0},
		{"two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: " + strconv.Itoa(len(list)) + "\r\n\r\n" + list, "400", 0},
		{"odd encoding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n" + chunked, "501", 0},
		{"extensions", "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Replace(chunked, "\r\n", ";x=\"y\"\r\n", 1), "200", 1},
		{"GET with a request as body", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: " + strconv.Itoa(len(second)) + "\r\nConnection: close\r\n\r\n" + second, "405", 0},
		{"h2c", "POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nContent-Length: " + strconv.Itoa(len(list)) + "\r\n\r\n" + list, "200", 1},
		{"prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "405", 0},
		{"CONNECT", "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", "405", 0},
		{"absolute", "POST http://y/ HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nConnection: close\r\nContent-Length: " + strconv.Itoa(len(list)) + "\r\n\r\n" + list, "403", 0},
		{"another method's name", "POST / HTTP/1.1\r\nHost: x\r\nX-HTTP-Method-Override: PUT\r\nConnection: close\r\nContent-Length: " + strconv.Itoa(len(list)) + "\r\n\r\n" + list, "200", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			allowed.Store(0)
			heard.Store(0)
			require.Equal(t, tt.want, statuses(rawTo(t, srv.Listener.Addr().String(), tt.request)))
			require.Equal(t, tt.allowed, allowed.Load())
			require.Eventually(t, func() bool { return heard.Load() == tt.allowed }, 5*time.Second, time.Millisecond)
		})
	}
}
