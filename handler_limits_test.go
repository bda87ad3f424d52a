package compute_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

func limited(limits compute.HandlerLimits) compute.HandlerOptions {
	opts := tenancy
	opts.Limits = limits
	return opts
}

// Each owner has tokens of their own, which come back with time.
func TestHandlerRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := compute.NewHandler(newHandlerFake(), limited(compute.HandlerLimits{Rate: 2, Burst: 3}))
		status := func(who string) int { return post(h, list, "Authorization", who).Code }
		for range 3 {
			require.Equal(t, http.StatusOK, status("a"))
		}
		w := post(h, list, "Authorization", "a")
		require.Equal(t, http.StatusTooManyRequests, w.Code)
		require.Equal(t, "1", w.Header().Get("Retry-After"))
		require.Contains(t, w.Body.String(), `"code":"quota"`)
		require.Equal(t, http.StatusOK, status("b"))
		time.Sleep(500 * time.Millisecond)
		require.Equal(t, http.StatusOK, status("a"))
		require.Equal(t, http.StatusTooManyRequests, status("a"))
	})
}

func TestHandlerConcurrency(t *testing.T) {
	f := newHandlerFake()
	entered, leave := make(chan struct{}), make(chan struct{})
	f.run = func(context.Context, *compute.Command) (*compute.Result, error) {
		entered <- struct{}{}
		<-leave
		return &compute.Result{}, nil
	}
	opts := compute.HandlerOptions{Authorize: compute.AllowAll, Limits: compute.HandlerLimits{Concurrency: 1}}
	h := compute.NewHandler(f, opts)
	var wg sync.WaitGroup
	wg.Go(func() { post(h, `{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x"}`) })
	<-entered
	w := post(h, list)
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	close(leave)
	wg.Wait()
	require.Equal(t, http.StatusOK, post(h, list).Code)
}

// However many ask at once, no more than the limit come into being.
func TestHandlerSandboxes(t *testing.T) {
	slow := compute.Intercept(stub.New(stub.Config{}), func(ctx context.Context, op compute.Op, next func(context.Context) error) error {
		if op.Name == "create sandbox" {
			time.Sleep(20 * time.Millisecond) // so that all would have counted before
		}
		return next(ctx)
	})
	f := newFarOver(t, slow, limited(compute.HandlerLimits{Sandboxes: 3}), nil)
	statuses := make([]int, 8)
	var wg sync.WaitGroup
	for i := range statuses {
		wg.Go(func() { _, statuses[i] = f.as("a").ask(compute.Request{Action: "compute.sandbox.create"}) })
	}
	wg.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	require.Equal(t, map[int]int{http.StatusOK: 3, http.StatusTooManyRequests: 5}, count)
	f.as("b").create()
	id := f.as("a").do(compute.Request{Action: "compute.sandbox.list"}).Sandboxes[0].ID
	f.as("a").do(compute.Request{Action: "compute.sandbox.destroy", SandboxID: id})
	f.as("a").create()
}

func TestHandlerLifetime(t *testing.T) {
	f := newHandlerFake()
	h := compute.NewHandler(f, compute.HandlerOptions{Authorize: compute.AllowAll,
		Limits: compute.HandlerLimits{Lifetime: time.Hour, DefaultLifetime: time.Minute}})
	post(h, `{"action":"compute.sandbox.create"}`)
	require.Equal(t, time.Minute, f.created.Lifetime)
	require.Equal(t, http.StatusBadRequest, post(h, `{"action":"compute.sandbox.create","options":{"timeout":3600001}}`).Code)
	require.Equal(t, http.StatusBadRequest, post(h, `{"action":"compute.sandbox.extend","sandboxId":"s1","options":{"timeout":3600001}}`).Code)
	require.Equal(t, http.StatusOK, post(h, `{"action":"compute.sandbox.extend","sandboxId":"s1","options":{"timeout":3600000}}`).Code)
}

func TestHandlerOutput(t *testing.T) {
	f := newFar(t, limited(compute.HandlerLimits{Output: 10}), nil).as("a")
	run := compute.Request{Action: "compute.sandbox.runCommand", SandboxID: f.create(), Command: "echo 123456789"}
	require.Equal(t, "123456789\n", f.do(run).Result.Stdout)
	run.Command = "while true; do echo 12345678; done"
	resp, status := f.ask(run)
	require.Equal(t, []any{http.StatusRequestEntityTooLarge, "too_large"}, []any{status, resp.Code})
	require.Equal(t, "12345678\n1", resp.Result.Stdout)
	stream := f.events(run)
	require.Equal(t, event{"stdout", "9-0", `{"text":"12345678\n"}`}, stream.next())
	require.Equal(t, event{"stdout", "10-0", `{"text":"1"}`}, stream.next())
	require.Contains(t, stream.next().data, `"code":"too_large"`)
}

