package compute_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// far is a handler over the stub, and a client of it.
type far struct {
	*httptest.Server
	t     *testing.T
	token string
}

func newFar(t *testing.T, opts compute.HandlerOptions, config func(*httptest.Server)) *far {
	c := stub.New(stub.Config{})
	if opts.Authorize == nil {
		opts.Authorize = compute.AllowAll
	}
	srv := httptest.NewUnstartedServer(compute.NewHandler(c, opts))
	if config != nil {
		config(srv)
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(func() {
		srv.Close()
		require.NoError(t, compute.Close(c))
	})
	return &far{Server: srv, t: t}
}

// as returns the same server as another client sees it.
func (f *far) as(token string) *far { return &far{f.Server, f.t, token} }

func (f *far) send(method, query string, body io.Reader, header ...string) *http.Response {
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.URL+query, body)
	require.NoError(f.t, err)
	r.Header.Set("Authorization", f.token)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := f.Client().Do(r)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// ask sends a request and returns the answer and its status.
func (f *far) ask(req compute.Request) (*compute.Response, int) {
	body, err := json.Marshal(&req)
	require.NoError(f.t, err)
	return f.answer(f.send(http.MethodPost, "", bytes.NewReader(body)))
}

func (f *far) answer(resp *http.Response) (*compute.Response, int) {
	var answer compute.Response
	require.NoError(f.t, json.NewDecoder(resp.Body).Decode(&answer))
	return &answer, resp.StatusCode
}

// do is ask for what must succeed.
func (f *far) do(req compute.Request) *compute.Response {
	f.t.Helper()
	resp, status := f.ask(req)
	require.Equal(f.t, http.StatusOK, status, resp.Error)
	require.True(f.t, resp.Success)
	return resp
}

func (f *far) create() string {
	return f.do(compute.Request{Action: "compute.sandbox.create"}).SandboxID
}

// events reads server-sent events.
type events struct {
	t *testing.T
	s *bufio.Scanner
}

type event struct{ name, id, data string }

func (f *far) events(req compute.Request, header ...string) events {
	body, err := json.Marshal(&req)
	require.NoError(f.t, err)
	resp := f.send(http.MethodPost, "", bytes.NewReader(body), append(header, "Accept", "text/event-stream")...)
	require.Equal(f.t, "text/event-stream", resp.Header.Get("Content-Type"))
	return events{f.t, newScanner(resp.Body)}
}

func newScanner(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	return s
}

func (e events) next() (ev event) {
	e.t.Helper()
	for e.s.Scan() {
		field, value, _ := strings.Cut(e.s.Text(), ": ")
		switch field {
		case "event":
			ev.name = value
		case "id":
			ev.id = value
		case "data":
			ev.data = value
		case "":
			if ev != (event{}) {
				return ev
			}
		}
	}
	require.Fail(e.t, "the stream has ended", "%v", e.s.Err())
	return ev
}

func protocols(t *testing.T, f func(t *testing.T, config func(*httptest.Server))) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) { f(t, func(srv *httptest.Server) { srv.EnableHTTP2 = http2 }) })
	}
}

func TestHandlerProcesses(t *testing.T) {
	protocols(t, func(t *testing.T, config func(*httptest.Server)) {
		f := newFar(t, compute.HandlerOptions{}, config)
		id := f.create()
		started := f.do(compute.Request{Action: "compute.sandbox.process.start", SandboxID: id, Command: "echo one; cat; echo two >&2; exit 3", OpenStdin: true})
		pid := started.Process.ProcessID
		require.True(t, started.Process.Running)
		require.Contains(t, started.Process.Abilities, "StdinOpener")
		on := func(action string) compute.Request {
			return compute.Request{Action: "compute.sandbox.process." + action, SandboxID: id, ProcessID: pid}
		}
		stream := f.events(on("output"))
		require.Equal(t, event{"stdout", "4-0", `{"text":"one\n"}`}, stream.next())

		write := on("stdin")
		write.Data = compute.Data("caf\xc3")
		f.do(write)
		resp, status := f.answer(f.send(http.MethodPut, "?action=process.stdin&close=true&sandboxId="+id+"&processId="+pid, strings.NewReader("\xa9\n")))
		require.Equal(t, http.StatusOK, status, resp.Error)
		waited := f.do(on("wait"))
		require.Equal(t, 3, waited.Result.ExitCode)

		var text, last string
		ev := stream.next()
		for ; ev.name == "stdout" || ev.name == "stderr"; ev = stream.next() {
			text += ev.data
			last = ev.id
		}
		require.Equal(t, "result", ev.name)
		require.Equal(t, "10-4", last)
		require.Contains(t, text, "two")
		require.Contains(t, ev.data, `"exitCode":3`)

		again := f.events(on("output"), "Last-Event-ID", "4-4")
		require.Equal(t, event{"stdout", "10-4", `{"text":"café\n"}`}, again.next())
		require.Equal(t, "result", again.next().name)

		collect := on("output")
		collect.Offsets.Stdout = 2
		require.Equal(t, "e\ncafé\n", f.do(collect).Result.Stdout)

		require.Equal(t, pid, f.do(on("list")).Processes[0].ID)
		gone := on("get")
		gone.ProcessID = "nope"
		resp, status = f.ask(gone)
		require.Equal(t, []any{http.StatusNotFound, "not_found", "Process nope not found"}, []any{status, resp.Code, resp.Error})
		f.do(on("kill"))
	})
}

