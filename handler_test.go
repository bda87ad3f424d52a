package compute_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// post sends one request to a handler without a server in between.
func post(h http.Handler, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/api/compute", strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func open(c compute.Compute) http.Handler {
	return compute.NewHandler(c, compute.HandlerOptions{Authorize: compute.AllowAll})
}

func TestHandlerActions(t *testing.T) {
	const ok = `{"success":true,"provider":"fake","sandboxId":"s1"`
	for _, tt := range []struct{ name, body, want string }{
		{"create", `{"action":"compute.sandbox.create","options":{"runtime":"python","timeout":300000}}`, ok + `}`},
		{"list", `{"action":"compute.sandbox.list"}`, `"sandboxId":"","sandboxes":[{"id":"s1","provider":"fake","status":"running","createdAt":"2026-01-02T03:04:05Z","expiresAt":"2026-01-02T03:05:05Z","sandboxId":"s1","timeout":60000}]}`},
		{"destroy", `{"action":"compute.sandbox.destroy","sandboxId":"gone"}`, `"sandboxId":"gone"}`},
		{"getInfo", `{"action":"compute.sandbox.getInfo","sandboxId":"s1"}`, ok + `,"info":{"id":"s1","provider":"fake","status":"running"`},
		{"run script", `{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"a; b","args":[]}`, ok + `,"result":{"stdout":"a; b","stderr":"oops","exitCode":3,"durationMs":1500,"executionTime":1500}}`},
		{"run program", `{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"a","args":["-b","c d"]}`, `"stdout":"[a][-b][c d]"`},
		{"getUrl", `{"action":"compute.sandbox.getUrl","sandboxId":"s1","port":80}`, ok + `,"url":"https://s1.example.com"}`},
		{"extend", `{"action":"compute.sandbox.extend","sandboxId":"s1","options":{"timeout":1000}}`, ok + `}`},
		{"readFile", `{"action":"compute.sandbox.filesystem.readFile","sandboxId":"s1","path":"/etc/motd"}`, ok + `,"fileContent":"hi\n"}`},
		{"writeFile", `{"action":"compute.sandbox.filesystem.writeFile","sandboxId":"s1","path":"/a","content":""}`, ok + `}`},
		{"mkdir", `{"action":"compute.sandbox.filesystem.mkdir","sandboxId":"s1","path":"/a"}`, ok + `}`},
		{"remove", `{"action":"compute.sandbox.filesystem.remove","sandboxId":"s1","path":"/a"}`, ok + `}`},
		{"exists", `{"action":"compute.sandbox.filesystem.exists","sandboxId":"s1","path":"/etc/motd"}`, ok + `,"exists":true}`},
		{"exists not", `{"action":"compute.sandbox.filesystem.exists","sandboxId":"s1","path":"/etc/nope"}`, ok + `,"exists":false}`},
		{"readdir", `{"action":"compute.sandbox.filesystem.readdir","sandboxId":"s1","path":"/etc"}`, ok + `,"files":[{"name":"motd","path":"/etc/motd","size":3,"isDirectory":false,"type":"file","mode":0,"lastModified":"2026-01-02T03:04:05Z","modified":"2026-01-02T03:04:05Z"}]}`},
		{"template.get", `{"action":"compute.template.get","id":"t1"}`, `"template":{"id":"t1","name":"base"`},
		{"template.list of none", `{"action":"compute.template.list"}`, `"templates":[]}`},
		{"template.create", `{"action":"compute.template.create","options":{"name":"n"}}`, `"template":{"id":"t1","name":"n"`},
		{"template.delete", `{"action":"compute.template.delete","id":"t1"}`, `{"success":true,"provider":"fake","sandboxId":""}`},
		{"snapshot.list", `{"action":"compute.snapshot.list","sandboxId":"s1"}`, ok + `,"snapshots":[{"id":"snap1"`},
		{"snapshot.create", `{"action":"compute.snapshot.create","sandboxId":"s1"}`, ok + `,"snapshot":{"id":"snap1"`},
		{"snapshot.get", `{"action":"compute.snapshot.get","id":"x"}`, `"snapshot":{"id":"x"`},
		{"snapshot.delete", `{"action":"compute.snapshot.delete","id":"x"}`, `{"success":true,"provider":"fake","sandboxId":""}`},
		{"fields of others", `{"action":"compute.sandbox.create","nonsense":{"a":[1]},"terminalOptions":{}}`, ok + `}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := post(open(newHandlerFake()), tt.body)
			require.Equal(t, http.StatusOK, w.Code, w.Body)
			require.Contains(t, w.Body.String(), tt.want)
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		})
	}
}

func TestHandlerPassesOptionsOn(t *testing.T) {
	f := newHandlerFake()
	post(open(f), `{"action":"compute.sandbox.create","options":{"name":"n","templateId":"t","envs":{"A":"b"},"metadata":{"k":"v"},"timeout":1500}}`)
	require.Equal(t, &compute.CreateSandboxOptions{Name: "n", Template: "t", Env: map[string]string{"A": "b"},
		Metadata: map[string]string{"k": "v"}, Lifetime: 1500 * time.Millisecond}, f.created)

	f.run = func(_ context.Context, cmd *compute.Command) (*compute.Result, error) {
		require.Equal(t, &compute.Command{Script: "x", Dir: "/d", Env: map[string]string{"A": "b"}}, cmd)
		return &compute.Result{}, nil
	}
	w := post(open(f), `{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x","cwd":"/d","env":{"A":"b"}}`)
	require.Equal(t, http.StatusOK, w.Code)
}

// Whatever a provider fails with, the client learns as much as is its business.
func TestHandlerErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		status int
		code   string
		error  string
	}{
		{"invalid", &compute.Error{Op: "x", Kind: compute.ErrInvalid, Err: errors.New("Name is bad")}, 400, "invalid", "compute: x: invalid argument: Name is bad"},
		{"not found", &compute.Error{Op: "x", Kind: compute.ErrNotFound}, 404, "not_found", "Sandbox s1 not found"},
		{"conflict", &compute.Error{Op: "x", Kind: compute.ErrConflict}, 409, "conflict", "compute: x: conflict"},
		{"quota", &compute.Error{Op: "x", Kind: compute.ErrQuota}, 429, "quota", "compute: x: quota exceeded"},
		{"unsupported", &compute.Error{Op: "x", Kind: errors.ErrUnsupported}, 501, "unsupported", "compute: x: unsupported operation"},
		{"forbidden", &compute.Error{Op: "x", Kind: compute.ErrForbidden, Err: errSecret}, 403, "forbidden", "forbidden"},
		{"the server's own credentials", &compute.Error{Op: "x", Kind: compute.ErrUnauthorized, Err: errSecret}, 502, "unavailable", "provider unavailable"},
		{"outage", &compute.Error{Op: "x", Kind: compute.ErrUnavailable, Err: errSecret}, 502, "unavailable", "provider unavailable"},
		{"slow provider", &compute.Error{Op: "x", Err: errors.Join(errSecret, context.DeadlineExceeded)}, 504, "timeout", "timed out"},
		{"anything else", errSecret, 500, "internal", "Request handling failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newHandlerFake()
			f.err = tt.err
			w := post(open(f), `{"action":"compute.sandbox.getInfo","sandboxId":"s1"}`)
			require.Equal(t, tt.status, w.Code)
			var got map[string]any
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
			delete(got, "errorDetail")
			require.Equal(t, map[string]any{"success": false, "error": tt.error, "code": tt.code, "provider": "fake", "sandboxId": "s1"}, got)
			require.NotContains(t, w.Body.String(), "s3cret")
		})
	}
}

