//go:build linux

package local_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// sshConnect is what a user of the access would do.
func sshConnect(a *compute.SSHAccess) (*ssh.Client, error) {
	key, err := ssh.ParsePrivateKey(a.PrivateKey)
	if err != nil {
		return nil, err
	}
	host, _, _, _, err := ssh.ParseAuthorizedKey(a.HostKey)
	if err != nil {
		return nil, err
	}
	return ssh.Dial("tcp", a.Address, &ssh.ClientConfig{User: a.User, Timeout: 30 * time.Second,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(host)})
}

func sshClient(t *testing.T, sb compute.Sandbox) *ssh.Client {
	t.Helper()
	access, err := compute.SSH(t.Context(), sb)
	require.NoError(t, err)
	c, err := sshConnect(access)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func sshSession(t *testing.T, c *ssh.Client) (s *ssh.Session, stdout, stderr *bytes.Buffer) {
	t.Helper()
	s, err := c.NewSession()
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	s.Stdout, s.Stderr = stdout, stderr
	return s, stdout, stderr
}

func sshSandbox(t *testing.T) (*local.Provider, compute.Sandbox) {
	t.Helper()
	p := newLocal(t, t.TempDir(), local.Namespaces)
	return p, computetest.NewSandbox(t, p, &compute.CreateSandboxOptions{Env: map[string]string{"OF": "the sandbox"}})
}

func TestSSHExec(t *testing.T) {
	_, sb := sshSandbox(t)
	c := sshClient(t, sb)
	s, stdout, stderr := sshSession(t, c)
	require.NoError(t, s.Setenv("GREETING", "hello"))
	assert.Error(t, s.Setenv("not a name", "x"))
	assert.Error(t, s.Setenv("BIG", strings.Repeat("x", 200<<10)))
	s.Stdin = strings.NewReader("typed")
	exit := &ssh.ExitError{}
	require.ErrorAs(t, s.Run("echo $GREETING $OF $(id -un) $PWD; cat; echo bad >&2; exit 7"), &exit)
	assert.Equal(t, 7, exit.ExitStatus())
	assert.Equal(t, "hello the sandbox root /workspace\ntyped", stdout.String())
	assert.Equal(t, "bad\n", stderr.String())

	const size = 5 << 20 // more than any window or buffer
	s, stdout, _ = sshSession(t, c)
	s.Stdin = bytes.NewReader(make([]byte, size))
	require.NoError(t, s.Run("cat"))
	assert.Equal(t, size, stdout.Len())

	s, _, _ = sshSession(t, c)
	in, err := s.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, s.Start("true"))
	assert.NoError(t, s.Wait(), "its input is still open")
	in.Close()

	s, _, _ = sshSession(t, c)
	require.Error(t, s.Start("a\x00b"))
	s, _, _ = sshSession(t, c)
	assert.Error(t, s.RequestSubsystem("unknown"))
}

func TestSSHSignals(t *testing.T) {
	_, sb := sshSandbox(t)
	c := sshClient(t, sb)
	s, _, _ := sshSession(t, c)
	screen := &watched{}
	s.Stdout = screen
	require.NoError(t, s.Start(`trap 'echo told' USR1 HUP; echo ready; while :; do sleep 0.02; done`))
	screen.await(t, "ready")
	require.NoError(t, s.Signal(ssh.SIGHUP))
	screen.await(t, "told")
	require.NoError(t, s.Signal(ssh.SIGTERM))
	exit := &ssh.ExitError{}
	require.ErrorAs(t, s.Wait(), &exit)
	assert.Equal(t, "TERM", exit.Signal())
	s, _, _ = sshSession(t, c)
	require.ErrorAs(t, s.Run("kill -KILL $$"), &exit)
	assert.Equal(t, "KILL", exit.Signal())
}

func TestSSHTerminal(t *testing.T) {
	_, sb := sshSandbox(t)
	c := sshClient(t, sb)
	s, stdout, _ := sshSession(t, c)
	require.NoError(t, s.RequestPty("vt100", 30, 90, ssh.TerminalModes{}))
	require.NoError(t, s.WindowChange(40, 100))
	s.Stdin = strings.NewReader("stty size; echo $TERM; echo err >&2; tty; exit 3\n")
	require.NoError(t, s.Shell())
	exit := &ssh.ExitError{}
	require.ErrorAs(t, s.Wait(), &exit)
	assert.Equal(t, 3, exit.ExitStatus())
	for _, want := range []string{"40 100\r\n", "vt100\r\n", "err\r\n", "/dev/pts/"} {
		assert.Contains(t, stdout.String(), want)
	}

	// A size that changes while a command runs, and an interrupt that is typed.
	s, _, _ = sshSession(t, c)
	screen := &watched{}
	s.Stdout = screen
	require.NoError(t, s.RequestPty("xterm", 24, 80, ssh.TerminalModes{}))
	in, err := s.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, s.Start(`trap 'stty size' WINCH; trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.02; done`))
	screen.await(t, "ready")
	require.NoError(t, s.WindowChange(11, 22))
	screen.await(t, "11 22")
	_, err = in.Write([]byte{3})
	require.NoError(t, err)
	require.ErrorAs(t, s.Wait(), &exit)
	assert.Equal(t, 5, exit.ExitStatus())
	assert.Contains(t, screen.String(), "interrupted")
}

