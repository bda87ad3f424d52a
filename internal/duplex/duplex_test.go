package duplex_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/internal/duplex"
)

// proxied returns the URL of a proxy in front of a server, and what the proxy's
// server has complained about, for after its end.
func proxied(t *testing.T, backend string) (proxy string, end func() string) {
	t.Helper()
	to, err := url.Parse(backend)
	require.NoError(t, err)
	quiet := log.New(io.Discard, "", 0)
	p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, FlushInterval: -1, ErrorLog: quiet}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { duplex.Serve(p, w, r) }))
	var complaints bytes.Buffer // log serializes writes
	srv.Config.ErrorLog = log.New(&complaints, "", 0)
	srv.Start()
	end = sync.OnceValue(func() string { srv.Close(); return complaints.String() })
	t.Cleanup(func() { end() })
	return srv.URL, end
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// post returns the answer's status and body.
func post(t *testing.T, u string, length int64, body io.Reader) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u, body)
	require.NoError(t, err)
	req.ContentLength = length
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data)
}

// Answers are whole, whether the backend reads the request, or not, or is not
// there.
func TestAnswersAreWhole(t *testing.T) {
	answer := strings.Repeat("answer", 10_000)
	for name, c := range map[string]struct {
		backend http.HandlerFunc // nil: nobody listens
		status  int
		answer  string
	}{
		"reads": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, answer)
		}, 200, answer},
		"does not read": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, answer)
		}, 401, answer},
		"is not there": {nil, 502, ""},
	} {
		for kind, length := range map[string]int64{"length": 4, "chunks": -1} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				backend := "http://127.0.0.1:1"
				if c.backend != nil {
					backend = serve(t, c.backend)
				}
				u, end := proxied(t, backend)
				for range 300 {
					status, got := post(t, u, length, io.MultiReader(strings.NewReader("bo"), strings.NewReader("dy")))
					require.Equal(t, c.status, status)
					require.Len(t, got, len(c.answer))
				}
				require.Empty(t, end())
			})
		}
	}
}

// The rest of a request goes to the backend after the answer has begun.
func TestRequestGoesOn(t *testing.T) {
	u, end := proxied(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		_, _ = io.WriteString(w, "early\n")
		_ = rc.Flush()
		_, _ = io.Copy(w, r.Body)
	}))
	late := strings.Repeat("late", 100<<10)
	for range 20 {
		body, more := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u, body)
		require.NoError(t, err)
		req.ContentLength = int64(len(late))
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		answer := bufio.NewReader(resp.Body)
		line, err := answer.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "early\n", line)
		_, err = io.WriteString(more, late)
		require.NoError(t, err)
		data, err := io.ReadAll(answer)
		require.NoError(t, err)
		require.Equal(t, sha256.Sum256([]byte(late)), sha256.Sum256(data))
		require.NoError(t, resp.Body.Close())
	}
	require.Empty(t, end())
}