// What a process prints is counted however it is looked at, and nobody gets
// beyond the limit piece by piece.
func TestHandlerOutputOfProcesses(t *testing.T) {
	f := newFar(t, limited(compute.HandlerLimits{Output: 10}), nil).as("a")
	id := f.create()
	start := func() string {
		return f.do(compute.Request{Action: "compute.sandbox.terminal.create", SandboxID: id,
			TerminalOptions: compute.TerminalOptions{Command: "echo 1234567; sleep 0.05; while true; do echo 12345678; done"}}).Terminal.TerminalID
	}
	for name, look := range map[string]func(terminal string){
		"terminal.stream": func(terminal string) {
			s := events{t, newScanner(f.send(http.MethodGet, "?action=terminal.stream&sandboxId="+id+"&terminalId="+terminal, nil).body)}
			require.Contains(t, s.next().data, `"connected"`)
			var ids, frames string
			ev := s.next()
			for ; strings.HasPrefix(ev.data, "["); ev = s.next() {
				ids, frames = ev.id, frames+ev.data
			}
			require.Equal(t, "10-0", ids, frames)
			require.JSONEq(t, `{"type":"error","code":"too_large"}`, ev.data)
			require.Contains(t, s.next().data, `"type":"exit"`)
		},
		"terminal.connect": func(terminal string) {
			conn := f.dial(url.Values{"action": {"terminal.connect"}, "sandboxId": {id}, "terminalId": {terminal}})
			defer conn.CloseNow()
			n := 0
			for {
				kind, data, err := conn.Read(t.Context())
				require.NoError(t, err)
				if kind == websocket.MessageText {
					require.Contains(t, string(data), `"code":"too_large"`)
					break
				}
				n += len(data)
			}
			require.Equal(t, 10, n)
		},
		"process.output": func(terminal string) {
			stream := f.events(compute.Request{Action: "compute.sandbox.process.output", SandboxID: id, ProcessID: terminal,
				Offsets: compute.Offsets{Stdout: 9}})
			require.Equal(t, "10-0", stream.next().id)
			require.Contains(t, stream.next().data, `"code":"too_large"`)
		},
		"process.output in one piece": func(terminal string) {
			_, status := f.ask(compute.Request{Action: "compute.sandbox.process.output", SandboxID: id, ProcessID: terminal})
			require.Equal(t, http.StatusRequestEntityTooLarge, status)
		},
	} {
		t.Run(name, func(t *testing.T) {
			terminal := start()
			look(terminal)
			got := f.do(compute.Request{Action: "compute.sandbox.terminal.getById", SandboxID: id, TerminalID: terminal}).Terminal
			require.Equal(t, "exited", got.Status, "it is killed")
		})
	}
}

func TestHandlerUploadLimit(t *testing.T) {
	opts := compute.HandlerOptions{MaxUpload: 1000, BodyTimeout: 200 * time.Millisecond}
	protocols(t, func(t *testing.T, config func(*httptest.Server)) {
		f := newFar(t, opts, config)
		id := f.create()
		read := compute.Request{Action: "compute.sandbox.filesystem.readFile", SandboxID: id, Path: "/tmp/f"}
		put := func(body io.Reader) (*compute.Response, int) {
			return f.answer(f.send(http.MethodPut, "?action=filesystem.upload&path=/tmp/f&sandboxId="+id, body))
		}
		_, status := put(strings.NewReader("old"))
		require.Equal(t, http.StatusOK, status)
		resp, status := put(strings.NewReader(strings.Repeat("x", 1001)))
		require.Equal(t, []any{http.StatusRequestEntityTooLarge, "too_large"}, []any{status, resp.Code})
		r, w := io.Pipe()
		defer w.Close()
		go io.WriteString(w, "half")
		resp, status = put(r)
		require.Equal(t, []any{http.StatusRequestTimeout, "timeout"}, []any{status, resp.Code})
		require.Equal(t, "old", *f.do(read).FileContent, "half a file is none")
	})
}

