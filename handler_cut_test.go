package compute_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// wire makes the bytes of a request to a handler.
func wire(method, query, body string, header ...string) string {
	return fmt.Sprintf("%s /%s HTTP/1.1\r\nHost: example.com\r\nContent-Length: %d\r\n%s\r\n%s",
		method, query, len(body), strings.Join(append(header, ""), "\r\n"), body)
}

func jsonOf(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// held returns the memory in use.
func held() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// Requests are cut at every byte, many at once, some as if the client's machine
// had lost power. Nothing of them stays: no goroutine, no memory, no half file,
// and nothing that they ran.
func TestHandlerCutAtEveryByte(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	c := stub.New(stub.Config{})
	srv := httptest.NewServer(compute.NewHandler(c, compute.HandlerOptions{Authorize: compute.AllowAll}))
	f := &far{Server: srv, t: t}
	id := f.create()
	terminal := f.do(compute.Request{Action: "compute.sandbox.terminal.create", SandboxID: id,
		TerminalOptions: compute.TerminalOptions{Command: "cat"}}).Terminal.TerminalID
	sleep := compute.Request{Action: "compute.sandbox.runCommand", SandboxID: id, Command: "echo begun; sleep 1000"}
	cat := compute.Request{Action: "compute.sandbox.runCommand", SandboxID: id, Argv: []string{"cat"}}
	old := strings.Repeat("old", 10)
	require.NoError(t, write(t.Context(), c, id, "/tmp/f", old))
	requests := []string{
		wire("POST", "", jsonOf(sleep)),
		wire("POST", "", jsonOf(sleep), "Accept: text/event-stream"),
		wire("POST", "", jsonOf(cat)+"\nall of the input", "Content-Type: application/vnd.compute.request-with-body", "Accept: text/event-stream"),
		wire("PUT", "?action=filesystem.upload&path=/tmp/f&sandboxId="+id, strings.Repeat("new", 10)),
		wire("GET", "?action=terminal.stream&sandboxId="+id+"&terminalId="+terminal, ""),
		wire("GET", "?action=terminal.connect&sandboxId="+id+"&terminalId="+terminal, "", "Connection: Upgrade", "Upgrade: websocket",
			"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="),
	}
	before := held()
	var wg sync.WaitGroup
	cuts := make(chan func())
	for range 32 {
		wg.Go(func() {
			for cut := range cuts {
				cut()
			}
		})
	}
	for _, request := range requests {
		for i := range len(request) + 1 {
			cuts <- func() { cut(t, srv, request[:i], i%2 == 0) }
		}
	}
	close(cuts)
	wg.Wait()
	got, err := read(t.Context(), c, id, "/tmp/f")
	require.NoError(t, err)
	require.Contains(t, []string{old, strings.Repeat("new", 10)}, got, "half a file is none")
	srv.Close() // which waits for the requests
	require.NoError(t, c.DestroySandbox(t.Context(), id))
	require.NoError(t, compute.Close(c))
	const each = 256 << 10 // processors keep some
	require.Less(t, held()-before, int64(8<<20+runtime.GOMAXPROCS(0)*each), "bytes")
}

// cut sends the beginning of a request and goes away, as a program that ends or
// as one whose machine does.
func cut(t *testing.T, srv *httptest.Server, begin string, hard bool) {
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	if !assert.NoError(t, err) {
		return
	}
	_, err = io.WriteString(conn, begin)
	assert.NoError(t, err)
	if hard {
		assert.NoError(t, conn.(*net.TCPConn).SetLinger(0))
	}
	assert.NoError(t, conn.Close())
}

func write(ctx context.Context, c compute.Compute, id, name, data string) error {
	sb, err := c.GetSandbox(ctx, id)
	if err != nil {
		return err
	}
	return sb.Filesystem().WriteFile(ctx, name, []byte(data), 0o644)
}

func read(ctx context.Context, c compute.Compute, id, name string) (string, error) {
	sb, err := c.GetSandbox(ctx, id)
	if err != nil {
		return "", err
	}
	data, err := sb.Filesystem().ReadFile(ctx, name)
	return string(data), err
}

// A hundred clients that send as slowly as they can, or take nothing, are
// answered or given up, and hold little until then.
func TestHandlerSlowClients(t *testing.T) {
	const n = 100
	chunk := bytes.Repeat([]byte("output\n"), 8<<10)
	for name, tt := range map[string]struct {
		request string
		answer  string // its beginning; "" is none
	}{
		"header":  {"POST / HTTP/1.1\r\nHost: exam", ""},
		"body":    {strings.TrimSuffix(wire("POST", "", info), "}"), "HTTP/1.1 408 "},
		"no body": {strings.TrimSuffix(wire("POST", "", info), info), "HTTP/1.1 408 "},
		"upload":  {strings.TrimSuffix(wire("PUT", "?action=filesystem.upload&path=/f&sandboxId=s1", "abc"), "c"), "HTTP/1.1 408 "},
		"head":    {strings.TrimSuffix(wire("POST", "", info, "Content-Type: application/vnd.compute.request-with-body"), "}"), "HTTP/1.1 408 "},
		"reader":  {wire("POST", "", `{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x"}`, "Accept: text/event-stream"), "HTTP/1.1 200 "},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			f := newHandlerFake()
			f.run = func(_ context.Context, cmd *compute.Command) (*compute.Result, error) {
				for {
					if _, err := cmd.Stdout.Write(chunk); err != nil {
						return nil, err
					}
				}
			}
			srv := httptest.NewUnstartedServer(compute.NewHandler(f, compute.HandlerOptions{Authorize: compute.AllowAll, BodyTimeout: 300 * time.Millisecond}))
			if srv.Config.ReadHeaderTimeout = time.Minute; name == "header" {
				srv.Config.ReadHeaderTimeout = 300 * time.Millisecond
			}
			srv.Start()
			before, goroutines := held(), runtime.NumGoroutine()
			var conns []net.Conn
			for range n {
				conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
				require.NoError(t, err)
				defer conn.Close()
				_, err = io.WriteString(conn, tt.request)
				require.NoError(t, err)
				conns = append(conns, conn)
			}
			require.Less(t, (held()-before)/n, int64(256<<10), "bytes for each")
			require.Less(t, (runtime.NumGoroutine()-goroutines)/n, 8, "goroutines for each")
			for _, conn := range conns {
				got := make([]byte, len(tt.answer))
				_, err := io.ReadFull(conn, got)
				require.NoError(t, err)
				require.Equal(t, tt.answer, string(got))
				if name != "reader" { // and no more is waited for
					_, err = io.Copy(io.Discard, conn)
					require.True(t, err == nil || errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "reset"), err)
				}
				require.NoError(t, conn.Close())
			}
			srv.Close()
		})
	}
}