func TestHandlerTerminals(t *testing.T) {
	f := newFar(t, compute.HandlerOptions{}, nil)
	id := f.create()
	made := f.do(compute.Request{Action: "compute.sandbox.terminal.create", SandboxID: id,
		TerminalOptions: compute.TerminalOptions{Command: "cat", Cols: 100, Rows: 30}}).Terminal
	require.Equal(t, []any{"cat", "running", 100, 30}, []any{made.Command, made.Status, made.Cols, made.Rows})
	number, err := json.Marshal(made.PID)
	require.NoError(t, err)

	resp := f.send(http.MethodGet, "?action=terminal.stream&sandboxId="+id+"&terminalId="+string(number), nil, "Accept", "text/event-stream")
	stream := events{t, newScanner(resp.Body)}
	require.Contains(t, stream.next().data, `{"type":"connected","terminalId":"`+string(number)+`","connectionId":`)

	on := func(action string) compute.Request {
		return compute.Request{Action: "compute.sandbox.terminal." + action, SandboxID: id, TerminalID: string(number)}
	}
	write := on("write")
	write.Data = compute.Data("h\xff\n")
	f.do(write)
	var got []byte
	for !bytes.Contains(got, []byte("h\xff")) {
		var numbers []int
		require.NoError(t, json.Unmarshal([]byte(stream.next().data), &numbers))
		for _, n := range numbers {
			got = append(got, byte(n))
		}
	}
	resize := on("resize")
	resize.Cols, resize.Rows = 10, 20
	f.do(resize)
	require.Len(t, f.do(on("list")).Terminals, 1)
	f.do(on("kill"))
	for ev := stream.next(); !strings.Contains(ev.data, `"type":"exit"`); {
		ev = stream.next()
	}
	require.Equal(t, "exited", f.do(on("getById")).Terminal.Status)
	gone := on("getById")
	gone.TerminalID = "7"
	answer, status := f.ask(gone)
	require.Equal(t, []any{http.StatusNotFound, "Terminal with ID 7 not found"}, []any{status, answer.Error})
}

func (f *far) dial(query url.Values) *websocket.Conn {
	ctx, cancel := context.WithTimeout(f.t.Context(), 10*time.Second)
	f.t.Cleanup(cancel)
	conn, resp, err := websocket.Dial(ctx, strings.Replace(f.URL, "http", "ws", 1)+"?"+query.Encode(),
		&websocket.DialOptions{HTTPClient: f.Client(), HTTPHeader: http.Header{"Authorization": {f.token}}})
	require.NoError(f.t, err)
	require.Equal(f.t, http.StatusSwitchingProtocols, resp.StatusCode)
	f.t.Cleanup(func() { conn.CloseNow() })
	return conn
}