func TestHandlerAllow(t *testing.T) {
	h := compute.NewHandler(newHandlerFake(), compute.HandlerOptions{Authorize: compute.AllowAll, Allow: compute.HandlerAllow{
		Actions: []string{"compute.sandbox.create", "compute.template.*", "compute.sandbox.filesystem.*"},
		Options: []string{"image", "resources", "name", "dockerfile"}, Images: []string{"alpine"},
		Resources: compute.Resources{CPUs: 2, MemoryMiB: 100, GPU: "A100:1"}}})
	for _, tt := range []struct {
		body, want string
	}{
		{`{"action":"compute.sandbox.create"}`, ""},
		{`{"action":"compute.sandbox.create","options":{"image":"alpine","resources":{"cpus":2,"memoryMiB":100,"gpu":"A100:1"}}}`, ""},
		{`{"action":"compute.template.list"}`, ""},
		{`{"action":"compute.sandbox.filesystem.readdir","sandboxId":"s1","path":"/etc"}`, ""},
		{`{"action":"compute.sandbox.list"}`, "the action is not allowed"},
		{`{"action":"compute.templates"}`, "the action is not allowed"},
		{`{"action":"compute.sandbox.create","options":{"image":"evil"}}`, "options.image is not one of those allowed"},
		{`{"action":"compute.template.create","options":{"name":"n","dockerfile":"FROM evil"}}`, "options.dockerfile is not allowed"},
		{`{"action":"compute.template.create","options":{"name":"n","filesBase64":{"/f":"/w=="}}}`, "options.files is not allowed"},
		{`{"action":"compute.sandbox.create","options":{"network":{"allow":["*"]}}}`, "options.network is not allowed"},
		{`{"action":"compute.sandbox.create","options":{"mounts":[{"volume":"v","path":"/v"}]}}`, "options.mounts is not allowed"},
		{`{"action":"compute.sandbox.create","options":{"resources":{"cpus":2.5}}}`, "options.resources is more than is allowed"},
		{`{"action":"compute.sandbox.create","options":{"resources":{"memoryMiB":101}}}`, "options.resources is more than is allowed"},
		{`{"action":"compute.sandbox.create","options":{"resources":{"gpu":"H100:8"}}}`, "options.resources is more than is allowed"},
	} {
		w := post(h, tt.body)
		if tt.want == "" {
			require.Equal(t, http.StatusOK, w.Code, tt.body)
			continue
		}
		require.Equal(t, http.StatusForbidden, w.Code, tt.body)
		require.Contains(t, w.Body.String(), tt.want)
	}
	const template = `{"action":"compute.template.create","options":{"name":"n"}}`
	w := post(h, template+"\nan archive", "Content-Type", "application/vnd.compute.request-with-body")
	require.Equal(t, http.StatusForbidden, w.Code, "a build context in the body")
	r := httptest.NewRequest(http.MethodPut, "/?"+url.Values{"action": {"compute.template.create"}, "request": {template}}.Encode(), strings.NewReader("an archive"))
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusForbidden, w.Code, "a build context in the body")
	require.Contains(t, w.Body.String(), "options.contextTar is not allowed")
}

func TestHandlerAudit(t *testing.T) {
	var records []compute.AuditRecord
	opts := tenancy
	opts.Audit = func(_ context.Context, rec compute.AuditRecord) {
		rec.Time, rec.Duration, rec.Remote = time.Time{}, 0, ""
		if rec.Err != nil {
			rec.Err = nil
		}
		records = append(records, rec)
	}
	h := compute.NewHandler(stub.New(stub.Config{}), opts)
	post(h, `{"action":"compute.sandbox.create"}`, "Authorization", "a")
	post(h, `{"action":"compute.sandbox.getInfo","sandboxId":"x"}`, "Authorization", "a", "Accept", "text/event-stream")
	post(h, `{"action":"compute.sandbox.list"}`, "Authorization", "nobody")
	post(h, `{`, "Authorization", "a")
	require.Equal(t, []compute.AuditRecord{
		{Owner: "a", Action: "compute.sandbox.create", SandboxID: "sbx_0001", Status: 200},
		{Owner: "a", Action: "compute.sandbox.getInfo", SandboxID: "x", Status: 404, Code: "not_found"},
		{Action: "compute.sandbox.list", Status: 403, Code: "forbidden"},
		{Status: 400, Code: "invalid"},
	}, records)
}