func TestHandlerFileErrors(t *testing.T) {
	w := post(open(newHandlerFake()), `{"action":"compute.sandbox.filesystem.readFile","sandboxId":"s1","path":"/nope"}`)
	require.Equal(t, http.StatusNotFound, w.Code)
	require.Contains(t, w.Body.String(), `"code":"file_not_exist"`) // and not the sandbox
	require.NotContains(t, w.Body.String(), "fileContent")

	isDir := &fs.PathError{Op: "open", Path: "/etc", Err: syscall.EISDIR}
	f := newHandlerFake()
	f.err = isDir
	w = post(open(f), `{"action":"compute.sandbox.filesystem.readFile","sandboxId":"s1","path":"/etc"}`)
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Contains(t, w.Body.String(), `"error":"`+isDir.Error()+`","code":"file_invalid"`)
}

func TestHandlerRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		after time.Duration
		want  string
	}{{0, "1"}, {1500 * time.Millisecond, "2"}, {time.Minute, "60"}} {
		f := newHandlerFake()
		f.err = &compute.Error{Kind: compute.ErrQuota, RetryAfter: tt.after}
		w := post(open(f), `{"action":"compute.sandbox.create"}`)
		require.Equal(t, http.StatusTooManyRequests, w.Code)
		require.Equal(t, tt.want, w.Header().Get("Retry-After"))
	}
}

