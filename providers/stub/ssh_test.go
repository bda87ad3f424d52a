package stub_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// sshConnect is what a user of the access would do.
func sshConnect(ctx context.Context, sb compute.Sandbox, a *compute.SSHAccess) (*ssh.Client, error) {
	key, err := ssh.ParsePrivateKey(a.PrivateKey)
	if err != nil {
		return nil, err
	}
	host, _, _, _, err := ssh.ParseAuthorizedKey(a.HostKey)
	if err != nil {
		return nil, err
	}
	raw, err := compute.Dial(ctx, sb, "tcp", a.Address)
	if err != nil {
		return nil, err
	}
	conn, channels, requests, err := ssh.NewClientConn(raw, a.Address, &ssh.ClientConfig{User: a.User,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(host)})
	if err != nil {
		raw.Close()
		return nil, err
	}
	return ssh.NewClient(conn, channels, requests), nil
}

func sshClient(t testing.TB, sb compute.Sandbox) *ssh.Client {
	t.Helper()
	access, err := compute.SSH(t.Context(), sb)
	require.NoError(t, err)
	c, err := sshConnect(t.Context(), sb, access)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func sshSession(t testing.TB, c *ssh.Client) (s *ssh.Session, stdout, stderr *bytes.Buffer) {
	t.Helper()
	s, err := c.NewSession()
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	s.Stdout, s.Stderr = stdout, stderr
	return s, stdout, stderr
}

func TestSSHExec(t *testing.T) {
	_, sb := newSandbox(t, stub.Config{})
	s, stdout, stderr := sshSession(t, sshClient(t, sb))
	require.NoError(t, s.Setenv("GREETING", "hello"))
	assert.Error(t, s.Setenv("not a name", "x"))
	assert.Error(t, s.Setenv("BIG", strings.Repeat("x", 200<<10)))
	s.Stdin = strings.NewReader("typed")
	err := s.Run("echo $GREETING $(whoami); cat; echo bad >&2; exit 7")
	exit := &ssh.ExitError{}
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 7, exit.ExitStatus())
	assert.Equal(t, "hello root\ntyped", stdout.String())
	assert.Equal(t, "bad\n", stderr.String())
}

func TestSSHMovesMuchData(t *testing.T) {
	_, sb := newSandbox(t, stub.Config{})
	c := sshClient(t, sb)
	const size = 5 << 20 // more than any window or buffer
	s, stdout, _ := sshSession(t, c)
	s.Stdin = bytes.NewReader(make([]byte, size))
	require.NoError(t, s.Run("cat"))
	assert.Equal(t, size, stdout.Len())
	s, _, _ = sshSession(t, c)
	in, err := s.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, s.Start("true"))
	_, err = in.Write(make([]byte, size))
	assert.ErrorIs(t, err, io.EOF, "nobody reads it")
	assert.NoError(t, s.Wait())
}

func TestSSHShellOnATerminal(t *testing.T) {
	_, sb := newSandbox(t, stub.Config{})
	s, stdout, _ := sshSession(t, sshClient(t, sb))
	require.NoError(t, s.RequestPty("xterm", 30, 90, ssh.TerminalModes{}))
	require.NoError(t, s.WindowChange(40, 100))
	s.Stdin = strings.NewReader("stty size; echo $TERM; echo err >&2; exit 3\n")
	require.NoError(t, s.Shell())
	exit := &ssh.ExitError{}
	require.ErrorAs(t, s.Wait(), &exit)
	assert.Equal(t, 3, exit.ExitStatus())
	assert.Equal(t, "40 100\nxterm\nerr\n", strings.ReplaceAll(stdout.String(), "\r", ""))
}

func TestSSHRefuses(t *testing.T) {
	_, sb := newSandbox(t, stub.Config{})
	c := sshClient(t, sb)
	_, err := c.Dial("tcp", "127.0.0.1:80")
	assert.ErrorContains(t, err, "sessions only")
	s, _, _ := sshSession(t, c)
	assert.Error(t, s.RequestSubsystem("sftp"))
	assert.Error(t, s.Start(""))
	open, input := io.Pipe()
	defer input.Close()
	s.Stdin = open // or cat ends
	require.NoError(t, s.Start("cat"))
	ok, err := s.SendRequest("exec", true, ssh.Marshal(struct{ C string }{"echo"}))
	require.NoError(t, err)
	assert.False(t, ok, "a second command")
	access, err := compute.SSH(t.Context(), sb)
	require.NoError(t, err)
	access.User = "nobody"
	_, err = sshConnect(t.Context(), sb, access)
	assert.ErrorContains(t, err, "unable to authenticate")
}