// The statuses and texts of the eras of ComputeSDK's handler.
func TestHandlerCompat(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		statusD    int
		textD      string
		statusE    int
		textE      string
	}{
		{"not JSON", `{`, 400, "Invalid JSON in request body", 400, "Invalid JSON in request body"},
		{"unknown action", `{"action":"x","sandboxId":"s1"}`, 200, "Unknown action: x", 500, "Unknown action: x"},
		{"nothing to destroy", `{"action":"compute.sandbox.destroy"}`, 200, "Sandbox ID is required for destroy action", 500, "sandboxId is required for destroy action"},
		{"no sandbox", `{"action":"compute.sandbox.filesystem.readFile"}`, 200, "Sandbox ID is required for filesystem operations", 500, "sandboxId is required for this action"},
		{"no path", `{"action":"compute.sandbox.filesystem.mkdir","sandboxId":"s1"}`, 200, "Directory path is required for mkdir action", 500, "path is required"},
		{"no content", `{"action":"compute.sandbox.filesystem.writeFile","sandboxId":"s1","path":"x"}`, 200, "File content is required for writeFile action", 500, "content is required"},
		{"no terminal", `{"action":"compute.sandbox.terminal.getById","sandboxId":"s1"}`, 200, "Terminal ID is required for getById action", 500, "terminalId is required for this action"},
		{"not found", `{"action":"compute.sandbox.getInfo","sandboxId":"s2"}`, 200, "Sandbox with ID s2 not found", 500, "Sandbox s2 not found"},
		{"not found before fields", `{"action":"compute.sandbox.runCommand","sandboxId":"s2"}`, 200, "Command is required for runCommand action", 500, "Sandbox s2 not found"},
		{"unknown action, not found", `{"action":"compute.sandbox.x","sandboxId":"s2"}`, 200, "Unknown action: compute.sandbox.x", 500, "Sandbox s2 not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for era, want := range map[compute.Compat]struct {
				status int
				text   string
			}{compute.CompatD: {tt.statusD, tt.textD}, compute.CompatE: {tt.statusE, tt.textE}} {
				h := compute.NewHandler(newHandlerFake(), compute.HandlerOptions{Authorize: compute.AllowAll, Compat: era})
				w := post(h, tt.body)
				require.Equal(t, want.status, w.Code, era)
				require.Contains(t, w.Body.String(), fmt.Sprintf(`"error":%q`, want.text), era)
			}
		})
	}
}

// Streams of era D had statuses of their own.
func TestHandlerCompatStream(t *testing.T) {
	h := compute.NewHandler(newHandlerFake(), compute.HandlerOptions{Authorize: compute.AllowAll, Compat: compute.CompatD})
	for query, want := range map[string]struct {
		status int
		text   string
	}{
		"?action=other":                                     {400, "GET requests only supported for terminal.stream action"},
		"?action=terminal.stream&sandboxId=s1":              {400, "sandboxId and terminalId are required for terminal streaming"},
		"?action=terminal.stream&terminalId=1":              {400, "sandboxId and terminalId are required for terminal streaming"},
		"?action=terminal.stream&sandboxId=s2&terminalId=1": {404, "Sandbox with ID s2 not found"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+query, nil))
		require.Equal(t, want.status, w.Code, query)
		require.Contains(t, w.Body.String(), want.text)
	}
}

func TestHandlerRunCode(t *testing.T) {
	f := newHandlerFake()
	var ran *compute.Command
	f.run = func(_ context.Context, cmd *compute.Command) (*compute.Result, error) {
		ran = cmd
		return &compute.Result{Stdout: "hi\n"}, nil
	}
	w := post(open(f), `{"action":"compute.sandbox.runCode","sandboxId":"s1","code":"print(1)"}`)
	require.Equal(t, []string{"python3", "-c", "print(1)"}, ran.Args)
	require.Contains(t, w.Body.String(), `"output":"hi\n","language":"python"`)
	post(open(f), `{"action":"compute.sandbox.runCode","sandboxId":"s1","code":"1","options":{"runtime":"node"}}`)
	require.Equal(t, []string{"node", "-e", "1"}, ran.Args)
	require.Equal(t, 400, post(open(f), `{"action":"compute.sandbox.runCode","sandboxId":"s1","code":"1","runtime":"perl"}`).Code)

	run := `{"action":"compute.sandbox.runCode","code":"1"}`
	require.Equal(t, 400, post(open(f), run).Code)
	require.Nil(t, f.created, "nobody asked for a sandbox")
	auto := compute.NewHandler(f, compute.HandlerOptions{Authorize: compute.AllowAll, Compat: compute.CompatD, AutoCreate: true})
	w = post(auto, run)
	require.Contains(t, w.Body.String(), `"sandboxId":"s1","result":{"stdout":"hi\n"`)
	require.NotNil(t, f.created)
}
