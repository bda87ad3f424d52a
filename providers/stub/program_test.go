package stub_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// greet says what it sees of the world.
func greet(ctx context.Context, p *stub.Proc) int {
	in, err := io.ReadAll(p.Stdin)
	if err != nil {
		return 1
	}
	fmt.Fprintf(p.Stdout, "%q %s %s %s", p.Args, p.Env["WHO"], p.Dir, in)
	fmt.Fprint(p.Stderr, "oh")
	if err := p.Files.WriteFile(ctx, "/greeted", []byte("yes"), 0o644); err != nil {
		return 2
	}
	return 7
}

// serve answers HTTP on port 8080 until it is killed.
func serve(ctx context.Context, p *stub.Proc) int {
	l, err := p.Listen(8080)
	if err != nil {
		fmt.Fprintln(p.Stderr, err)
		return 1
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello from ", r.URL.Path)
	})}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	_ = srv.Serve(l)
	return 0
}

var programs = stub.Config{Programs: map[string]stub.Program{"greet": greet, "serve": serve,
	"hang": func(ctx context.Context, _ *stub.Proc) int { <-ctx.Done(); return 0 },
	"ls":   func(_ context.Context, p *stub.Proc) int { fmt.Fprintln(p.Stdout, "mine"); return 0 }}}

func TestProgram(t *testing.T) {
	_, sb := newSandbox(t, programs)
	res, err := sb.RunCommand(t.Context(), &compute.Command{Args: []string{"greet", "a b", ""}, Dir: "/tmp",
		Env: map[string]string{"WHO": "me"}, Stdin: strings.NewReader("in")})
	require.NoError(t, err)
	assert.Equal(t, `["greet" "a b" ""] me /tmp in`, res.Stdout)
	assert.Equal(t, "oh", res.Stderr)
	assert.Equal(t, 7, res.ExitCode)
	assert.Equal(t, "yes", script(t, sb, "cat /greeted").Stdout)
	assert.Equal(t, `["greet" "x"]  /workspace in`+"7\n", script(t, sb, "printf in | greet x 2>/dev/null; echo $?").Stdout)
	assert.Equal(t, "mine\n", script(t, sb, "ls").Stdout, "a program goes before a tool")
}

func TestProgramIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, sb := newSandbox(t, programs)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		res, err := sb.RunCommand(ctx, compute.Exec("hang"))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, -1, res.ExitCode)
		assert.Equal(t, 124, script(t, sb, "timeout 60 hang").ExitCode)
	})
}

// serving is a sandbox in which serve has begun to listen.
func serving(t *testing.T) (*stub.Provider, compute.Sandbox, compute.Process) {
	t.Helper()
	p, sb := newSandbox(t, programs)
	proc, err := compute.Start(t.Context(), sb, compute.Exec("serve"))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		c, err := compute.Dial(t.Context(), sb, "tcp", "localhost:8080")
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 10*time.Second, time.Millisecond)
	return p, sb, proc
}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

func TestListen(t *testing.T) {
	_, sb, proc := serving(t)
	conn, err := compute.Dial(t.Context(), sb, "tcp", "127.0.0.1:8080")
	require.NoError(t, err)
	_, err = fmt.Fprint(conn, "GET /raw HTTP/1.0\r\n\r\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.0 200 OK\r\n", line)
	require.NoError(t, conn.Close())
	again, err := sb.RunCommand(t.Context(), compute.Exec("serve"))
	require.NoError(t, err)
	assert.Contains(t, again.Stderr, "address already in use")
	require.NoError(t, proc.Kill(t.Context()))
	_, err = compute.Dial(t.Context(), sb, "tcp", "localhost:8080")
	assert.ErrorContains(t, err, "refused")
}

func TestURLs(t *testing.T) {
	p, sb, _ := serving(t)
	c := p.Client()
	defer c.CloseIdleConnections()
	u, err := sb.GetURL(t.Context(), 8080)
	require.NoError(t, err)
	body, err := get(t, c, u+"/a")
	require.NoError(t, err)
	assert.Equal(t, "hello from /a", body)
	own, err := compute.OpenURL(t.Context(), sb, 8080, &compute.URLOptions{Subdomain: "my-app"})
	require.NoError(t, err)
	assert.Equal(t, "http://my-app.stub.test", own)
	body, err = get(t, c, own+"/b")
	require.NoError(t, err)
	assert.Equal(t, "hello from /b", body)
	require.NoError(t, compute.CloseURL(t.Context(), sb, 8080))
	require.NoError(t, compute.CloseURL(t.Context(), sb, 8080), "it is idempotent")
	for _, u := range []string{u, own} {
		_, err = get(t, c, u)
		assert.ErrorContains(t, err, "no such host", "not even through a connection that was kept")
	}
}

func TestSubdomainIsTaken(t *testing.T) {
	p, sb := newSandbox(t, stub.Config{})
	other, err := p.CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	opts := &compute.URLOptions{Subdomain: "app"}
	for range 2 {
		_, err = compute.OpenURL(t.Context(), sb, 80, opts)
		require.NoError(t, err)
	}
	_, err = compute.OpenURL(t.Context(), other, 80, opts)
	assert.ErrorIs(t, err, compute.ErrConflict)
	_, err = compute.OpenURL(t.Context(), sb, 81, opts)
	assert.ErrorIs(t, err, compute.ErrConflict)
	require.NoError(t, compute.CloseURL(t.Context(), sb, 80))
	_, err = compute.OpenURL(t.Context(), other, 80, opts)
	assert.NoError(t, err)
}

func TestConnectionsEndWithTheSandbox(t *testing.T) {
	_, sb, _ := serving(t)
	conn, err := compute.Dial(t.Context(), sb, "tcp", "localhost:8080")
	require.NoError(t, err)
	require.NoError(t, sb.Destroy(t.Context()))
	_, err = conn.Read(make([]byte, 1))
	assert.Error(t, err)
}
