package runloopapi

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ptyServer is the API and the devbox behind its tunnel. The terminal repeats what is typed, and ends at "exit".
type ptyServer struct {
	t       *testing.T
	connect string // the URL to attach to
	status  websocket.StatusCode
	control chan string
}

const ptyToken = "pty-token"

func (s *ptyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.Host, "13-key.") {
		assert.NotContains(s.t, r.Header.Get("Authorization"), testKey, "the key is not the devbox's")
		assert.Empty(s.t, r.Header.Get("X-Secret"))
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/create_pty_tunnel"):
		assert.Equal(s.t, "Bearer "+testKey, r.Header.Get("Authorization"))
		writeJSON(w, http.StatusOK, `{"tunnel_key":"key","auth_token":"`+ptyToken+`"}`)
	case r.Header.Get("Authorization") != "Bearer "+ptyToken && !strings.HasSuffix(r.URL.Path, "/attach"):
		writeJSON(w, http.StatusUnauthorized, `{}`)
	case r.URL.Path == "/pty/mine":
		assert.Equal(s.t, "cols=100&rows=40", r.URL.RawQuery)
		writeJSON(w, http.StatusOK, toJSON(PTYConnectView{SessionName: "mine", ConnectURL: s.connect, Created: true}))
	case r.URL.Path == "/pty/mine/control":
		body, _ := io.ReadAll(r.Body)
		s.control <- string(body)
		writeJSON(w, http.StatusOK, `{"status":"ok"}`)
	case r.URL.Path == "/pty/mine/attach":
		s.attach(w, r)
	default:
		writeJSON(w, http.StatusNotFound, `{}`)
	}
}

func (s *ptyServer) attach(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{ptyToken}})
	if err != nil {
		return
	}
	defer conn.CloseNow() //nolint:errcheck // it may be closed
	if conn.Subprotocol() != ptyToken {
		_ = conn.Close(websocket.StatusPolicyViolation, "token")
		return
	}
	for {
		_, b, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if string(b) == "exit" {
			_ = conn.Close(s.status, "shell ended")
			return
		}
		for _, part := range bytes.SplitAfter(b, []byte(" ")) {
			if conn.Write(r.Context(), websocket.MessageBinary, part) != nil {
				return
			}
		}
	}
}

func newPTYDevbox(t *testing.T, s *ptyServer, opts ...Option) *Devbox {
	s.t, s.control = t, make(chan string, 10)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := httptest.NewUnstartedServer(s)
	server.Config.Protocols = &protocols
	server.Start()
	t.Cleanup(server.Close)
	opts = append([]Option{
		WithAPIKey(testKey), WithBaseURL(server.URL), WithTunnelDomain("http://tunnel.test"), WithHeader("X-Secret", "s"), WithRetries(0),
	}, opts...)
	c, err := New(opts...)
	require.NoError(t, err)
	for _, transport := range c.conf.owned { // all names lead to the server
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", server.Listener.Addr().String())
		}
	}
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c.Devbox("dbx_1")
}

func TestTerminal(t *testing.T) {
	for name, opts := range map[string][]Option{"HTTP/1.1": nil, "HTTP/2": {WithH2C()}} {
		t.Run(name, func(t *testing.T) {
			s := &ptyServer{connect: "/pty/mine/attach", status: closeShellEnded}
			d := newPTYDevbox(t, s, opts...)
			term, err := d.Terminal(t.Context(), "mine", &PTYParams{Cols: 100, Rows: 40})
			require.NoError(t, err)
			text := "any bytes \x00\xff " + strings.Repeat("x", 100_000)
			_, err = io.WriteString(term, text)
			require.NoError(t, err)
			got := make([]byte, len(text))
			_, err = io.ReadFull(term, got)
			require.NoError(t, err)
			assert.Equal(t, text, string(got))

			require.NoError(t, term.Resize(t.Context(), 120, 50))
			assert.JSONEq(t, `{"action":"resize","cols":120,"rows":50}`, <-s.control)
			require.NoError(t, term.Signal(t.Context(), "SIGINT"))
			assert.JSONEq(t, `{"action":"signal","signal":"SIGINT"}`, <-s.control)
			assert.Error(t, term.Resize(t.Context(), 0, 50))

			_, err = io.WriteString(term, "exit")
			require.NoError(t, err)
			_, err = io.ReadAll(term)
			require.NoError(t, err, "the end of the shell is the end of the file")
			require.NoError(t, term.Close())
			assert.JSONEq(t, `{"action":"close"}`, <-s.control)
		})
	}
}

func TestTerminalIsLost(t *testing.T) {
	s := &ptyServer{connect: "/pty/mine/attach", status: websocket.StatusInternalError}
	d := newPTYDevbox(t, s)
	params := &PTYParams{Cols: 100, Rows: 40}
	term, err := d.Terminal(t.Context(), "mine", params)
	require.NoError(t, err)
	_, err = io.WriteString(term, "exit")
	require.NoError(t, err)
	_, err = io.ReadAll(term)
	assert.ErrorIs(t, err, ErrConnection)
	require.NoError(t, term.Detach())

	ctx, cancel := context.WithCancel(t.Context())
	term, err = d.Terminal(ctx, "mine", params)
	require.NoError(t, err)
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = term.Read(make([]byte, 10))
	assert.ErrorIs(t, err, context.Canceled)
	require.NoError(t, term.Detach())
	require.NoError(t, term.Detach())
}

func TestTerminalIsNotOpened(t *testing.T) {
	params := &PTYParams{Cols: 100, Rows: 40}
	for _, test := range []struct {
		name, connect, text string
		is                  error
	}{
		{"another host", "http://evil.test/attach", "another host", nil},
		{"another host, short", "//evil.test/attach", "another host", nil},
		{"nowhere", "", "not valid", nil},
		{"unknown", "/pty/other/attach2", "", ErrUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newPTYDevbox(t, &ptyServer{connect: test.connect}).Terminal(t.Context(), "mine", params)
			require.Error(t, err)
			assert.ErrorContains(t, err, test.text)
			assert.NotContains(t, err.Error(), ptyToken)
			if test.is != nil {
				assert.ErrorIs(t, err, test.is)
			}
		})
	}
}
