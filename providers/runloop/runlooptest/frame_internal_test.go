package runlooptest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/stub"
)

type thing struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// newFrame returns a server with a resource of the test's own.
func newFrame(t *testing.T, opts ...Option) (*Server, *table[thing]) {
	s := NewServer(t, append([]Option{WithBackend(stub.New(stub.Config{}))}, opts...)...)
	things := &table[thing]{}
	handle(s.Emulator, "POST /v1/things", "things.create", func(_ *call, in *thing) (*thing, error) {
		v := &thing{ID: newID("thg_"), Name: in.Name}
		s.change(func() { things.add(v.ID, v) })
		return v, nil
	})
	handle(s.Emulator, "GET /v1/things/{id}", "things.get", func(c *call, _ *none) (*thing, error) {
		id, err := c.id("id", "thg_")
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return things.get("thing", id)
	})
	handle(s.Emulator, "GET /v1/things", "things.list", func(c *call, _ *none) (*page[thing], error) {
		name := c.query.Get("name")
		return list(c, "things", things, func(v *thing) bool { return name == "" || v.Name == name },
			func(v *thing) thing { return *v })
	})
	return s, things
}

// count returns the number of things ever added.
func (s *Server) count(things *table[thing]) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(things.entries)
}

// do sends a request with the key and returns the answer's status and body.
func (s *Server) do(t *testing.T, method, path, body string, header ...string) (int, string) {
	t.Helper()
	resp, err := s.send(t.Context(), method, path, body, header...)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data)
}

// lost sends a request that must not be answered, and returns why it was not.
func (s *Server) lost(ctx context.Context, t *testing.T, method, path, body string, header ...string) error {
	t.Helper()
	resp, err := s.send(ctx, method, path, body, header...)
	if err == nil {
		resp.Body.Close()
	}
	require.Error(t, err)
	return err
}

func (s *Server) send(ctx context.Context, method, path, body string, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.APIKey())
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return s.Client().Do(req)
}

func TestNewWantsABackend(t *testing.T) {
	_, err := New()
	assert.ErrorContains(t, err, "WithBackend")
}

func TestSchemeInAnyCase(t *testing.T) {
	s, _ := newFrame(t)
	for _, scheme := range []string{"bearer ", "BEARER "} {
		status, _ := s.do(t, "GET", "/v1/things", "", "Authorization", scheme+s.APIKey())
		assert.Equal(t, 200, status, scheme)
	}
}

func TestRefusals(t *testing.T) {
	s, _ := newFrame(t)
	tests := []struct {
		name, method, path, body string
		header                   []string
		status                   int
		message                  string
	}{
		{"no key", "GET", "/v1/things", "", []string{"Authorization", "x"}, 401, "no API key"},
		{"wrong key", "GET", "/v1/things", "", []string{"Authorization", "Bearer ak_other"}, 401, "not valid"},
		{"malformed id", "GET", "/v1/things/thg_x", "", nil, 400, "malformed identifier"},
		{"id of another kind", "GET", "/v1/things/" + newID("dbx_"), "", nil, 400, "malformed identifier"},
		{"unknown id", "GET", "/v1/things/" + newID("thg_"), "", nil, 404, "not found"},
		{"unknown path", "GET", "/v1/nothing", "", nil, 404, "no operation"},
		{"unknown method", "DELETE", "/v1/things", "", nil, 405, "not a method"},
		{"not JSON", "POST", "/v1/things", "{", nil, 400, "not the JSON"},
		{"two values", "POST", "/v1/things", "{} {}", nil, 400, "not the JSON"},
		{"wrong type", "POST", "/v1/things", `{"name":1}`, nil, 400, "name must not be a JSON number"},
		{"another media type", "POST", "/v1/things", `{}`, []string{"Content-Type", "text/plain"}, 415, "application/json"},
		{"too long", "POST", "/v1/things", strings.Repeat(" ", maxBody+1), nil, 413, "longer than"},
		{"limit of none", "GET", "/v1/things?limit=0", "", nil, 400, "limit must be"},
		{"limit too high", "GET", "/v1/things?limit=5001", "", nil, 400, "limit must be"},
		{"limit no number", "GET", "/v1/things?limit=x", "", nil, 400, "whole number"},
		{"count no boolean", "GET", "/v1/things?include_total_count=x", "", nil, 400, "true or false"},
		{"cursor unknown", "GET", "/v1/things?starting_after=thg_1", "", nil, 400, "starting_after"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := s.do(t, tt.method, tt.path, tt.body, tt.header...)
			assert.Equal(t, tt.status, status, body)
			var e struct{ Message string }
			require.NoError(t, json.Unmarshal([]byte(body), &e), body)
			assert.Contains(t, e.Message, tt.message)
		})
	}
}

func TestBodiesThatAreNone(t *testing.T) {
	s, _ := newFrame(t)
	for _, body := range []string{"", "null", "{}", `{"unknown":[1]}`, `{"name":null}`} {
		status, _ := s.do(t, "POST", "/v1/things", body)
		assert.Equal(t, 200, status, body)
	}
}

