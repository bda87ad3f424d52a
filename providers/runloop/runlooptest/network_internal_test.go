package runlooptest

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// webServer answers each connection with its request, and switches protocols when
// asked to, after which it is an echo.
const webServer = `$SIG{CHLD} = "IGNORE"; $| = 1;
my $s = IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => 8080, Listen => 64, ReuseAddr => 1) or die;
print "ready\n";
while (my $c = $s->accept) {
  if (!fork) {
    my $r = ""; my $n = 0;
    while (my $l = <$c>) { $r .= $l; $n = $1 if $l =~ /^content-length: (\d+)/i; last if $l =~ /^\r?$/ }
    if ($r =~ /^upgrade:/im) {
      print $c "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
      while (defined(my $l = <$c>)) { print $c $l }
    } else { read($c, my $b, $n) if $n; print $c "HTTP/1.0 200 OK\r\n\r\n$r$b" }
    exit
  }
  close $c
}`

// newWeb returns a devbox with a tunnel and a web server on port 8080.
func newWeb(t *testing.T, s *Server, tunnel string) runloopapi.DevboxView {
	t.Helper()
	v := newRunning(t, s, `{"tunnel":`+tunnel+`,"launch_parameters":{"lifecycle":{}}}`)
	startWeb(t, s, v.ID)
	return v
}

func startWeb(t *testing.T, s *Server, id string) {
	t.Helper()
	path := start(t, s, id, `{"command":`+quoted("exec perl -MIO::Socket::INET -e '"+webServer+"'")+`}`)
	resp, err := s.send(t.Context(), "GET", "/v1"+path+"/stream_stdout_updates", "")
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = nextChunk(bufio.NewReader(resp.Body))
	require.NoError(t, err)
}

// through sends a request through a tunnel, by the host's name or by the path.
func (s *Server) through(t *testing.T, byHost bool, label, path string, header ...string) (int, http.Header, string) {
	t.Helper()
	u := s.URL + "/tunnel/" + label + path
	if byHost {
		u = s.URL + path
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u, strings.NewReader("body"))
	require.NoError(t, err)
	if byHost {
		req.Host = label + ".tunnel.localhost"
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, string(data)
}

func TestTunnels(t *testing.T) {
	s := newLocal(t)
	v := newWeb(t, s, "{}")
	require.NotNil(t, v.Tunnel)
	assert.Equal(t, runloopapi.TunnelOpen, v.Tunnel.AuthMode)
	assert.True(t, v.Tunnel.HTTPKeepAlive)
	label := "8080-" + v.Tunnel.TunnelKey
	for _, byHost := range []bool{true, false} {
		status, _, body := s.through(t, byHost, label, "/a%2Fb/c?d=e", "X-Mine", "yes", "Authorization", "Bearer theirs")
		assert.Equal(t, 200, status)
		assert.True(t, strings.HasPrefix(body, "POST /a%2Fb/c?d=e HTTP/1.1\r\n"), body)
		assert.Contains(t, body, "X-Mine: yes\r\n")
		assert.Contains(t, body, "Authorization: Bearer theirs\r\n", "an open tunnel takes nothing")
		assert.True(t, strings.HasSuffix(body, "\r\n\r\nbody"))

		status, _, _ = s.through(t, byHost, "81-"+v.Tunnel.TunnelKey, "/")
		assert.Equal(t, 502, status, "nobody listens")
		for _, wrong := range []string{"8080-" + newID(""), "0-" + v.Tunnel.TunnelKey, "x", "70000-" + v.Tunnel.TunnelKey} {
			status, _, _ = s.through(t, byHost, wrong, "/")
			assert.Equal(t, 404, status, wrong)
		}
	}

	assert.Contains(t, refused(t, s, 400, "POST", "/devboxes/"+v.ID+"/enable_tunnel", "{}"), "already")
	post[none](t, s, "/devboxes/"+v.ID+"/remove_tunnel", "")
	assert.Nil(t, get[runloopapi.DevboxView](t, s, "/devboxes/"+v.ID).Tunnel)
	status, _, _ := s.through(t, true, label, "/")
	assert.Equal(t, 404, status)

	tunnel := post[runloopapi.TunnelView](t, s, "/devboxes/"+v.ID+"/enable_tunnel", `{"auth_mode":"authenticated"}`)
	require.NotEmpty(t, tunnel.AuthToken)
	label = "8080-" + tunnel.TunnelKey
	status, _, _ = s.through(t, true, label, "/")
	assert.Equal(t, 401, status)
	status, _, _ = s.through(t, true, label, "/", "Authorization", "Bearer x")
	assert.Equal(t, 401, status)
	for _, name := range []string{"Authorization", tunnelAuthHeader} {
		status, _, body := s.through(t, true, label, "/", name, "Bearer "+tunnel.AuthToken)
		assert.Equal(t, 200, status)
		assert.NotContains(t, body, tunnel.AuthToken, "the token is not for what runs in the devbox")
	}
	assert.NotEmpty(t, refused(t, s, 400, "POST", "/devboxes/"+v.ID+"/enable_tunnel", `{"auth_mode":"shut"}`))
}

func TestTunnelsSwitchProtocols(t *testing.T) {
	s := newLocal(t)
	v := newWeb(t, s, "{}")
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: 8080-"+v.Tunnel.TunnelKey+".tunnel.localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, 101, resp.StatusCode)
	for _, line := range []string{"one\n", "two\n"} {
		_, err = io.WriteString(conn, line)
		require.NoError(t, err)
		got, err := r.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, line, got)
	}
}

