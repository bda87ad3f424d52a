package compute_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/computekit/compute"
)

// slowClient sends the begin of a request at once, and what is left of it a byte
// at a time; or takes a byte of the answer at a time. Then it goes away.
type slowClient struct {
	addr, begin, drip string
	hard              bool // as a machine does that loses its power
}

func (c slowClient) run(ctx context.Context, t *testing.T, pace time.Duration) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.addr)
	if !assert.NoError(t, err) {
		return
	}
	_, err = io.WriteString(conn, c.begin)
	assert.NoError(t, err)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for one := make([]byte, 1); ctx.Err() == nil; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			continue
		}
		if c.drip != "" {
			_, err = conn.Write([]byte{c.drip[0]})
			c.drip = c.drip[1:]
		} else {
			_ = conn.SetReadDeadline(time.Now().Add(pace))
			_, err = conn.Read(one)
			if os.IsTimeout(err) {
				err = nil
			}
		}
		if err != nil { // it was given up
			break
		}
	}
	if c.hard {
		_ = conn.(*net.TCPConn).SetLinger(0)
	}
	_ = conn.Close()
}

// Two hundred clients are as slow as they can be, in every way, and then cut
// their connections. A client that is not is served all the time, and nothing is
// left of the others: no goroutine, no process, no file.
func TestSlowAndCutClientsUnderLoad(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	c, sb := inSandbox(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		for {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	}))
	srv := httptest.NewServer(compute.NewHandler(c, compute.HandlerOptions{Authorize: compute.AllowAll, BodyTimeout: 2 * time.Second}))
	proxy, err := compute.NewProxy(c, compute.ProxyOptions{URL: "http://example.net/", Authorize: allowed})
	require.NoError(t, err)
	front := httptest.NewServer(proxy)
	f := &far{Server: srv, t: t}
	id := sb.ID()
	terminal := func(command string) string {
		return f.do(compute.Request{Action: "compute.sandbox.terminal.create", SandboxID: id,
			TerminalOptions: compute.TerminalOptions{Command: command}}).Terminal.TerminalID
	}
	quiet, loud := terminal("cat"), terminal("while true; do echo output output output; done")
	require.NoError(t, write(t.Context(), c, id, "/tmp/big", strings.Repeat("x", 8<<20)))
	require.NoError(t, write(t.Context(), c, id, "/tmp/old", "old"))

	const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="
	frame := "\x82\xff\x00\x00\x00\x00\x00\x08\x00\x00" + "mask" + strings.Repeat("x", 1000)
	flood := jsonOf(compute.Request{Action: "compute.sandbox.runCommand", SandboxID: id, Command: "while true; do echo output output output; done"})
	cat := jsonOf(compute.Request{Action: "compute.sandbox.runCommand", SandboxID: id, Argv: []string{"cat"}}) + "\n"
	port := "/" + id + "/3000/"
	at := srv.Listener.Addr().String()
	kinds := []slowClient{
		{addr: at, begin: wire("POST", "", flood)[:80], drip: wire("POST", "", flood)[80:]},
		{addr: at, begin: wire("POST", "", flood, "Accept: text/event-stream")},
		{addr: at, begin: wire("POST", "", cat+strings.Repeat("x", 1000), "Content-Type: application/vnd.compute.request-with-body", "Accept: text/event-stream")[:400]},
		{addr: at, begin: strings.TrimRight(wire("PUT", "?action=filesystem.upload&path=/tmp/old&sandboxId="+id, strings.Repeat("x", 1000)), "x"), drip: strings.Repeat("x", 1000)},
		{addr: at, begin: strings.TrimRight(wire("PUT", "?action=archive.put&path=/tmp/archive&sandboxId="+id, strings.Repeat("x", 1000)), "x"), drip: strings.Repeat("x", 1000)},
		{addr: at, begin: strings.TrimRight(wire("PUT", `?action=template.create&request={"options":{"name":"n"}}`, strings.Repeat("x", 1000)), "x"), drip: strings.Repeat("x", 1000)},
		{addr: at, begin: wire("GET", "?action=filesystem.download&path=/tmp/big&sandboxId="+id, "")},
		{addr: at, begin: wire("GET", "?action=archive.get&path=/tmp&sandboxId="+id, "")},
		{addr: at, begin: wire("GET", "?action=terminal.stream&sandboxId="+id+"&terminalId="+loud, "")},
		{addr: at, begin: wire("GET", "?action=terminal.connect&sandboxId="+id+"&terminalId="+loud, "", upgrade)},
		{addr: at, begin: wire("GET", "?action=terminal.connect&sandboxId="+id+"&terminalId="+quiet, "", upgrade) + frame[:20], drip: frame[20:]},
		{addr: front.Listener.Addr().String(), begin: "GET " + port + " HTTP/1.1\r\nHost: example.net\r\n\r\n"},
		{addr: front.Listener.Addr().String(), begin: "POST " + port + " HTTP/1.1\r\nHost: example.net\r\nContent-Length: 1000\r\n\r\n", drip: strings.Repeat("x", 1000)},
		{addr: front.Listener.Addr().String(), begin: "POST " + port + " HTTP/1.1\r\nHost: exam", drip: "ple.net\r\nX: " + strings.Repeat("x", 1000)},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 200 {
		one := kinds[i%len(kinds)]
		one.hard = i%2 == 0
		wg.Go(func() { one.run(ctx, t, time.Second) })
	}
	served := 0
	for ctx.Err() == nil { // the client that is not slow
		resp := f.do(compute.Request{Action: "compute.sandbox.runCommand", SandboxID: id, Command: fmt.Sprintf("echo %d", served)})
		require.Equal(t, fmt.Sprintf("%d\n", served), resp.Result.Stdout)
		served++
	}
	require.Positive(t, served)
	wg.Wait()

	begun := time.Now()
	for _, end := range []string{quiet, loud} {
		f.do(compute.Request{Action: "compute.sandbox.terminal.kill", SandboxID: id, TerminalID: end})
	}
	srv.Close() // which waits for what is under way
	front.Close()
	require.NoError(t, proxy.Close())
	require.Less(t, time.Since(begun), time.Minute)
	running := 0
	for info, err := range compute.ListProcesses(t.Context(), sb) {
		require.NoError(t, err)
		if info.Running {
			running++
		}
	}
	require.Equal(t, 1, running, "the program that serves")
	got, err := read(t.Context(), c, id, "/tmp/old")
	require.NoError(t, err)
	require.Equal(t, "old", got, "half a file is none")
	infos, err := sb.Filesystem().ReadDir(t.Context(), "/tmp")
	require.NoError(t, err)
	for _, info := range infos {
		require.Contains(t, []string{"big", "old", "archive"}, info.Name())
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoError(t, c.DestroySandbox(t.Context(), id))
	require.NoError(t, compute.Close(c))
}
