package runloopapi

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchRoundTripper answers without a network, so that what is measured is the client.
type benchRoundTripper struct{ body []byte }

func (b benchRoundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
		_ = req.Body.Close()
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
		Body: io.NopCloser(bytes.NewReader(b.body)), ContentLength: int64(len(b.body)),
	}, nil
}

const benchView = `{"id":"dbx_1","status":"running","create_time_ms":1760000000000,"end_time_ms":null,"name":"n","metadata":{"a":"b"},
"launch_parameters":{"resource_size_request":"SMALL","keep_alive_time_seconds":3600},"capabilities":["unknown"],
"state_transitions":[{"status":"provisioning","transition_time_ms":1760000000000},{"status":"running","transition_time_ms":1760000001000}]}`

var benchParams = &DevboxCreateParams{Name: "n", Metadata: map[string]string{"a": "b"}}

// bare is the same call with nothing but net/http and encoding/json.
func bare(b *testing.B, h *http.Client, base string) {
	body, err := json.Marshal(benchParams)
	require.NoError(b, err)
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, base+"/v1/devboxes", bytes.NewReader(body))
	require.NoError(b, err)
	req.Header.Set("Authorization", "Bearer k")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "bare")
	req.Header.Set("Content-Type", "application/json")
	resp, err := h.Do(req)
	require.NoError(b, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(b, err)
	require.NoError(b, json.Unmarshal(data, new(DevboxView)))
}

// BenchmarkCall is one call without a network. Compare BenchmarkBare.
func BenchmarkCall(b *testing.B) {
	c, err := New(WithAPIKey("k"), WithBaseURL("http://api.test"),
		WithHTTPClient(&http.Client{Transport: benchRoundTripper{[]byte(benchView)}}))
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_, err := c.Devboxes.Create(b.Context(), benchParams)
		require.NoError(b, err)
	}
}

// BenchmarkBare is BenchmarkCall without the client: no retries, no timeout, no limit, no typed error.
func BenchmarkBare(b *testing.B) {
	h := &http.Client{Transport: benchRoundTripper{[]byte(benchView)}}
	b.ReportAllocs()
	for b.Loop() {
		bare(b, h, "http://api.test")
	}
}

// BenchmarkCallLoopback is BenchmarkCall over a socket. Compare BenchmarkBareLoopback.
func BenchmarkCallLoopback(b *testing.B) {
	c := newTestClient(b, answer(200, benchView))
	b.ReportAllocs()
	for b.Loop() {
		_, err := c.Devboxes.Create(b.Context(), benchParams)
		require.NoError(b, err)
	}
}

// BenchmarkBareLoopback is BenchmarkCallLoopback without the client.
func BenchmarkBareLoopback(b *testing.B) {
	server := httptest.NewServer(answer(200, benchView))
	defer server.Close()
	b.ReportAllocs()
	for b.Loop() {
		bare(b, server.Client(), server.URL)
	}
}

// BenchmarkListPage is a page of a hundred devboxes, decoded.
func BenchmarkListPage(b *testing.B) {
	page := []byte(`{"devboxes":[` + string(bytes.TrimSuffix(bytes.Repeat([]byte(benchView+","), 100), []byte(","))) + `],"has_more":false}`)
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		_, _, err := decodePage[DevboxView](page, "devboxes")
		require.NoError(b, err)
	}
}