func TestHandlerPanic(t *testing.T) {
	var log bytes.Buffer
	f := newHandlerFake()
	f.run = func(context.Context, *compute.Command) (*compute.Result, error) { panic("s3cret") }
	h := compute.NewHandler(f, compute.HandlerOptions{Authorize: compute.AllowAll, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, accept := range []string{"", "text/event-stream"} {
		w := post(h, `{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x"}`, "Accept", accept)
		require.Equal(t, http.StatusInternalServerError, w.Code)
		require.JSONEq(t, `{"success":false,"error":"Request handling failed","code":"internal","provider":"fake","sandboxId":"s1"}`, w.Body.String())
	}
	require.Contains(t, log.String(), "s3cret")
	require.Contains(t, log.String(), "handler_test.go", "a panic is logged with its stack")
}

// A provider's value that JSON cannot say is not half an answer.
func TestHandlerUnspeakable(t *testing.T) {
	f := newHandlerFake()
	f.expires = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	w := post(open(f), `{"action":"compute.sandbox.getInfo","sandboxId":"s1"}`)
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.JSONEq(t, `{"success":false,"error":"Request handling failed","code":"internal","provider":"fake","sandboxId":"s1"}`, w.Body.String())
}

// A timeout is an error, and yet the output so far is there.
func TestHandlerCommandTimeout(t *testing.T) {
	f := newHandlerFake()
	f.run = func(ctx context.Context, _ *compute.Command) (*compute.Result, error) {
		<-ctx.Done()
		return &compute.Result{Stdout: "so far", ExitCode: -1}, ctx.Err()
	}
	w := post(open(f), `{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x","options":{"timeout":10}}`)
	require.Equal(t, http.StatusGatewayTimeout, w.Code)
	require.Contains(t, w.Body.String(), `"stdout":"so far"`)
}

// If the client is gone by the time its sandbox is there, nobody knows the ID.
func TestHandlerDestroysWhatNobodyKnows(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := newHandlerFake()
	f.onCreate = cancel
	resp := compute.HandleRequest(ctx, f, &compute.Request{Action: "compute.sandbox.create"})
	require.False(t, resp.Success)
	require.Equal(t, []string{"s1"}, f.destroyed)
}

func TestHandlerNamesWhatWasLeft(t *testing.T) {
	f := newHandlerFake()
	f.err = &compute.Error{Op: "create sandbox", ID: "left", Kind: compute.ErrUnavailable}
	resp := compute.HandleRequest(t.Context(), f, &compute.Request{Action: "compute.sandbox.create"})
	require.Equal(t, "left", resp.SandboxID)
}

const binary = "a\xff\x00é\n"

func TestHandlerBytes(t *testing.T) {
	f := newHandlerFake()
	f.run = func(context.Context, *compute.Command) (*compute.Result, error) {
		return &compute.Result{Stdout: binary, Stderr: "text"}, nil
	}
	var resp compute.Response
	decode := func(w *httptest.ResponseRecorder) {
		resp = compute.Response{}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &resp))
		require.True(t, resp.Success, resp.Error)
	}
	decode(post(open(f), `{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x"}`))
	require.Equal(t, binary, string(resp.Result.StdoutBase64))
	require.Equal(t, "a\uFFFD\x00é\n", resp.Result.Stdout)
	require.Nil(t, resp.Result.StderrBase64)

	decode(post(open(f), `{"action":"compute.sandbox.filesystem.writeFile","sandboxId":"s1","path":"b","contentBase64":"`+
		base64.StdEncoding.EncodeToString([]byte(binary))+`"}`))
	require.Equal(t, binary, string(f.files["b"].Data))
	decode(post(open(f), `{"action":"compute.sandbox.filesystem.readFile","sandboxId":"s1","path":"b"}`))
	require.Equal(t, binary, string(resp.FileContentBase64))
}

type withFiles struct {
	compute.Sandbox
	files compute.Filesystem
}

func (s withFiles) Filesystem() compute.Filesystem { return s.files }

