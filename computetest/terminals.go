package computetest

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var processInput = group{"ProcessInput", []check{
	{"Written", inputWritten},
	{"FromElsewhere", inputElsewhere},
	{"NotOpened", inputNotOpened},
	{"WithStdin", inputTwice},
}}

// startOpen starts a script with its input open.
func (t *tester) startOpen(sb compute.Sandbox, script string) compute.Process {
	t.Helper()
	t.needShell()
	cmd := compute.Shell(script)
	cmd.OpenStdin = true
	p, err := compute.Start(t.ctx(), sb, cmd)
	t.able("StdinOpener", err)
	return p
}

func (t *tester) openStdin(p compute.Process) io.WriteCloser {
	t.Helper()
	w, err := compute.OpenStdin(t.ctx(), p)
	t.able("StdinOpener", err)
	return w
}

func inputWritten(t *tester) {
	p := t.startOpen(t.sandbox(nil), `while read -r line; do echo "<$line>"; done; echo end`)
	w := t.openStdin(p)
	for _, line := range []string{"one\n", "it's ", "two\n"} {
		_, err := io.WriteString(w, line)
		require.NoError(t, err, "Write")
	}
	require.NoError(t, w.Close(), "Close")
	assert.Equal(t, "<one>\n<it's two>\nend\n", t.wait(p).Stdout)
}

// inputElsewhere: losing the connection does not end the input, so another
// handle can go on.
func inputElsewhere(t *tester) {
	sb := t.sandbox(nil)
	p := t.startOpen(sb, `while read -r line; do echo "<$line>"; done; echo end`)
	ctx, cancel := context.WithCancel(t.ctx())
	w, err := compute.OpenStdin(ctx, p)
	t.able("StdinOpener", err)
	_, err = io.WriteString(w, "one\n")
	require.NoError(t, err, "Write")
	cancel()
	q, err := compute.GetProcess(t.ctx(), sb, p.ID())
	t.able("ProcessGetter", err)
	w = t.openStdin(q)
	_, err = io.WriteString(w, "two\n")
	require.NoError(t, err, "Write")
	require.NoError(t, w.Close(), "Close")
	assert.Equal(t, "<one>\n<two>\nend\n", t.wait(q).Stdout)
}

func inputNotOpened(t *tester) {
	p := t.start(t.sandbox(nil), compute.Exec("sleep", "60"))
	_, err := compute.OpenStdin(t.ctx(), p)
	if !t.lacks(err) {
		assert.ErrorIs(t, err, compute.ErrConflict, "OpenStdin of a process without")
	}
	require.NoError(t, p.Kill(t.ctx()), "Kill")
}

func inputTwice(t *tester) {
	cmd := compute.Exec("cat")
	cmd.OpenStdin, cmd.Stdin = true, strings.NewReader("x")
	_, err := compute.Start(t.ctx(), t.sandbox(nil), cmd)
	assert.ErrorIs(t, err, compute.ErrInvalid, "OpenStdin and a Stdin")
}

var shells = group{"Shells", []check{
	{"KeepsItsState", shellState},
	{"FoundByName", shellByName},
	{"OutcomesAndOutput", shellOutcomes},
	{"Close", shellClose},
}}

func (t *tester) shell(sb compute.Sandbox, name string) compute.ShellSession {
	t.Helper()
	t.needShell()
	s, err := compute.OpenShell(t.ctx(), sb, name)
	t.able("ShellOpener", err)
	t.Cleanup(func() { assert.NoError(t, s.Close(t.background()), "Close") })
	return s
}

func shellState(t *tester) {
	sb := t.sandbox(nil)
	s := t.shell(sb, "main")
	t.sh(s, `mkdir -p "it's" && cd "it's" && V='$x' && f() { echo "f:$1"; }`)
	assert.Equal(t, t.here(sb)+"/it's\n$x\nf:a\n", t.sh(s, `pwd; echo "$V"; f a`))
	assert.Equal(t, t.here(sb)+"\n", t.sh(sb, "pwd"), "other commands are not touched by a shell")
}

func shellByName(t *tester) {
	sb := t.sandbox(nil)
	t.sh(t.shell(sb, "it's a"), "V=a")
	t.sh(t.shell(sb, "b"), "V=b")
	assert.Equal(t, "a\n", t.sh(t.shell(sb, "it's a"), `echo "$V"`))
	again, err := t.c.GetSandbox(t.ctx(), sb.ID())
	require.NoError(t, err, "GetSandbox")
	assert.Equal(t, "b\n", t.sh(t.shell(again, "b"), `echo "$V"`))
}

