package runloopapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newRawClient returns a client of a server that answers every request with the bytes of raw, and then ends the connection.
func newRawClient(t *testing.T, raw string, opts ...Option) *Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, raw)
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	c, err := New(append([]Option{WithAPIKey(testKey), WithBaseURL("http://" + l.Addr().String()), WithRetries(0)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

// What a server repeats of a request may be what net/http quotes in its errors, and may be at the end of what is kept.
func TestTheKeyIsNotShownByHostileAnswers(t *testing.T) {
	for name, raw := range map[string]string{
		"status line":       "Bearer " + testKey + "\r\n\r\n",
		"header":            "HTTP/1.1 200 OK\r\nBearer " + testKey + "\r\n\r\n",
		"length":            "HTTP/1.1 200 OK\r\nContent-Length: " + testKey + "\r\n\r\n",
		"transfer encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + testKey + "\r\n\r\n",
		"location":          "HTTP/1.1 302 Found\r\nLocation: :// " + testKey + "\r\nContent-Length: 0\r\n\r\n",
		"request ID": "HTTP/1.1 500 OK\r\nX-Request-Id: " + strings.Repeat("x", 251) + testKey +
			"\r\nContent-Length: 0\r\n\r\n",
		"end of the body": "HTTP/1.1 400 OK\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("x", maxErrorBody-5) + testKey +
			strings.Repeat("x", 70000),
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			c := newRawClient(t, raw, WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
			_, err := c.Devboxes.Get(context.Background(), "dbx_1")
			var e *Error
			require.ErrorAs(t, err, &e)
			for err := error(e); err != nil; err = errors.Unwrap(err) {
				assert.NotContains(t, fmt.Sprintf("%+v", err), testKey[:5])
			}
			assert.NotContains(t, string(e.Body)+e.RequestID+log.String(), testKey[:5])
		})
	}
}

// calls are one of each kind of request.
func calls(c *Client) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"get":  func(ctx context.Context) error { return second(c.Devboxes.Get(ctx, "dbx_1")) },
		"post": func(ctx context.Context) error { return second(c.Devboxes.Suspend(ctx, "dbx_1")) },
		"list": func(ctx context.Context) error { return lastError(c.Devboxes.List(ctx, nil)) },
		"wait": func(ctx context.Context) error { return second(c.Devboxes.AwaitRunning(ctx, "dbx_1")) },
		"download": func(ctx context.Context) error {
			return second(c.Devboxes.DownloadFile(ctx, "dbx_1", &DownloadFileParams{Path: "f"}))
		},
		"upload": func(ctx context.Context) error {
			return c.Devboxes.UploadFile(ctx, "dbx_1", "f", strings.NewReader("x"))
		},
		"events":     func(ctx context.Context) error { return lastError(c.Executions.StreamStdout(ctx, "dbx_1", "e", 0)) },
		"signed URL": func(ctx context.Context) error { return second(c.Objects.Download(ctx, c.BaseURL()+"/o")) },
		"signed upload": func(ctx context.Context) error {
			return c.Objects.Upload(ctx, c.BaseURL()+"/o", strings.NewReader("x"), 1)
		},
	}
}

func second[T any](_ T, err error) error { return err }

func lastError[T any](seq func(func(T, error) bool)) (last error) {
	for _, err := range seq {
		last = err
	}
	return last
}

// A server that fails and does not say all of what it wanted to say is not waited for: the status is known.
func TestFailureWithoutEnd(t *testing.T) {
	for name := range calls(new(Client)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newBubbleClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(http.StatusNotFound)
					for r.Context().Err() == nil { // drop by drop, for ever
						_, _ = io.WriteString(w, "no")
						_ = http.NewResponseController(w).Flush()
						_ = sleep(r.Context(), time.Second)
					}
				}))
				start := time.Now()
				err := calls(c)[name](t.Context())
				require.ErrorIs(t, err, ErrNotFound)
				assert.LessOrEqual(t, time.Since(start), DefaultTimeout)
			})
		})
	}
}