// oneConn is a listener for a connection in memory.
type oneConn struct{ conn chan net.Conn }

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return nil }

func (l *oneConn) Accept() (net.Conn, error) {
	conn, ok := <-l.conn
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

// A client that takes nothing of an answer is given up after a minute, and what
// it asked for ends.
func TestHandlerDeafClients(t *testing.T) {
	run := `{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x"}`
	for name, request := range map[string]string{
		"answer":   wire("POST", "", run),
		"download": wire("GET", "?action=filesystem.download&path=/f&sandboxId=s1", ""),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan struct{})
				f := newHandlerFake()
				large := bytes.Repeat([]byte("output\n"), 1<<20)
				f.files["f"] = f.files["etc/motd"]
				f.files["f"].Data = large
				f.run = func(_ context.Context, cmd *compute.Command) (*compute.Result, error) {
					if cmd.Stdout == nil {
						return &compute.Result{Stdout: string(large)}, nil
					}
					_, err := cmd.Stdout.Write(large)
					return nil, err
				}
				h := compute.NewHandler(f, compute.HandlerOptions{Authorize: compute.AllowAll, Audit: func(context.Context, compute.AuditRecord) { close(ended) }})
				client, server := net.Pipe()
				l := &oneConn{conn: make(chan net.Conn, 1)}
				l.conn <- server
				srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
				go func() { _ = srv.Serve(l) }()
				_, err := io.WriteString(client, request)
				require.NoError(t, err)
				begun := time.Now()
				<-ended
				require.Equal(t, time.Minute, time.Since(begun))
				require.NoError(t, client.Close())
				close(l.conn)
			})
		})
	}
}