func shellOutcomes(t *tester) {
	s := t.shell(t.sandbox(nil), "main")
	res := t.run(s, compute.Shell("echo out; echo err >&2; false"))
	assert.Equal(t, "out\n", res.Stdout)
	assert.Equal(t, "err\n", res.Stderr)
	assert.Equal(t, 1, res.ExitCode)
	assert.Empty(t, t.sh(s, "cat"), "a shell's commands have no input of the shell's")
	ctx := t.ctx()
	require.NoError(t, all(4, func(int) error {
		_, err := s.RunCommand(ctx, compute.Shell("N=$((N+1))"))
		return err
	}))
	assert.Equal(t, "4\n", t.sh(s, `echo "$N"`), "commands run one after the other")
}

func shellClose(t *tester) {
	sb := t.sandbox(nil)
	s := t.shell(sb, "main")
	t.sh(s, "V=old; ("+beat+") >/dev/null 2>&1 &")
	t.eventually("the child beats", func() bool { return t.exists(sb, "beat") })
	for range 2 {
		require.NoError(t, s.Close(t.ctx()), "Close is idempotent")
	}
	t.requireQuiet(sb)
	assert.Equal(t, "<>\n", t.sh(t.shell(sb, "main"), `echo "<$V>"`), "a new shell of that name")
}

var terminal = group{"Terminal", []check{
	{"Size", terminalSize},
	{"MergesStderr", terminalMerges},
	{"EndsInput", terminalInput},
	{"Resize", terminalResize},
	{"ResizeWithout", resizeWithout},
}}

// onTerminal runs a script on a terminal, or skips the check.
func (t *tester) onTerminal(script string, size compute.TTY, in io.Reader) string {
	t.Helper()
	t.needShell()
	cmd := compute.Shell(script)
	cmd.TTY, cmd.Stdin = &size, in
	res, err := t.sandbox(nil).RunCommand(t.ctx(), cmd)
	t.able("Resizer", err)
	require.NoError(t, res.Err())
	return strings.ReplaceAll(res.Stdout, "\r\n", "\n")
}

// needStty skips a check where the size of a terminal cannot be seen.
func (t *tester) needStty() {
	t.Helper()
	if t.sh(t.sandbox(nil), "command -v stty || true") == "" {
		t.Skip("no stty in the sandbox")
	}
}

func terminalSize(t *tester) {
	t.needStty()
	assert.Contains(t, t.onTerminal("stty size", compute.TTY{Rows: 10, Cols: 40}, nil), "10 40")
	assert.Contains(t, t.onTerminal("stty size", compute.TTY{}, nil), "24 80")
}

func terminalMerges(t *tester) {
	out := t.onTerminal("echo out; echo err >&2", compute.TTY{}, nil)
	assert.Contains(t, out, "out\nerr\n")
}

func terminalInput(t *tester) {
	assert.Contains(t, t.onTerminal("cat; echo end", compute.TTY{}, nil), "end\n", "a nil Stdin is end-of-file at once")
	out := t.onTerminal(`read -r line; echo "<$line>"; cat; echo end`, compute.TTY{}, strings.NewReader("typed\n"))
	assert.Contains(t, out, "<typed>\n")
	assert.Contains(t, out, "end\n")
}

func terminalResize(t *tester) {
	t.needStty()
	sb := t.sandbox(nil)
	cmd := compute.Shell("echo > ready; while [ ! -e go ]; do sleep 0.02; done; stty size")
	cmd.TTY = &compute.TTY{Rows: 10, Cols: 40}
	p, err := compute.Start(t.ctx(), sb, cmd)
	t.able("Resizer", err)
	t.eventually("the process runs", func() bool { return t.exists(sb, "ready") })
	t.able("Resizer", compute.Resize(t.ctx(), p, compute.TTY{Rows: 20, Cols: 60}))
	t.write(sb, "go", "")
	assert.Contains(t, t.wait(p).Stdout, "20 60")
}

func resizeWithout(t *tester) {
	p := t.start(t.sandbox(nil), compute.Exec("sleep", "60"))
	err := compute.Resize(t.ctx(), p, compute.TTY{Rows: 20, Cols: 60})
	if !t.lacks(err) {
		assert.ErrorIs(t, err, compute.ErrInvalid, "Resize of a process without a terminal")
	}
	require.NoError(t, p.Kill(t.ctx()), "Kill")
	_, err = p.Wait(t.timeout(t.slow(2 * time.Second)))
	require.NoError(t, err, "Wait")
}