func TestPages(t *testing.T) {
	s, things := newFrame(t)
	for i := range 45 {
		status, _ := s.do(t, "POST", "/v1/things", fmt.Sprintf(`{"name":"%d"}`, i%2))
		require.Equal(t, 200, status)
	}
	type answer struct {
		Things     []thing
		HasMore    bool `json:"has_more"`
		TotalCount *int `json:"total_count"`
	}
	get := func(query string) answer {
		var a answer
		status, body := s.do(t, "GET", "/v1/things?"+query, "")
		require.Equal(t, 200, status, body)
		require.NoError(t, json.Unmarshal([]byte(body), &a))
		return a
	}
	first := get("")
	assert.Len(t, first.Things, 20, "the default")
	assert.True(t, first.HasMore)
	assert.Equal(t, 45, *first.TotalCount)
	assert.Equal(t, things.entries[44].id, first.Things[0].ID, "newest first")

	var all []string
	for after, more := "", true; more; {
		a := get("limit=7&include_total_count=false&starting_after=" + after)
		assert.Nil(t, a.TotalCount)
		for _, v := range a.Things {
			all = append(all, v.ID)
		}
		after, more = all[len(all)-1], a.HasMore
		s.change(func() { things.remove(after) }) // the cursor stays good
	}
	assert.Len(t, all, 45)

	ones := get("name=1&limit=5000")
	assert.Len(t, ones.Things, *ones.TotalCount)
	assert.False(t, ones.HasMore)
	none := get("name=2")
	assert.NotNil(t, none.Things)
	assert.Empty(t, none.Things)
}

func TestIdempotencyKeys(t *testing.T) {
	s, things := newFrame(t)
	_, a := s.do(t, "POST", "/v1/things", "{}", "X-Request-Id", "one")
	_, b := s.do(t, "POST", "/v1/things", "{}", "X-Request-Id", "one")
	assert.Equal(t, a, b, "the same answer")
	_, c := s.do(t, "POST", "/v1/things", "{}", "X-Request-Id", "two")
	assert.NotEqual(t, a, c)
	assert.Equal(t, 2, s.count(things))

	s.Inject(Fault{Match: "things.create", AfterWork: true})
	s.lost(t.Context(), t, "POST", "/v1/things", "{}", "X-Request-Id", "three")
	assert.Equal(t, 3, s.count(things), "the work was done")
	_, d := s.do(t, "POST", "/v1/things", "{}", "X-Request-Id", "three")
	assert.Equal(t, 3, s.count(things))
	assert.Contains(t, d, things.entries[2].id)

	status, e := s.do(t, "POST", "/v1/things", `{"name":"other"}`, "X-Request-Id", "one")
	assert.Equal(t, 422, status)
	assert.Contains(t, e, "another body")
	assert.Equal(t, 3, s.count(things))
}

func TestAnswersThatAskForAnotherTryAreNotReplayed(t *testing.T) {
	s, _ := newFrame(t)
	n := 0
	handle(s.Emulator, "POST /v1/flaky", "flaky", func(*call, *none) (none, error) {
		if n++; n < 5 {
			return none{}, fail([]int{408, 409, 429, 503}[n-1], "try again")
		}
		return none{}, nil
	})
	for _, want := range []int{408, 409, 429, 503, 200, 200} {
		status, _ := s.do(t, "POST", "/v1/flaky", "", "X-Request-Id", "k")
		assert.Equal(t, want, status)
	}
	assert.Equal(t, 5, n)
}

func TestFaults(t *testing.T) {
	s, things := newFrame(t)
	s.Inject(Fault{
		Match: "things.*", Nth: 2, Times: 2, Status: 429, RetryAfter: 1500 * time.Millisecond,
		ShouldRetry: runloopapi.Ptr(true), Message: "slow down", Header: http.Header{"X-Y": {"z"}},
	})
	var statuses []int
	for range 4 {
		status, _ := s.do(t, "POST", "/v1/things", "{}")
		statuses = append(statuses, status)
	}
	assert.Equal(t, []int{200, 429, 429, 200}, statuses)
	assert.Equal(t, 2, s.count(things), "what was refused was not done")

	remove := s.Inject(Fault{Times: -1, Status: 500})
	status, body := s.do(t, "GET", "/v1/things", "")
	assert.Equal(t, 500, status)
	assert.JSONEq(t, `{"message":"Internal Server Error"}`, body)
	remove()
	status, _ = s.do(t, "GET", "/v1/things", "")
	assert.Equal(t, 200, status)

	s.Inject(Fault{Status: 503, RetryAfter: 2 * time.Second, ShouldRetry: runloopapi.Ptr(false)})
	resp, err := s.send(t.Context(), "GET", "/v1/things", "")
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, "2", resp.Header.Get("Retry-After"))
	assert.Equal(t, "false", resp.Header.Get("X-Should-Retry"))

	s.Inject(Fault{Latency: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = s.lost(ctx, t, "GET", "/v1/things", "")
	assert.ErrorIs(t, err, context.DeadlineExceeded)

	s.Inject(Fault{AfterWork: true, Status: 502})
	status, _ = s.do(t, "POST", "/v1/things", "{}")
	assert.Equal(t, 502, status)
	assert.Equal(t, 3, s.count(things), "done all the same")
}

func TestConnectionFaults(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%t", secure), func(t *testing.T) {
			var opts []Option
			if secure {
				opts = append(opts, WithTLS())
			}
			s, _ := newFrame(t, opts...)
			status, whole := s.do(t, "GET", "/v1/things", "")
			require.Equal(t, 200, status)

			s.Inject(Fault{Reset: true})
			err := s.lost(t.Context(), t, "POST", "/v1/things", "{}")
			if !secure {
				assert.ErrorIs(t, err, syscall.ECONNRESET)
			}
			for n := range len(whole) + 1 {
				s.Inject(Fault{Cut: true, CutAt: int64(n)})
				resp, err := s.send(t.Context(), "GET", "/v1/things", "")
				require.NoError(t, err)
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				assert.Error(t, err, "cut after %d bytes", n)
				assert.Equal(t, whole[:n], string(got))
			}
		})
	}
}

