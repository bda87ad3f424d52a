package runloopapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNew(t *testing.T) {
	for _, test := range []struct {
		name string
		env  map[string]string
		opts []Option
		want string // base URL
		err  string
	}{
		{"key from the environment", map[string]string{"RUNLOOP_API_KEY": " ak_1\n"}, nil, DefaultBaseURL, ""},
		{"no key", nil, nil, "", "no API key"},
		{"blank key", nil, []Option{WithAPIKey("  ")}, "", "no API key"},
		{"key with a line feed", nil, []Option{WithAPIKey("a\nb")}, "", "no header may hold"},
		{"address from the environment", map[string]string{"RUNLOOP_BASE_URL": " https://api.x.test/p/ "},
			[]Option{WithAPIKey("k")}, "https://api.x.test/p", ""},
		{"blank address", map[string]string{"RUNLOOP_BASE_URL": " "}, []Option{WithAPIKey("k")}, DefaultBaseURL, ""},
		{"options win", map[string]string{"RUNLOOP_BASE_URL": "https://a.test", "RUNLOOP_API_KEY": "x"},
			[]Option{WithAPIKey("k"), WithBaseURL("http://b.test:8080")}, "http://b.test:8080", ""},
		{"other scheme", nil, []Option{WithAPIKey("k"), WithBaseURL("ftp://a.test")}, "", "http:// or https://"},
		{"no host", nil, []Option{WithAPIKey("k"), WithBaseURL("a.test")}, "", "http:// or https://"},
		{"password", nil, []Option{WithAPIKey("k"), WithBaseURL("https://u:hunter2@a.test")}, "", "credentials"},
		{"password in nonsense", nil, []Option{WithAPIKey("k"), WithBaseURL("https://u:hunter2@a b%zz")}, "", "not a URL"},
		{"query", nil, []Option{WithAPIKey("k"), WithBaseURL("https://a.test?x=y")}, "", "query"},
		{"negative retries", nil, []Option{WithAPIKey("k"), WithRetries(-1)}, "", "negative"},
		{"no time", nil, []Option{WithAPIKey("k"), WithTimeout(0)}, "", "positive"},
		{"two transports", nil, []Option{WithAPIKey("k"), WithH2C(), WithHTTPClient(http.DefaultClient)}, "", "exclude"},
		{"header with a line feed", nil, []Option{WithAPIKey("k"), WithHeader("A", "b\r\nc: hunter2")}, "", `header "A"`},
		{"headers from the environment", map[string]string{"RUNLOOP_CUSTOM_HEADERS": "a: b\n\n c : d "},
			[]Option{WithAPIKey("k")}, DefaultBaseURL, ""},
		{"no header", map[string]string{"RUNLOOP_CUSTOM_HEADERS": "a: b\nhunter2"}, []Option{WithAPIKey("k")}, "", "line 2"},
		{"tunnel domain", nil, []Option{WithAPIKey("k"), WithTunnelDomain("x")}, "", "tunnel domain"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{"RUNLOOP_API_KEY", "RUNLOOP_BASE_URL", "RUNLOOP_CUSTOM_HEADERS"} {
				t.Setenv(name, test.env[name])
			}
			c, err := New(test.opts...)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				assert.NotContains(t, err.Error(), "hunter2")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, c.BaseURL())
		})
	}
}

func TestRequestsOnTheWire(t *testing.T) {
	t.Setenv("RUNLOOP_CUSTOM_HEADERS", "X-One: 1\nX-Two: 2\nAuthorization: mine")
	r := &recorder{next: answer(200, `{"id":"x","unknown":{"field":[1]},"status":"levitating"}`)}
	c := newTestClient(t, r, WithHeader("x-two", "two"), WithUserAgent("me/1"))
	view, err := c.Devboxes.Get(t.Context(), "a/b c?d#e%2e")
	require.NoError(t, err)
	assert.Equal(t, DevboxStatus("levitating"), view.Status, "what is not known is kept")
	req, body := r.last(t)
	assert.Equal(t, "/v1/devboxes/a%2Fb%20c%3Fd%23e%252e", req.RequestURI)
	assert.Equal(t, "Bearer "+testKey, req.Header.Get("Authorization"))
	assert.Equal(t, "1", req.Header.Get("X-One"))
	assert.Equal(t, "two", req.Header.Get("X-Two"), "headers in code win")
	assert.Equal(t, "me/1", req.Header.Get("User-Agent"))
	assert.Equal(t, "application/json", req.Header.Get("Accept"))
	assert.Empty(t, req.Header.Get("Content-Type"))
	assert.Empty(t, body)

	_, err = c.Devboxes.Create(t.Context(), nil)
	require.NoError(t, err)
	req, body = r.last(t)
	assert.Equal(t, "application/json", req.Header.Get("Content-Type"))
	assert.Equal(t, "{}", body, "no parameters are an empty object")

	_, err = c.Devboxes.Suspend(t.Context(), "x")
	require.NoError(t, err)
	req, body = r.last(t)
	assert.Equal(t, "application/json", req.Header.Get("Content-Type"), "also without a body")
	assert.Empty(t, body)

	_, err = c.Devboxes.Shutdown(t.Context(), "x", &DevboxShutdownParams{Force: true})
	require.NoError(t, err)
	req, _ = r.last(t)
	assert.Equal(t, "/v1/devboxes/x/shutdown?force=true", req.RequestURI)
}