type withSandbox struct {
	compute.Compute
	sb compute.Sandbox
}

func (c withSandbox) GetSandbox(context.Context, string) (compute.Sandbox, error) { return c.sb, nil }

// A sandbox has all the room in the world; the server's memory has not.
func TestHandlerReadFileIsBounded(t *testing.T) {
	big := fakeFiles(fstest.MapFS{"f": {Data: make([]byte, compute.MaxCapture+1)}})
	for name, files := range map[string]compute.Filesystem{"stream": endless{}, "whole": big} {
		t.Run(name, func(t *testing.T) {
			c := withSandbox{newHandlerFake(), withFiles{&fakeSandbox{}, files}}
			resp := compute.HandleRequest(t.Context(), c, &compute.Request{Action: "compute.sandbox.filesystem.readFile", SandboxID: "s1", Path: "f"})
			require.Equal(t, http.StatusNotImplemented, resp.Status)
			require.ErrorAs(t, resp.Err, new(*fs.PathError))
			require.Nil(t, resp.FileContent)
		})
	}
}

func TestHandlerSleeps(t *testing.T) {
	c := withSandbox{newHandlerFake(), sleeper{&fakeSandbox{}}}
	require.Equal(t, http.StatusOK, post(open(c), `{"action":"compute.sandbox.suspend","sandboxId":"s1"}`).Code)
	require.Equal(t, http.StatusConflict, post(open(c), `{"action":"compute.sandbox.resume","sandboxId":"s1"}`).Code)
}

func TestHandleRequestNil(t *testing.T) {
	resp := compute.HandleRequest(t.Context(), newHandlerFake(), nil)
	require.Equal(t, http.StatusBadRequest, resp.Status)
}

func TestNewHandlerWantsAuthorize(t *testing.T) {
	require.Panics(t, func() { compute.NewHandler(newHandlerFake(), compute.HandlerOptions{}) })
}

// FuzzHandler: whatever comes in, what goes out is a Response that agrees with
// its status, and no provider is asked for more than the fake can do.
func FuzzHandler(f *testing.F) {
	for _, seed := range []string{
		`{"action":"compute.sandbox.create","options":{"timeout":1}}`,
		`{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x","args":["y"]}`,
		`{"action":"compute.sandbox.filesystem.writeFile","sandboxId":"s1","path":"/a","content":"\ud800"}`,
		`{"action":"compute.sandbox.filesystem.readFile","sandboxId":"s1","path":"/etc/motd"}`,
		`{"action":"compute.sandbox.extend","sandboxId":"s1","options":{"timeout":9223372036854775807}}`,
		`{"action":"compute.template.get","id":"t2"}`,
		`null`, `[]`, `""`, `{}`, `{`, `{} {}`, "\xff", `{"port":1e99}`, `{"action":1}`,
	} {
		f.Add([]byte(seed), "text/event-stream;q=0.5, */*")
	}
	f.Fuzz(func(t *testing.T, body []byte, accept string) {
		w := post(open(newHandlerFake()), string(body), "Accept", accept)
		answer := w.Body.Bytes()
		if w.Header().Get("Content-Type") == "text/event-stream" {
			_, answer, _ = bytes.Cut(answer, []byte("event: result\ndata: "))
		}
		var resp compute.Response
		require.NoError(t, json.Unmarshal(answer, &resp))
		require.Equal(t, w.Code == http.StatusOK, resp.Success)
		require.Equal(t, resp.Success, resp.Error == "" && resp.Code == "")
		require.Contains(t, []int{200, 400, 404, 500, 501}, w.Code)
	})
}

func BenchmarkHandler(b *testing.B) {
	const body = `{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"echo","args":["hello"]}`
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req compute.Request
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		res, _ := echo(r.Context(), compute.Exec(req.Command, req.Args...))
		w.Header().Set("Content-Type", "application/json")
		err := json.NewEncoder(w).Encode(&compute.Response{Success: true, Provider: "fake", SandboxID: req.SandboxID,
			Result: &compute.ResponseResult{Result: res}})
		if err != nil {
			b.Error(err)
		}
	})
	for name, h := range map[string]http.Handler{"compute": open(newHandlerFake()), "bare": bare} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			reader := strings.NewReader("")
			for b.Loop() {
				reader.Reset(body)
				r := httptest.NewRequest(http.MethodPost, "/", io.NopCloser(reader))
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