func TestWakeOnHTTP(t *testing.T) {
	s := newLocal(t)
	v := newWeb(t, s, `{"wake_on_http":true}`)
	asleep := newWeb(t, s, `{}`)
	for _, id := range []string{v.ID, asleep.ID} {
		post[none](t, s, "/devboxes/"+id+"/suspend", "")
		waitFor(t, s, id, runloopapi.DevboxSuspended)
	}
	status, header, _ := s.through(t, true, "8080-"+v.Tunnel.TunnelKey, "/")
	assert.Equal(t, 503, status)
	assert.Equal(t, "5", header.Get("Retry-After"))
	waitFor(t, s, v.ID, runloopapi.DevboxRunning)
	startWeb(t, s, v.ID)
	status, _, _ = s.through(t, true, "8080-"+v.Tunnel.TunnelKey, "/")
	assert.Equal(t, 200, status)
	status, _, _ = s.through(t, true, "8080-"+asleep.Tunnel.TunnelKey, "/")
	assert.Equal(t, 502, status)
	assert.Equal(t, runloopapi.DevboxSuspended, get[runloopapi.DevboxView](t, s, "/devboxes/"+asleep.ID).Status)
	refused(t, s, 400, "POST", "/devboxes/"+asleep.ID+"/enable_tunnel", "")
}

func TestSSHKeys(t *testing.T) {
	s := newLocal(t)
	v := newRunning(t, s, "")
	k := post[runloopapi.SSHKeyView](t, s, "/devboxes/"+v.ID+"/create_ssh_key", "")
	assert.Equal(t, v.ID, k.ID)
	signer, err := ssh.ParsePrivateKey([]byte(k.PrivateKey))
	require.NoError(t, err)
	client, err := ssh.Dial("tcp", k.URL, &ssh.ClientConfig{User: k.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	require.NoError(t, err)
	defer client.Close()
	session, err := client.NewSession()
	require.NoError(t, err)
	out, err := session.Output("echo over ssh")
	require.NoError(t, err)
	assert.Equal(t, "over ssh\n", string(out))
}

// pty asks something about a terminal, at a path below base, with a token.
func askPTY[T any](t *testing.T, s *Server, want int, base, token, method, path, body string) T {
	t.Helper()
	status, data := s.do(t, method, base+path, body, "Authorization", "Bearer "+token)
	require.Equal(t, want, status, data)
	var v T
	require.NoError(t, json.Unmarshal([]byte(data), &v))
	return v
}

// terminal is a client attached to a session.
type terminal struct {
	*websocket.Conn
	seen strings.Builder
}

// attach attaches to a session, and returns the status of the answer.
func attach(t *testing.T, s *Server, base, path, token string) (*terminal, int, error) {
	t.Helper()
	conn, resp, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(s.URL, "http")+base+path, //nolint:bodyclose // it has none
		&websocket.DialOptions{Subprotocols: []string{token}, HTTPClient: s.Client()})
	if err != nil {
		if resp == nil {
			return nil, 0, err
		}
		return nil, resp.StatusCode, err
	}
	return &terminal{Conn: conn}, resp.StatusCode, nil
}

// expect reads until the text was seen, after what was expected before.
func (c *terminal) expect(t *testing.T, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if _, after, ok := strings.Cut(c.seen.String(), text); ok {
			c.seen.Reset()
			c.seen.WriteString(after)
			return
		}
		_, data, err := c.Read(ctx)
		require.NoError(t, err, "%q was not seen in %q", text, c.seen.String())
		c.seen.Write(data)
	}
}

func (c *terminal) typed(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, c.Write(t.Context(), websocket.MessageBinary, []byte(text)))
}