func TestIDsThatLeadElsewhere(t *testing.T) {
	r := &recorder{next: answer(200, `{}`)}
	c := newTestClient(t, r)
	for _, id := range []string{"", ".", ".."} {
		_, err := c.Devboxes.Get(t.Context(), id)
		assert.ErrorIs(t, err, ErrBadRequest, "%q", id)
	}
	assert.Zero(t, r.count())
}

func TestBaseURLWithPath(t *testing.T) {
	r := &recorder{next: answer(200, `{"id":"x"}`)}
	server := httptest.NewServer(r)
	defer server.Close()
	c, err := New(WithAPIKey("k"), WithBaseURL(server.URL+"/proxy/"))
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Devboxes.Get(t.Context(), "x")
	require.NoError(t, err)
	req, _ := r.last(t)
	assert.Equal(t, "/proxy/v1/devboxes/x", req.RequestURI)
}

// TestProtocols makes 50 requests at once, and counts connections.
func TestProtocols(t *testing.T) {
	var all http.Protocols
	all.SetHTTP1(true)
	all.SetHTTP2(true)
	all.SetUnencryptedHTTP2(true)
	for _, test := range []struct {
		name  string
		tls   bool
		opts  []Option
		proto string
		conns int
	}{
		{"HTTP/1.1", false, nil, "HTTP/1.1", 50},
		{"HTTP/2 without TLS", false, []Option{WithH2C()}, "HTTP/2.0", 1},
		{"HTTP/2 by ALPN", true, nil, "HTTP/2.0", 1},
		{"HTTP/2 by ALPN for WithH2C too", true, []Option{WithH2C()}, "HTTP/2.0", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var conns atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, test.proto, r.Proto)
				writeJSON(w, 200, `{"id":"x"}`)
			}))
			server.Config.Protocols = &all
			server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					conns.Add(1)
				}
			}
			server.EnableHTTP2 = true
			if test.tls {
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			c, err := New(append(test.opts, WithAPIKey("k"), WithBaseURL(server.URL), WithRetries(0))...)
			require.NoError(t, err)
			defer c.Close()
			if test.tls {
				trusted := x509.NewCertPool()
				trusted.AddCert(server.Certificate())
				for _, transport := range c.conf.owned {
					transport.TLSClientConfig = &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}
				}
			}
			_, err = c.Devboxes.Get(t.Context(), "first") // so that the protocol is known
			require.NoError(t, err)
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					_, err := c.Devboxes.Get(t.Context(), "x")
					assert.NoError(t, err)
				})
			}
			wg.Wait()
			assert.LessOrEqual(t, int(conns.Load()), test.conns)
		})
	}
}