func TestRequestsAreRecordedWithoutCredentials(t *testing.T) {
	s, _ := newFrame(t)
	s.do(t, "POST", "/v1/things?a=b", `{"name":"x"}`, "X-Request-Id", "k")
	s.do(t, "GET", "/v1/nothing", "")
	all := s.Requests()
	require.Len(t, all, 2)
	assert.Equal(t, "things.create", all[0].Op)
	assert.Equal(t, "b", all[0].Query.Get("a"))
	assert.JSONEq(t, `{"name":"x"}`, string(all[0].Body))
	assert.Equal(t, "k", all[0].Header.Get("X-Request-Id"))
	assert.Equal(t, 200, all[0].Status)
	assert.NotContains(t, fmt.Sprint(all), s.APIKey())
	assert.Equal(t, map[string]int{"things.create": 1, "unknown": 1}, s.Counts())
}

func TestProtocols(t *testing.T) {
	get := func(t *testing.T, s *Server, transport *http.Transport) string {
		defer transport.CloseIdleConnections()
		req, err := http.NewRequest(http.MethodGet, s.URL+"/v1/things", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+s.APIKey())
		resp, err := (&http.Client{Transport: transport}).Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		assert.Equal(t, 200, resp.StatusCode)
		return resp.Proto
	}
	plain, _ := newFrame(t)
	h1, h2c := new(http.Protocols), new(http.Protocols)
	h1.SetHTTP1(true)
	h2c.SetUnencryptedHTTP2(true)
	assert.Equal(t, "HTTP/1.1", get(t, plain, &http.Transport{Protocols: h1}))
	assert.Equal(t, "HTTP/2.0", get(t, plain, &http.Transport{Protocols: h2c}))

	secure, _ := newFrame(t, WithTLS())
	conf := secure.trust
	h2 := new(http.Protocols)
	h2.SetHTTP2(true)
	assert.Equal(t, "HTTP/1.1", get(t, secure, &http.Transport{Protocols: h1, TLSClientConfig: conf.Clone()}))
	assert.Equal(t, "HTTP/2.0", get(t, secure, &http.Transport{Protocols: h2, TLSClientConfig: conf.Clone()}))
	_, err := tls.Dial("tcp", strings.TrimPrefix(secure.URL, "https://"), &tls.Config{})
	assert.Error(t, err, "nobody else's certificate")
}

func TestHeldRequestsAreAnsweredWhenTheServerStops(t *testing.T) {
	e, err := New(WithBackend(stub.New(stub.Config{})))
	require.NoError(t, err)
	held := make(chan struct{})
	handle(e, "POST /v1/held", "held", func(c *call, _ *none) (none, error) {
		close(held)
		_, err := e.await(c.r.Context(), time.Hour, func() bool { return false })
		return none{}, err
	})
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- e.Serve(ctx, l) }()
	go func() { <-held; cancel() }()
	s := &Server{Emulator: e, URL: "http://" + l.Addr().String(), client: &http.Client{Transport: &http.Transport{}}}
	status, body := s.do(t, "POST", "/v1/held", "")
	assert.Equal(t, 503, status, body)
	require.NoError(t, <-served)
	require.NoError(t, e.Close())
	require.NoError(t, e.Close(), "idempotent")
	s.Client().CloseIdleConnections()
}

func TestInvalidUTF8InJSON(t *testing.T) {
	s, _ := newFrame(t)
	var all bytes.Buffer
	for b := range 256 {
		all.WriteByte(byte(b))
	}
	handle(s.Emulator, "GET /v1/bytes", "bytes", func(*call, *none) (*thing, error) { return &thing{Name: all.String()}, nil })
	_, body := s.do(t, "GET", "/v1/bytes", "")
	var v thing
	require.NoError(t, json.Unmarshal([]byte(body), &v))
	assert.Equal(t, all.String()[:128]+strings.Repeat("\ufffd", 128), v.Name)
}