func TestTerminals(t *testing.T) {
	s := newLocal(t)
	v := newRunning(t, s, "")
	access := post[runloopapi.PTYTunnelView](t, s, "/devboxes/"+v.ID+"/create_pty_tunnel", "")
	for _, base := range []string{"", "/tunnel/13-" + access.TunnelKey} {
		name := "s" + strings.Trim(base[:min(len(base), 7)], "/")
		c := askPTY[runloopapi.PTYConnectView](t, s, 200, base, access.AuthToken, "GET", "/pty/"+name+"?cols=100&rows=30", "")
		assert.True(t, c.Created)
		assert.False(t, c.Attached)
		assert.EqualValues(t, 100, c.Cols)
		assert.EqualValues(t, 30, c.Rows)
		assert.Equal(t, "/pty/"+name+"/attach", c.ConnectURL)

		term, _, err := attach(t, s, base, c.ConnectURL, access.AuthToken)
		require.NoError(t, err)
		assert.Equal(t, access.AuthToken, term.Subprotocol())
		term.typed(t, "stty size; X=kept; pwd\n")
		term.expect(t, "30 100\r\n/home/user\r\n")

		_, status, err := attach(t, s, base, c.ConnectURL, access.AuthToken)
		require.Error(t, err)
		assert.Equal(t, 409, status, "one at a time")
		assert.True(t, askPTY[runloopapi.PTYConnectView](t, s, 200, base, access.AuthToken, "GET", "/pty/"+name, "").Attached)

		control := func(want int, body string) runloopapi.PTYControlView {
			return askPTY[runloopapi.PTYControlView](t, s, want, base, access.AuthToken, "POST", "/pty/"+name+"/control", body)
		}
		control(200, `{"action":"resize","cols":90,"rows":20}`)
		term.typed(t, "stty size\n")
		term.expect(t, "20 90\r\n")
		control(400, `{"action":"resize","cols":0,"rows":20}`)
		control(400, `{"action":"signal","signal":"SIGNOTHING"}`)
		control(400, `{"action":"dance"}`)

		require.NoError(t, term.Close(websocket.StatusNormalClosure, ""))
		require.Eventually(t, func() bool {
			return !askPTY[runloopapi.PTYConnectView](t, s, 200, base, access.AuthToken, "GET", "/pty/"+name, "").Attached
		}, time.Minute, time.Millisecond)
		term, _, err = attach(t, s, base, c.ConnectURL, access.AuthToken)
		require.NoError(t, err)
		term.typed(t, "echo \"still $X\"\n")
		term.expect(t, "still kept\r\n")
		term.typed(t, "exit\n")
		for err == nil {
			_, _, err = term.Read(t.Context())
		}
		assert.EqualValues(t, 4000, websocket.CloseStatus(err), "%v", err)
		require.Eventually(t, func() bool {
			status, _ := s.do(t, "POST", base+"/pty/"+name+"/control", `{"action":"close"}`, "Authorization", "Bearer "+access.AuthToken)
			return status == 404
		}, time.Minute, time.Millisecond)
	}
	again := askPTY[runloopapi.PTYConnectView](t, s, 200, "", access.AuthToken, "GET", "/pty/s", "")
	assert.True(t, again.Created, "the one before has ended")
	assert.Equal(t, "closed", askPTY[runloopapi.PTYControlView](t, s, 200, "", access.AuthToken, "POST", "/pty/s/control", `{"action":"close"}`).Status)
	askPTY[none](t, s, 401, "", "wrong", "GET", "/pty/s", "")
	askPTY[none](t, s, 400, "", access.AuthToken, "GET", "/pty/a%20b", "")
	askPTY[none](t, s, 404, "", access.AuthToken, "POST", "/pty/none/control", `{"action":"close"}`)
}

func TestEvictions(t *testing.T) {
	s := newStub(t)
	v, w := newRunning(t, s, ""), newRunning(t, s, "")
	require.NoError(t, s.Evict(v.ID, time.Hour))
	resp, err := s.send(t.Context(), "GET", "/v1/devboxes/evictions/watch", "")
	require.NoError(t, err)
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	next := func() (e runloopapi.EvictionEvent) {
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &e))
		_, err = r.ReadString('\n')
		require.NoError(t, err)
		return e
	}
	assert.Equal(t, v.ID, next().DevboxID, "pending ones are told again")
	require.NoError(t, s.Evict(w.ID, 0))
	e := next()
	assert.Equal(t, w.ID, e.DevboxID)
	assert.WithinDuration(t, time.Now(), e.Deadline.Time(), time.Minute)
	waitFor(t, s, w.ID, runloopapi.DevboxShutdown)
	assert.Error(t, s.Evict(w.ID, 0))
	assert.Error(t, s.Evict("dbx_x", 0))
}

func TestSecureTunnels(t *testing.T) {
	s := newLocal(t, WithTLS())
	v := newWeb(t, s, "{}")
	status, _, body := s.through(t, true, "8080-"+v.Tunnel.TunnelKey, "/")
	assert.Equal(t, 200, status)
	assert.Contains(t, body, "X-Forwarded-Proto: https")
	conf := s.trust.Clone()
	conf.ServerName = "8080-" + v.Tunnel.TunnelKey + ".tunnel.localhost"
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), conf)
	require.NoError(t, err, "the certificate is for tunnels too")
	conn.Close()
}