func TestErrors(t *testing.T) {
	all := []error{ErrBadRequest, ErrUnauthorized, ErrForbidden, ErrNotFound, ErrTimeout, ErrConflict, ErrUnprocessable,
		ErrRateLimit, ErrServer, ErrConnection}
	for _, test := range []struct {
		status  int
		body    string
		kind    error
		message string
	}{
		{400, `{"message":"bad id"}`, ErrBadRequest, "bad id"},
		{401, `{"message":"who?"}`, ErrUnauthorized, "who?"},
		{403, `{"error":{"code":7}}`, ErrForbidden, `{"error":{"code":7}}`},
		{404, "nothing here\n", ErrNotFound, "nothing here"},
		{408, `{}`, ErrTimeout, "{}"},
		{409, ``, ErrConflict, ""},
		{422, `{"message":7}`, ErrUnprocessable, `{"message":7}`},
		{429, `{"message":""}`, ErrRateLimit, `{"message":""}`},
		{500, "\xff\xfe", ErrServer, "\uFFFD"},
		{529, `{"message":"` + strings.Repeat("x", 5000) + `"}`, ErrServer, strings.Repeat("x", 2048) + "…"},
		{418, `{}`, nil, "{}"},
	} {
		t.Run(fmt.Sprint(test.status), func(t *testing.T) {
			c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Request-Id", "req-9")
				w.Header().Set("Retry-After", "120")
				writeJSON(w, test.status, test.body)
			}), WithRetries(0))
			_, err := c.Devboxes.Get(t.Context(), "dbx_1")
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, test.status, e.StatusCode)
			assert.Equal(t, test.message, e.Message)
			assert.Equal(t, "req-9", e.RequestID)
			assert.Equal(t, 2*time.Minute, e.RetryAfter)
			assert.Equal(t, "GET", e.Method)
			assert.Equal(t, "/v1/devboxes/dbx_1", e.Path)
			assert.Equal(t, test.body, string(e.Body))
			assert.Contains(t, err.Error(), fmt.Sprint(test.status))
			assert.Contains(t, err.Error(), "req-9")
			for _, kind := range all {
				if errors.Is(test.kind, kind) {
					assert.ErrorIs(t, err, kind)
				} else {
					assert.NotErrorIs(t, err, kind)
				}
			}
		})
	}
}

func TestConnectionErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	c, err := New(WithAPIKey(testKey), WithBaseURL("http://"+l.Addr().String()), WithRetries(0))
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Devboxes.Get(t.Context(), "dbx_1")
	assert.ErrorIs(t, err, ErrConnection)
	var op *net.OpError
	assert.ErrorAs(t, err, &op, "the cause is there")
	assert.Equal(t, 1, strings.Count(err.Error(), "/v1/devboxes"), "%v", err)
}

// TestTheKeyIsNotShown has the key come back in all ways, and looks for it in all that the client shows.
func TestTheKeyIsNotShown(t *testing.T) {
	const header = "hunter2"
	var logs bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", r.Header.Get("Authorization"))
		writeJSON(w, 401, `{"message":"refused: `+r.Header.Get("Authorization")+`"}`)
	}), WithLogger(logger), WithHeader("X-Proxy-Password", header))
	_, err := c.Devboxes.Get(t.Context(), "dbx_1")
	require.ErrorIs(t, err, ErrUnauthorized)
	logger.Info("client", "client", c, "service", c.Devboxes, "devbox", c.Devbox("dbx_1"), "error", err)
	encoded, jsonErr := json.Marshal(map[string]any{"client": c, "error": err})
	require.NoError(t, jsonErr)
	assert.Contains(t, logs.String(), `"status":401`)
	var e *Error
	require.ErrorAs(t, err, &e)
	copied := struct{ C *Client }{c}
	for _, shown := range []string{
		logs.String(), string(encoded), err.Error(), fmt.Sprintf("%+v %#v", err, err), string(e.Body), e.RequestID,
		fmt.Sprintf("%s %v %+v %#v %q %d %x", c, c, c, c, c, c, c), fmt.Sprintf("%+v %#v", copied, copied),
		fmt.Sprintf("%+v %#v", c.Devboxes, c.Devboxes), fmt.Sprintf("%+v %#v", c.Devbox("x"), *c.Devbox("x")),
	} {
		assert.NotContains(t, shown, testKey)
		assert.NotContains(t, shown, header)
	}
	assert.Contains(t, fmt.Sprintf("%+v", c), "http://127.0.0.1")
}

func TestRedirects(t *testing.T) {
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	mux := http.NewServeMux()
	to := func(status int, location string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, location, status) }
	}
	mux.HandleFunc("/v1/devboxes/away", to(307, thief.URL+"/v1/devboxes/here"))
	mux.HandleFunc("/v1/devboxes/near", to(302, "/v1/devboxes/here"))
	mux.HandleFunc("/v1/devboxes/round", to(302, "/v1/devboxes/round"))
	mux.HandleFunc("POST /v1/devboxes/near/suspend", to(302, "/v1/devboxes/here"))
	mux.HandleFunc("POST /v1/devboxes/same/suspend", to(307, "/v1/devboxes/here/suspend"))
	mux.HandleFunc("GET /v1/devboxes/here", func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "Bearer "+testKey, r.Header.Get("Authorization"))
		writeJSON(w, 200, `{"id":"here"}`)
	})
	mux.HandleFunc("POST /v1/devboxes/here/suspend", func(w http.ResponseWriter, r *http.Request) {
		assert.NotEmpty(t, r.Header.Get("X-Request-Id"))
		writeJSON(w, 200, `{"id":"suspended"}`)
	})
	given := &http.Client{Transport: &http.Transport{}}
	defer given.CloseIdleConnections()
	for name, opts := range map[string][]Option{"own client": nil, "given client": {WithHTTPClient(given)}} {
		t.Run(name, func(t *testing.T) {
			c := newTestClient(t, mux, opts...)
			_, err := c.Devboxes.Get(t.Context(), "away")
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, 307, e.StatusCode)
			view, err := c.Devboxes.Get(t.Context(), "near")
			require.NoError(t, err)
			assert.Equal(t, "here", view.ID)
			_, err = c.Devboxes.Get(t.Context(), "round")
			require.ErrorAs(t, err, &e)
			_, err = c.Devboxes.Suspend(t.Context(), "near")
			require.ErrorAs(t, err, &e, "a POST does not become a GET")
			view, err = c.Devboxes.Suspend(t.Context(), "same")
			require.NoError(t, err)
			assert.Equal(t, "suspended", view.ID)
		})
	}
	assert.Zero(t, stolen.Load())
	assert.Nil(t, given.CheckRedirect, "what the caller gave is not changed")
}