func TestSSHKeysAreTheSandboxsOwn(t *testing.T) {
	p, sb := newSandbox(t, stub.Config{})
	other, err := p.CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	access, err := compute.SSH(t.Context(), sb)
	require.NoError(t, err)
	again, err := compute.SSH(t.Context(), sb)
	require.NoError(t, err)
	assert.Equal(t, access, again)
	foreign, err := compute.SSH(t.Context(), other)
	require.NoError(t, err)
	assert.NotEqual(t, access.HostKey, foreign.HostKey)
	foreign.HostKey = access.HostKey
	_, err = sshConnect(t.Context(), sb, foreign)
	assert.ErrorContains(t, err, "unable to authenticate")
	raw, err := ssh.ParseRawPrivateKey(access.PrivateKey)
	require.NoError(t, err)
	assert.IsType(t, &ed25519.PrivateKey{}, raw)
}

func TestSSHEndsWithTheSandbox(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	p := stub.New(stub.Config{})
	sb, err := p.CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	access, err := compute.SSH(t.Context(), sb)
	require.NoError(t, err)
	c, err := sshConnect(t.Context(), sb, access)
	require.NoError(t, err)
	s, err := c.NewSession()
	require.NoError(t, err)
	require.NoError(t, s.Start("sleep 1000"))
	silent, err := compute.Dial(t.Context(), sb, "tcp", access.Address) // never shakes hands
	require.NoError(t, err)
	begin := time.Now()
	require.NoError(t, sb.Destroy(t.Context()))
	assert.Less(t, time.Since(begin), 5*time.Second)
	assert.Error(t, s.Wait())
	assert.Error(t, c.Wait())
	_, err = io.ReadAll(silent)
	assert.ErrorIs(t, err, io.ErrClosedPipe)
	_, err = compute.SSH(t.Context(), sb)
	assert.ErrorIs(t, err, compute.ErrNotFound)
}

func TestSSHCommandEndsWithItsClient(t *testing.T) {
	started, ended := make(chan struct{}), make(chan struct{})
	program := func(ctx context.Context, _ *stub.Proc) int {
		defer close(ended)
		close(started)
		<-ctx.Done()
		return 1
	}
	_, sb := newSandbox(t, stub.Config{Programs: map[string]stub.Program{"hang": program}})
	c := sshClient(t, sb)
	s, stdout, _ := sshSession(t, c)
	require.NoError(t, s.Start("hang"))
	s2, stdout2, _ := sshSession(t, c)
	require.NoError(t, s2.Run("echo beside it"))
	assert.Equal(t, "beside it\n", stdout2.String())
	<-started
	require.NoError(t, c.Close())
	<-ended
	assert.Error(t, s.Wait())
	assert.Empty(t, stdout.String())
}

func TestSSHAfterSuspension(t *testing.T) {
	_, sb := newSandbox(t, stub.Config{})
	access, err := compute.SSH(t.Context(), sb)
	require.NoError(t, err)
	old := sshClient(t, sb)
	require.NoError(t, compute.Suspend(t.Context(), sb))
	assert.Error(t, old.Wait())
	_, err = compute.SSH(t.Context(), sb)
	assert.ErrorIs(t, err, compute.ErrConflict)
	require.NoError(t, compute.Resume(t.Context(), sb))
	_, err = compute.Dial(t.Context(), sb, "tcp", access.Address)
	assert.Error(t, err, "not asked for yet")
	again, err := compute.SSH(t.Context(), sb)
	require.NoError(t, err)
	assert.Equal(t, access, again)
	s, stdout, _ := sshSession(t, sshClient(t, sb))
	require.NoError(t, s.Run("echo back"))
	assert.Equal(t, "back\n", stdout.String())
}

func TestSSHMeetsFaults(t *testing.T) {
	p, sb := newSandbox(t, stub.Config{})
	boom := errors.New("boom")
	for _, late := range []bool{false, true} {
		remove := p.Inject(stub.Fault{Op: "ssh", Err: boom, Late: late})
		_, err := compute.SSH(t.Context(), sb)
		assert.ErrorIs(t, err, boom)
		remove()
	}
	p.Inject(stub.Fault{Op: "run command", Err: boom})
	s, _, stderr := sshSession(t, sshClient(t, sb))
	missing := &ssh.ExitMissingError{}
	assert.ErrorAs(t, s.Run("true"), &missing)
	assert.Contains(t, stderr.String(), "boom")
}

func TestSSHPortIsTaken(t *testing.T) {
	listening := make(chan struct{})
	program := func(ctx context.Context, p *stub.Proc) int {
		l, err := p.Listen(22)
		if err != nil {
			return 1
		}
		defer l.Close()
		close(listening)
		<-ctx.Done()
		return 0
	}
	_, sb := newSandbox(t, stub.Config{Programs: map[string]stub.Program{"sshd": program}})
	_, err := compute.Start(t.Context(), sb, compute.Exec("sshd"))
	require.NoError(t, err)
	<-listening
	_, err = compute.SSH(t.Context(), sb)
	assert.ErrorIs(t, err, compute.ErrConflict)
}