// A thing that was made and has no ID could not be used, nor deleted.
func TestMadeThingsHaveIDs(t *testing.T) {
	for _, body := range []string{`{}`, `null`, `{"id":null,"status":"running"}`, `{"id":"","execution_id":"","name":""}`} {
		c := newTestClient(t, answer(http.StatusOK, body))
		ctx, d := t.Context(), c.Devbox("dbx_1")
		for name, err := range map[string]error{
			"devbox":             second(c.NewDevbox(ctx, nil)),
			"devbox and wait":    second(c.Devboxes.CreateAndAwaitRunning(ctx, nil)),
			"blueprint":          second(c.StartBlueprint(ctx, &BlueprintCreateParams{Name: "b"})),
			"snapshot":           second(d.SnapshotAsync(ctx, nil)),
			"snapshot and wait":  second(c.Devboxes.SnapshotDisk(ctx, "dbx_1", nil)),
			"execution":          second(d.Start(ctx, "true", nil)),
			"execution and wait": second(d.Exec(ctx, "true", nil)),
			"object":             second(c.NewStorageObject(ctx, &ObjectCreateParams{Name: "o"})),
			"secret":             second(c.NewSecret(ctx, "S", "v")),
			"policy":             second(c.NewNetworkPolicy(ctx, &NetworkPolicyCreateParams{Name: "p"})),
			"gateway":            second(c.NewGatewayConfig(ctx, &GatewayConfigCreateParams{Name: "g"})),
			"mcp":                second(c.NewMCPConfig(ctx, &MCPConfigCreateParams{Name: "m"})),
			"agent":              second(c.NewAgent(ctx, &AgentCreateParams{Name: "a"})),
			"axon":               second(c.NewAxon(ctx, nil)),
			"scenario":           second(c.Scenarios.Create(ctx, &ScenarioCreateParams{Name: "s"})),
			"scenario run":       second(c.Scenario("scn_1").Start(ctx, nil)),
			"scorer":             second(c.NewScorer(ctx, &ScorerParams{Type: "t"})),
			"benchmark":          second(c.NewBenchmark(ctx, &BenchmarkCreateParams{Name: "b"})),
			"benchmark run":      second(c.Benchmark("bmd_1").Start(ctx, nil)),
			"job":                second(c.BenchmarkJobs.Create(ctx, &BenchmarkJobCreateParams{Name: "j"})),
		} {
			assert.ErrorIs(t, err, ErrAnswer, "%s: %s", body, name)
		}
	}
}

// failingContent is content of a megabyte that cannot be read to its end.
type failingContent struct {
	*strings.Reader
	err error
}

func (f failingContent) Read(p []byte) (int, error) {
	if f.Len() < 900_000 {
		return 0, f.err
	}
	return f.Reader.Read(p)
}

func (f failingContent) ReadAt(p []byte, at int64) (int, error) {
	if at > 100_000 {
		return 0, f.err
	}
	return f.Reader.ReadAt(p, at)
}

// Content that cannot be read is nothing that another try could mend, and no fault of the connection.
func TestUploadsOfContentThatFails(t *testing.T) {
	broken := errors.New("the disk is broken")
	var requests atomic.Int32
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		writeJSON(w, http.StatusOK, `{}`)
	}))
	for name, want := range map[string]error{"fails": broken, "ends early": io.EOF} {
		content := func() io.ReadSeeker { return failingContent{strings.NewReader(strings.Repeat("x", 1<<20)), want} }
		for where, err := range map[string]error{
			"a file":                c.Devboxes.UploadFile(t.Context(), "dbx_1", "f", content()),
			"a file once":           c.Devboxes.UploadFile(t.Context(), "dbx_1", "f", io.MultiReader(content(), errReader{want})),
			"an object":             c.Objects.Upload(t.Context(), c.BaseURL()+"/o", content(), 1<<20),
			"an object once":        c.Objects.Upload(t.Context(), c.BaseURL()+"/o", io.MultiReader(content()), 1<<20),
			"an object of any size": c.Objects.Upload(t.Context(), c.BaseURL()+"/o", io.MultiReader(content()), -1),
		} {
			if errors.Is(want, io.EOF) && where != "an object of any size" && where != "a file once" {
				assert.ErrorIs(t, err, io.ErrUnexpectedEOF, where)
			} else if !errors.Is(want, io.EOF) {
				assert.ErrorIs(t, err, want, "%s %s", where, name)
			}
			assert.NotErrorIs(t, err, ErrConnection, "%s %s", where, name)
		}
	}
	assert.LessOrEqual(t, requests.Load(), int32(10), "no second tries")
}

// A page of a list that is short on the wire and long in memory is refused.
func TestListOfMuch(t *testing.T) {
	c := newTestClient(t, answer(http.StatusOK, `{"devboxes":[{}`+strings.Repeat(",{}", maxPage)+`]}`))
	require.ErrorIs(t, lastError(c.Devboxes.List(t.Context(), nil)), ErrAnswer)
	for body, want := range map[string]error{
		`{"devboxes":null}`: nil, `{"devboxes":[]}`: nil, `{"devboxes":{}}`: ErrAnswer, `{"devboxes":7}`: ErrAnswer,
		`{"devboxes":[7]}`: ErrAnswer, `{"devboxes":[{}`: ErrAnswer, `{"devboxes":[{}]`: ErrAnswer, `{"devboxes"`: ErrAnswer,
	} {
		c := newTestClient(t, answer(http.StatusOK, body))
		assert.ErrorIs(t, lastError(c.Devboxes.List(t.Context(), nil)), want, body)
	}
}

// A list whose pages come round again does not go on for ever.
func TestListGoesRound(t *testing.T) {
	next := map[string]string{"": "a", "a": "b", "b": "c", "c": "b"}
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, `{"devboxes":[{"id":"`+next[r.URL.Query().Get("starting_after")]+`"}],"has_more":true}`)
	}))
	var ids []string
	for d, err := range c.Devboxes.List(t.Context(), nil) {
		if err != nil {
			require.ErrorIs(t, err, ErrAnswer)
			break
		}
		ids = append(ids, d.ID)
	}
	assert.Equal(t, []string{"a", "b", "c", "b"}, ids)
}
