//go:build linux

package local_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// A session is a person at a terminal.
type session struct {
	t    *testing.T
	p    compute.Process
	keys io.WriteCloser
	mu   sync.Mutex
	seen bytes.Buffer
}

func (s *session) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.Write(b)
}

// startSession starts a command on a terminal.
func startSession(t *testing.T, sb compute.Sandbox, cmd *compute.Command) *session {
	t.Helper()
	s := &session{t: t}
	cmd.TTY, cmd.OpenStdin, cmd.Stdout = &compute.TTY{Rows: 30, Cols: 100}, true, s
	var err error
	s.p, err = compute.Start(t.Context(), sb, cmd)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.p.Kill(context.Background())) })
	s.keys, err = compute.OpenStdin(t.Context(), s.p)
	require.NoError(t, err)
	return s
}

func (s *session) typeIn(keys string) {
	s.t.Helper()
	_, err := io.WriteString(s.keys, keys)
	require.NoError(s.t, err)
}

// see waits for a text, and forgets what came up to it.
func (s *session) see(text string) string {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		s.mu.Lock()
		all := s.seen.String()
		before, after, ok := strings.Cut(all, text)
		if ok {
			s.seen.Reset()
			s.seen.WriteString(after)
		}
		s.mu.Unlock()
		if ok {
			return before
		}
		if time.Now().After(deadline) {
			require.FailNow(s.t, "not on the terminal", "%q in %q", text, all)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// end waits for the command to end.
func (s *session) end() (*compute.Result, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	return s.p.Wait(ctx)
}

// newSession is one with a shell.
func newSession(t *testing.T, sb compute.Sandbox) *session {
	t.Helper()
	s := startSession(t, sb, &compute.Command{Args: []string{"sh", "-i"}, Env: map[string]string{"PS1": "ready> ", "ENV": ""}})
	s.see("ready> ")
	return s
}

func TestTerminalJobControl(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	s := newSession(t, sb)
	s.typeIn("tty\n")
	s.see("/dev/pts/")
	s.see("ready> ")
	for name, key := range map[string]string{"Ctrl-C": "\x03", `Ctrl-\`: "\x1c"} {
		s.typeIn("sh -c 'echo slee''ping; exec sleep 60'\n")
		s.see("sleeping")
		s.typeIn(key)
		s.see("ready> ")
		s.typeIn("echo code:$?\n")
		assert.Contains(t, s.see("ready> "), "code:1", name) // 130 or 131
	}
	s.typeIn("sh -c 'echo slee''ping; exec sleep 61'\n")
	s.see("sleeping")
	s.typeIn("\x1a") // Ctrl-Z
	s.see("ready> ")
	s.typeIn("jobs; ps -o stat= -C sleep\n")
	out := s.see("ready> ")
	assert.Contains(t, out, "Stopped")
	assert.Contains(t, out, "\nT")
	s.typeIn("bg %1\n")
	s.see("ready> ")
	s.typeIn("ps -o stat= -C sleep\n")
	assert.Contains(t, s.see("ready> "), "\nS")
	s.typeIn("fg %1\n")
	s.see("sleep 61")
	s.typeIn("\x03")
	s.see("ready> ")
	s.typeIn("cat &\n") // reads the terminal from the background
	s.see("ready> ")
	for out = ""; !strings.Contains(out, "Stopped"); out = s.see("ready> ") {
		s.typeIn("sleep 0.1; jobs\n")
	}
	s.typeIn("kill -9 %1; while kill -0 %1 2>/dev/null; do sleep 0.02; done\n") // or the shell stays for its job
	s.see("ready> ")
	s.typeIn("exit 7\n")
	res, err := s.end()
	require.NoError(t, err)
	assert.Equal(t, 7, res.ExitCode)
}

func TestTerminalRaw(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	s := startSession(t, sb, compute.Shell("stty raw -echo; echo ready; dd bs=1 count=6 2>/dev/null | od -An -tx1; stty sane; echo over; cat"))
	s.see("ready")
	s.typeIn("\x03\x04\r\x1b\x00\xff") // keys that mean something elsewhere
	assert.Contains(t, s.see("over"), "03 04 0d 1b 00 ff")
	s.typeIn("echo\n")
	s.see("echo\r\necho\r\n")
	s.typeIn("\x04")
	res, err := s.end()
	require.NoError(t, err)
	assert.Zero(t, res.ExitCode)
}

func TestTerminalEditor(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	if script(t, sb, "command -v vi").ExitCode != 0 {
		t.Skip("no vi on this machine")
	}
	s := startSession(t, sb, compute.Exec("vi", "-u", "NONE", "f"))
	s.see("~")
	s.typeIn("ihello\x1b:wq\r")
	res, err := s.end()
	require.NoError(t, err)
	require.Zero(t, res.ExitCode)
	data, err := sb.Filesystem().ReadFile(t.Context(), "f")
	require.NoError(t, err)
	assert.Equal(t, "hello\n", string(data))
}

func TestTerminalWindowChange(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	s := startSession(t, sb, compute.Shell("trap 'stty size' WINCH; stty size; while :; do sleep 0.02; done"))
	s.see("30 100")
	for _, size := range []compute.TTY{{Rows: 50, Cols: 200}, {Rows: 1, Cols: 1}, {}} {
		require.NoError(t, compute.Resize(t.Context(), s.p, size))
		s.see(map[int]string{50: "50 200", 1: "1 1", 0: "24 80"}[size.Rows])
	}
}

// All that a command has on its terminal goes with it when its context ends.
func TestTerminalHangup(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		cmd := &compute.Command{Script: "trap '' HUP INT TERM; sleep 60 & echo >up; cat", TTY: &compute.TTY{}, Stdin: never{}}
		_, err := sb.RunCommand(ctx, cmd)
		failed <- err
	}()
	waitFor(t, sb, "up")
	cancel()
	assert.ErrorIs(t, <-failed, context.Canceled)
	assert.Equal(t, "none\n", script(t, sb, "pgrep -x 'sleep|cat' || echo none").Stdout)
	// A shell that ends hangs up on what it has in the foreground and spares the rest.
	s := newSession(t, sb)
	s.typeIn("(trap '' HUP; sleep 62) & sleep 0.1; exit\n")
	_, err := s.end()
	require.NoError(t, err)
	assert.NotEmpty(t, script(t, sb, "pgrep -x sleep").Stdout, "what was left in the background")
}

// never is an input that nobody types.
type never struct{}

func (never) Read([]byte) (int, error) { select {} }

func TestTerminalPaste(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	lines := strings.Repeat(strings.Repeat("x", 99)+"\n", 5000)
	for name, c := range map[string]struct {
		script, in string
		out        func(string) bool
	}{
		"read and echoed": {"cat >f; wc -c <f", lines, func(s string) bool { return strings.Contains(s, "500000\n") }}, // of the echo the kernel drops what is not read in time
		"printed back":    {"stty -echo; echo >go; cat", lines, func(s string) bool { return strings.Count(s, "x") > 490_000 }},
		"not read":        {"sleep 0.5; echo over", lines, func(s string) bool { return strings.Contains(s, "over") }},
		"raw and not read": {"stty raw -echo; sleep 0.5; stty sane; echo over", lines,
			func(s string) bool { return strings.Contains(s, "over") }},
		"one long line": {"sleep 0.2; head -c 10 | wc -c; echo over", strings.Repeat("x", 1<<20) + "\n", func(s string) bool { return strings.Contains(s, "over") }},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			res, err := sb.RunCommand(ctx, &compute.Command{Script: c.script, TTY: &compute.TTY{}, Stdin: strings.NewReader(c.in)})
			require.NoError(t, err)
			out := strings.ReplaceAll(res.Stdout, "\r\n", "\n")
			assert.True(t, c.out(out), "%d bytes, the last are %q", len(out), out[max(0, len(out)-100):])
		})
	}
}

// Programs inside can make terminals, too.
func TestTerminalInside(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	if script(t, sb, "command -v script").ExitCode != 0 {
		t.Skip("no script on this machine")
	}
	res := script(t, sb, "script -qec 'tty; stty size; echo yes >/dev/tty' /dev/null")
	assert.Contains(t, res.Stdout, "/dev/pts/")
	assert.Contains(t, res.Stdout, "yes")
}