func TestAnswersThatAreNone(t *testing.T) {
	for _, test := range []struct{ name, body string }{
		{"empty", ""}, {"cut", `{"id":"x"`}, {"a page of a proxy", "<html>welcome</html>"}, {"other type", `{"id":7}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &recorder{next: answer(200, test.body)}
			c := newTestClient(t, r)
			_, err := c.Devboxes.Get(t.Context(), "x")
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, 200, e.StatusCode)
			assert.ErrorContains(t, err, "decode the answer")
			assert.Equal(t, 1, r.count())
		})
	}
	t.Run("nothing is expected", func(t *testing.T) {
		c := newTestClient(t, answer(200, ""))
		assert.NoError(t, c.Devboxes.KeepAlive(t.Context(), "x"))
	})
}

func TestAnswersAreBounded(t *testing.T) {
	endless := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<16)); err != nil {
				return
			}
		}
	})
	c := newTestClient(t, endless, WithMaxBody(1<<20))
	_, err := c.Devboxes.Get(t.Context(), "x")
	assert.ErrorIs(t, err, ErrTooLarge)
	_, err = c.Devboxes.ReadFileContents(t.Context(), "x", &ReadFileParams{Path: "f"})
	assert.ErrorIs(t, err, ErrTooLarge)
	for _, err := range c.Executions.StreamStdout(t.Context(), "x", "y", 0) {
		assert.ErrorIs(t, err, ErrTooLarge)
	}
	t.Run("errors too", func(t *testing.T) {
		c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			endless(w, r)
		}))
		_, err := c.Devboxes.Get(t.Context(), "x")
		var e *Error
		require.ErrorAs(t, err, &e)
		assert.Len(t, e.Body, maxErrorBody)
	})
}

func TestWithResponse(t *testing.T) {
	c := newTestClient(t, inTurn(answer(200, `{"id":"x"}`), answer(404, `{"message":"no"}`)), WithRetries(0))
	var resp *http.Response
	_, err := c.Devboxes.Get(t.Context(), "x", WithResponse(&resp))
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"x"}`, string(body))
	assert.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	_, err = c.Devboxes.Get(t.Context(), "x", WithResponse(&resp))
	require.ErrorIs(t, err, ErrNotFound)
	body, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.JSONEq(t, `{"message":"no"}`, string(body))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Devboxes.Get(ctx, "x", WithResponse(&resp))
	require.Error(t, err)
	assert.Nil(t, resp)
}

func TestDownload(t *testing.T) {
	content := bytes.Repeat([]byte{0, 255, '\r', '\n', 1}, 100_000)
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "application/octet-stream", r.Header.Get("Accept"))
		var params DownloadFileParams
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&params))
		switch params.Path {
		case "cut":
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			_, _ = w.Write(content[:1000])
			_ = http.NewResponseController(w).Flush()
			cut()
		case "stalled":
			_, _ = w.Write(content[:1000])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		default:
			_, _ = w.Write(content)
		}
	}), WithMaxBody(1000))
	read := func(ctx context.Context, path string, begun ...func()) ([]byte, error) {
		f, err := c.Devbox("x").Download(ctx, path)
		require.NoError(t, err)
		defer f.Close()
		for _, f := range begun {
			time.AfterFunc(20*time.Millisecond, f)
		}
		return io.ReadAll(f)
	}
	got, err := read(t.Context(), "whole")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, got), "the limit of bodies is none of downloads")
	_, err = read(t.Context(), "cut")
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = read(ctx, "stalled", cancel)
	assert.ErrorIs(t, err, context.Canceled)
}