func TestSSHForwards(t *testing.T) {
	_, sb := sshSandbox(t)
	c := sshClient(t, sb)
	scripted(t, sb, 8080, `print $c "HTTP/1.0 200 OK\r\n\r\nforwarded"`)
	for _, address := range []string{"localhost:8080", "127.0.0.1:8080", "0.0.0.0:8080"} {
		conn, err := c.Dial("tcp", address)
		require.NoError(t, err, address)
		fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
		all, err := io.ReadAll(conn)
		require.NoError(t, err)
		assert.Contains(t, string(all), "forwarded")
		conn.Close()
	}
	outer := listenOutside(t, outsideHost)
	for _, address := range []string{outer.Addr().String(), "example.com:80", "169.254.169.254:80", "localhost:9"} {
		_, err := c.Dial("tcp", address)
		assert.Error(t, err, address) // loopback is the sandbox's, where nobody listens
	}
	_, err := c.Listen("tcp", "127.0.0.1:0")
	assert.Error(t, err, "nothing listens outside for it")

	p, err := compute.Start(t.Context(), sb, compute.Exec("perl", "-MIO::Socket::UNIX", "-e",
		`my $s = IO::Socket::UNIX->new(Local => "/tmp/s", Listen => 1); my $c = $s->accept; print $c "by name"`))
	require.NoError(t, err)
	defer p.Kill(t.Context())
	require.Eventually(t, func() bool {
		conn, err := c.Dial("unix", "/tmp/s")
		if err != nil {
			return false
		}
		all, _ := io.ReadAll(conn)
		return string(all) == "by name"
	}, 20*time.Second, 10*time.Millisecond)
}

func TestSSHKeysAreTheSandboxsOwn(t *testing.T) {
	p, sb := sshSandbox(t)
	other := computetest.NewSandbox(t, p, nil)
	access, err := compute.SSH(t.Context(), sb)
	require.NoError(t, err)
	again, err := compute.SSH(t.Context(), sb)
	require.NoError(t, err)
	assert.Equal(t, access, again)
	foreign, err := compute.SSH(t.Context(), other)
	require.NoError(t, err)
	assert.NotEqual(t, access.HostKey, foreign.HostKey)
	foreign.HostKey, foreign.Address = access.HostKey, access.Address
	_, err = sshConnect(foreign)
	assert.ErrorContains(t, err, "unable to authenticate")
	access.User = "nobody"
	_, err = sshConnect(access)
	assert.ErrorContains(t, err, "unable to authenticate")
}

func TestSSHEnds(t *testing.T) {
	for name, end := range map[string]func(p *local.Provider, sb compute.Sandbox) error{
		"with the sandbox":  func(_ *local.Provider, sb compute.Sandbox) error { return sb.Destroy(t.Context()) },
		"with suspension":   func(_ *local.Provider, sb compute.Sandbox) error { return compute.Suspend(t.Context(), sb) },
		"with the provider": func(p *local.Provider, _ compute.Sandbox) error { return p.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			p, sb := sshSandbox(t)
			access, err := compute.SSH(t.Context(), sb)
			require.NoError(t, err)
			c, err := sshConnect(access)
			require.NoError(t, err)
			s, err := c.NewSession()
			require.NoError(t, err)
			require.NoError(t, s.Start("sleep 1000"))
			silent, err := net.Dial("tcp", access.Address) // never shakes hands
			require.NoError(t, err)
			defer silent.Close()
			begin := time.Now()
			require.NoError(t, end(p, sb))
			assert.Less(t, time.Since(begin), 10*time.Second)
			missing := &ssh.ExitMissingError{}
			assert.ErrorAs(t, s.Wait(), &missing)
			assert.Error(t, c.Wait())
			require.NoError(t, silent.SetDeadline(time.Now().Add(10*time.Second)))
			_, err = io.Copy(io.Discard, silent)
			assert.NotErrorIs(t, err, os.ErrDeadlineExceeded)
			_, err = net.Dial("tcp", access.Address)
			assert.Error(t, err)
			_, err = compute.SSH(t.Context(), sb)
			assert.Error(t, err)
		})
	}
}

// What a connection has started ends with it.
func TestSSHCommandEndsWithItsClient(t *testing.T) {
	_, sb := sshSandbox(t)
	c := sshClient(t, sb)
	s, _, _ := sshSession(t, c)
	require.NoError(t, s.Start("echo $$ > pid; sleep 1000"))
	var pid string
	require.Eventually(t, func() bool {
		data, err := sb.Filesystem().ReadFile(t.Context(), "pid")
		pid = strings.TrimSpace(string(data))
		return err == nil && pid != ""
	}, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool {
		ok, err := compute.Exists(t.Context(), sb.Filesystem(), "/proc/"+pid)
		return err == nil && !ok
	}, 20*time.Second, 10*time.Millisecond)
}

// watched is a writer whose content can be waited for.
type watched struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

func (w *watched) await(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(w.String(), text) }, 20*time.Second, 5*time.Millisecond,
		"waiting for %q", text)
}
