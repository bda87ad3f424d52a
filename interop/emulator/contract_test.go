package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/runloop/runlooptest"
	"github.com/computekit/compute/providers/stub"
)

// vendorContract skips the test when the document is not there: it is not ours to publish.
func vendorContract(t *testing.T) *contract {
	t.Helper()
	name := os.Getenv("COMPUTE_RUNLOOP_OPENAPI")
	if name == "" {
		name = filepath.Join("..", "..", "..", "shared", "runloop", "openapi.yml")
	}
	if _, err := os.Stat(name); err != nil {
		t.Skip("there is no OpenAPI document: ", err)
	}
	c, err := loadContract(name, filepath.Join("..", "..", "providers", "runloop", "runloopapi", "testdata", "newer.yml"))
	require.NoError(t, err)
	return c
}

// TestServed asks for every operation of the document.
func TestServed(t *testing.T) {
	c := vendorContract(t)
	e, err := runlooptest.New(runlooptest.WithBackend(stub.New(stub.Config{})), runlooptest.WithBaseURL("http://emulator.test"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	var missing []string
	for name := range c.operations() {
		method, path, _ := strings.Cut(name, " ")
		for _, segment := range strings.Split(path, "/") {
			if strings.HasPrefix(segment, "{") {
				path = strings.Replace(path, segment, "nosuch", 1)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // streams end at once; all that matters is who was asked
		r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader("{}"))
		r.Header.Set("Authorization", "Bearer "+e.APIKey())
		func() {
			defer func() { _ = recover() }() // aborted, since nobody listens
			e.ServeHTTP(httptest.NewRecorder(), r)
		}()
		all := e.Requests()
		if all[len(all)-1].Op == "unknown" {
			missing = append(missing, name)
		}
	}
	assert.Empty(t, missing, "the emulator does not serve it")
}

// TestWatch answers wrongly on purpose.
func TestWatch(t *testing.T) {
	const (
		devbox = `{"id":"dbx_1","status":"running","create_time_ms":1,"end_time_ms":null,"metadata":{},"launch_parameters":{},"capabilities":[],"state_transitions":[]}`
		stream = "/v1/devboxes/d/executions/e/stream_stdout_updates"
	)
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		mediaType, answer        string
		want                     string // a part of the fault; empty is none
	}{
		{"right", "GET", "/v1/devboxes/dbx_1", "", 200, "application/json", devbox, ""},
		{"field of another type", "GET", "/v1/devboxes/dbx_1", "", 200, "application/json",
			strings.Replace(devbox, `"dbx_1"`, "7", 1), "/id"},
		{"field missing", "GET", "/v1/devboxes/dbx_1", "", 200, "application/json",
			strings.Replace(devbox, `"id":"dbx_1",`, "", 1), `"id"`},
		{"field that nobody knows", "GET", "/v1/devboxes/dbx_1", "", 200, "application/json",
			strings.Replace(devbox, `{"id"`, `{"surplus":1,"id"`, 1), "surplus"},
		{"another media type", "GET", "/v1/devboxes/dbx_1", "", 200, "text/plain", devbox, "text/plain"},
		{"no JSON", "GET", "/v1/devboxes/dbx_1", "", 200, "application/json", devbox[:20], "unexpected"},
		{"request with a wrong field", "POST", "/v1/devboxes", `{"name":7}`, 200, "application/json", devbox, "request: at /name"},
		{"unknown parameter", "GET", "/v1/devboxes?colour=blue", "", 200, "application/json",
			`{"devboxes":[],"has_more":false}`, `"colour" is not known`},
		{"parameter of another type", "GET", "/v1/devboxes?limit=many", "", 200, "application/json",
			`{"devboxes":[],"has_more":false}`, `"limit"`},
		{"operation that nobody knows", "GET", "/v1/nonsense", "", 200, "application/json", "{}", "no such operation"},
		{"error", "GET", "/v1/devboxes/dbx_1", "", 404, "application/json", `{"message":"no"}`, ""},
		{"error without a message", "GET", "/v1/devboxes/dbx_1", "", 404, "text/plain", "no", "no message"},
		{"events", "GET", stream, "", 200, "text/event-stream", ": hello\n\ndata: {\"output\":\"a\",\"offset\":1}\n\n", ""},
		{"wrong event", "GET", stream, "", 200, "text/event-stream", "data: {\"output\":\"a\"}\n\ndata: {\"output\":1}\n\n", "/output"},
		{"not of the API", "GET", "/elsewhere", "", 200, "text/plain", "anything", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := vendorContract(t)
			h := c.watch(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // as whoever answers would
				w.Header().Set("Content-Type", tt.mediaType)
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.answer)
			}))
			r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			assert.Equal(t, tt.answer, w.Body.String(), "what passes is not changed")
			err := c.report(io.Discard)
			if tt.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestReport(t *testing.T) {
	c := vendorContract(t)
	c.called["GET /v1/devboxes"] = 3
	var out bytes.Buffer
	require.NoError(t, c.report(&out))
	assert.NotContains(t, out.String(), "not called: GET /v1/devboxes\n")
	assert.Contains(t, out.String(), "not called: POST /v1/devboxes\n")
	assert.Contains(t, out.String(), fmt.Sprintf("1 of the %d operations", len(c.operations())))
}