func TestHandlerTerminalOverWebSocket(t *testing.T) {
	f := newFar(t, compute.HandlerOptions{}, nil)
	id := f.create()
	made := f.do(compute.Request{Action: "compute.sandbox.terminal.create", SandboxID: id,
		TerminalOptions: compute.TerminalOptions{Command: "read x; echo got $x; exit 4"}}).Terminal
	conn := f.dial(url.Values{"action": {"terminal.connect"}, "sandboxId": {id}, "terminalId": {made.TerminalID}})
	require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"resize","cols":9,"rows":9}`)))
	require.NoError(t, conn.Write(t.Context(), websocket.MessageBinary, []byte("you\n")))
	var got []byte
	for {
		kind, data, err := conn.Read(t.Context())
		require.NoError(t, err)
		if kind == websocket.MessageText {
			require.JSONEq(t, `{"type":"exit","exitCode":4}`, string(data))
			break
		}
		got = append(got, data...)
	}
	require.Contains(t, string(got), "got you")
	_, _, err := conn.Read(t.Context())
	require.Equal(t, websocket.StatusNormalClosure, websocket.CloseStatus(err))
}

func TestHandlerRawFiles(t *testing.T) {
	protocols(t, func(t *testing.T, config func(*httptest.Server)) {
		f := newFar(t, compute.HandlerOptions{}, config)
		id := f.create()
		at := func(action, path string) string {
			return "?" + url.Values{"action": {action}, "sandboxId": {id}, "path": {path}}.Encode()
		}
		big := bytes.Repeat([]byte("0123456789abcde\xff"), 20_000)
		resp, status := f.answer(f.send(http.MethodPut, at("filesystem.upload", "/tmp/a b")+"&mode=600", bytes.NewReader(big)))
		require.Equal(t, http.StatusOK, status, resp.Error)
		stat := f.do(compute.Request{Action: "compute.sandbox.filesystem.stat", SandboxID: id, Path: "/tmp/a b"}).File
		require.Equal(t, []any{int64(len(big)), "file", compute.Mode(0o600)}, []any{stat.Size, stat.Type, stat.Mode})

		size := "/320000"
		for _, tt := range []struct {
			name, want string
			status     int
			ranges     string
			body       []byte
		}{
			{"whole", "", 200, "", big},
			{"first", "bytes 0-9" + size, 206, "bytes=0-9", big[:10]},
			{"middle", "bytes 100000-299999" + size, 206, "bytes=100000-299999", big[100000:300000]},
			{"rest", "bytes 319990-319999" + size, 206, "bytes=319990-", big[319990:]},
			{"last", "bytes 319995-319999" + size, 206, "bytes=-5", big[319995:]},
			{"more than there is", "bytes 319999-319999" + size, 206, "bytes=319999-999999", big[319999:]},
			{"several", "", 200, "bytes=0-1,5-6", big},
			{"other units", "", 200, "lines=0-1", big},
			{"behind the end", "bytes */320000", 416, "bytes=320000-", nil},
			{"backwards", "bytes */320000", 416, "bytes=5-4", nil},
			{"nothing", "bytes */320000", 416, "bytes=-0", nil},
		} {
			t.Run(tt.name, func(t *testing.T) {
				resp := f.send(http.MethodGet, at("filesystem.download", "/tmp/a b"), nil, "Range", tt.ranges)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, tt.status, resp.StatusCode)
				require.Equal(t, tt.want, resp.Header.Get("Content-Range"))
				if tt.body != nil {
					require.True(t, bytes.Equal(tt.body, body))
					require.Equal(t, int64(len(tt.body)), resp.ContentLength)
					require.Equal(t, "attachment", resp.Header.Get("Content-Disposition"))
				}
			})
		}
		head := f.send(http.MethodHead, at("filesystem.download", "/tmp/a b"), nil)
		require.Equal(t, int64(len(big)), head.ContentLength)
		resp, status = f.answer(f.send(http.MethodGet, at("filesystem.download", "/nope"), nil))
		require.Equal(t, []any{http.StatusNotFound, "file_not_exist", "/nope"}, []any{status, resp.Code, resp.ErrorDetail.Path})
		resp, status = f.answer(f.send(http.MethodGet, at("filesystem.download", "/tmp"), nil))
		require.Equal(t, []any{http.StatusBadRequest, "file_invalid"}, []any{status, resp.Code})
	})
}

func TestHandlerArchives(t *testing.T) {
	f := newFar(t, compute.HandlerOptions{}, nil)
	id := f.create()
	var archive bytes.Buffer
	tw := tar.NewWriter(&archive)
	require.NoError(t, tw.WriteHeader(&tar.Header{Name: "d/f", Typeflag: tar.TypeReg, Mode: 0o644, Size: 2}))
	_, _ = tw.Write([]byte("hi"))
	require.NoError(t, tw.Close())
	put := "?action=archive.put&path=/tmp/x&sandboxId=" + id
	resp, status := f.answer(f.send(http.MethodPut, put, bytes.NewReader(archive.Bytes())))
	require.Equal(t, http.StatusOK, status, resp.Error)
	got := f.send(http.MethodGet, "?action=archive.get&path=/tmp/x&sandboxId="+id, nil)
	require.Equal(t, "application/x-tar", got.Header.Get("Content-Type"))
	tr := tar.NewReader(got.Body)
	names := map[string]string{}
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		data, err := io.ReadAll(tr)
		require.NoError(t, err)
		names[strings.Trim(hdr.Name, "/")] = string(data)
	}
	require.Equal(t, "hi", names["d/f"])
	resp, status = f.answer(f.send(http.MethodGet, "?action=archive.get&path=/nope&sandboxId="+id, nil))
	require.Equal(t, []any{http.StatusNotFound, "file_not_exist"}, []any{status, resp.Code})
}
