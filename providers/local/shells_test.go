//go:build linux

package local_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

func openShell(t *testing.T, sb compute.Sandbox, name string) compute.ShellSession {
	t.Helper()
	sh, err := compute.OpenShell(t.Context(), sb, name)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, sh.Close(context.Background())) })
	return sh
}

func runIn(t *testing.T, r compute.Runner, cmd *compute.Command) *compute.Result {
	t.Helper()
	res, err := r.RunCommand(t.Context(), cmd)
	require.NoError(t, err)
	return res
}

func TestShellCommands(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	sh := openShell(t, sb, "main")
	for _, c := range []struct {
		name, before string
		cmd          *compute.Command
		out, err     string
		code         int
	}{
		{"separate streams", "", compute.Shell("echo a; echo b >&2"), "a\n", "b\n", 0},
		{"the exit code of the last command", "(exit 7)", compute.Shell("echo $?"), "7\n", "", 0},
		{"zero after success", "true", compute.Shell("echo $?"), "0\n", "", 0},
		{"quotes", "", compute.Shell(`printf '%s' "it's" '"$x"' \\`), `it's"$x"\`, "", 0},
		{"here-document", "", compute.Shell("cat <<E\na'b\nE\n"), "a'b\n", "", 0},
		{"comment at the end", "", compute.Shell("echo a # b"), "a\n", "", 0},
		{"what looks like a status", "", compute.Shell("echo e9; echo o; false"), "e9\no\n", "", 1},
		{"a program, not the function of its name", "printf() { echo function; }", compute.Exec("printf", "%s", "it's"), "it's", "", 0},
		{"a program, not the builtin of its name", "cd /", compute.Exec("pwd"), "/\n", "", 0},
		{"exported variables", "export V='a b'; W=c", compute.Exec("sh", "-c", `echo "$V$W"`), "a b\n", "", 0},
		{"arguments are no text", "", compute.Exec("echo", "$(x)", "a\nb", "*", "'"), "$(x) a\nb * '\n", "", 0},
		{"a program that is not there", "", compute.Exec("no-such-program-42"), "", "not found", 127},
		{"an alias of a word that is used", `unset -f printf; alias command=false eval=false echo=false`, compute.Shell("printf ok"), "ok", "", 0},
		{"no inherited files", "", compute.Shell("unalias -a; ls /proc/self/fd | tr '\n' ' '"), "0 1 2 3 ", "", 0},
		{"redirected by the script", "", compute.Shell("exec >/dev/null; echo gone"), "", "", 0},
		{"and back", "", compute.Shell("echo here"), "here\n", "", 0},
		{"options", "set -f -C", compute.Shell("echo * >f; cat f"), "*\n", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before != "" {
				runIn(t, sh, compute.Shell(c.before))
			}
			res := runIn(t, sh, c.cmd)
			assert.Equal(t, c.out, res.Stdout)
			if c.err == "" {
				assert.Empty(t, res.Stderr)
			}
			assert.Contains(t, res.Stderr, c.err)
			assert.Equal(t, c.code, res.ExitCode)
		})
	}
}

func TestShellSurvivesErrors(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	sh := openShell(t, sb, "main")
	runIn(t, sh, compute.Shell("V=kept"))
	for _, script := range []string{"if then (", "echo 'open", "echo ${none?gone}", "readonly R=1; R=2", "cd /none", ". /none", "unset PATH; ls"} {
		assert.NotZero(t, runIn(t, sh, compute.Shell(script)).ExitCode, script)
		assert.Equal(t, "kept\n", runIn(t, sh, compute.Shell("echo $V")).Stdout, script)
	}
}

func TestShellStreams(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	sh := openShell(t, sb, "main")
	data := bytes.Repeat([]byte("0123456789abcdef\x00\xff\n"), 100_000)
	var out bytes.Buffer
	res := runIn(t, sh, &compute.Command{Script: "cat; echo $? >&2", Stdin: bytes.NewReader(data), Stdout: &out})
	assert.True(t, bytes.Equal(data, out.Bytes()), "%d of %d bytes", out.Len(), len(data))
	assert.Equal(t, "0\n", res.Stderr)
	script := ": '" + strings.Repeat("x", 1<<20) + "'; echo long"
	assert.Equal(t, "long\n", runIn(t, sh, compute.Shell(script)).Stdout)
	for range 30 { // an end of file must not come before the shell has opened its input
		assert.Equal(t, "in", runIn(t, sh, &compute.Command{Args: []string{"cat"}, Stdin: strings.NewReader("in")}).Stdout)
		assert.Empty(t, runIn(t, sh, &compute.Command{Args: []string{"cat"}, Stdin: strings.NewReader("")}).Stdout)
	}
	res = runIn(t, sh, &compute.Command{Script: "true", Stdin: bytes.NewReader(data)})
	assert.Zero(t, res.ExitCode, "input that nobody reads")
}

// What an earlier command has left behind is not in the output of a later one.
func TestShellBackground(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	sh := openShell(t, sb, "main")
	runIn(t, sh, compute.Shell("(while :; do echo noise; echo >> beat; sleep 0.01; done) & "))
	for range 5 {
		assert.Equal(t, "a\n", runIn(t, sh, compute.Shell("sleep 0.05; echo a")).Stdout)
	}
	size := sizeOf(t, sb, "beat")
	require.Eventually(t, func() bool { return sizeOf(t, sb, "beat") > size }, 5*time.Second, 10*time.Millisecond)
	assert.Equal(t, "143\n", runIn(t, sh, compute.Shell("kill $!; wait $!; echo $?")).Stdout, "it is the shell's child")
}

func sizeOf(t *testing.T, sb compute.Sandbox, name string) int64 {
	t.Helper()
	info, err := sb.Filesystem().Stat(t.Context(), name)
	require.NoError(t, err)
	return info.Size()
}

func TestShellExits(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	for script, code := range map[string]int{"echo bye; exit 3": 3, "echo bye; set -e; false": 1, "exec sh -c 'echo bye; exit 4'": 4,
		"echo bye; kill -9 $$": 137} {
		sh := openShell(t, sb, "main")
		res := runIn(t, sh, compute.Shell(script))
		assert.Equal(t, code, res.ExitCode, script)
		assert.Equal(t, "bye\n", res.Stdout, script)
		_, err := sh.RunCommand(t.Context(), compute.Shell("true"))
		assert.ErrorIs(t, err, compute.ErrConflict, script)
		assert.Equal(t, "new\n", runIn(t, openShell(t, sb, "main"), compute.Shell("echo new")).Stdout)
	}
}

// The end of a command's context ends all that the command has started and
// nothing else.
func TestShellIsKept(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	sh := openShell(t, sb, "main")
	runIn(t, sh, compute.Shell("V=kept; cd /tmp; f() { while :; do sleep 0.01; done; }; (while :; do echo >>/workspace/old; sleep 0.01; done) & "))
	for name, script := range map[string]string{
		"a program":           "sleep 60; echo >/workspace/more",
		"a loop":              "while :; do :; done",
		"a loop of programs":  "while :; do sleep 0.01; done",
		"a function":          "f; echo >/workspace/more",
		"a pipe":              "yes | cat >/dev/null",
		"a substitution":      "x=$(sleep 60; echo hi); echo >/workspace/more",
		"nested":              "eval 'eval \"sleep 60; echo >/workspace/more\"'; echo >/workspace/more",
		"deaf to signals":     "trap '' INT TERM HUP; sleep 60; echo >/workspace/more",
		"wait":                "sleep 60 & wait; echo >/workspace/more",
		"of another session":  "setsid sh -c 'while :; do echo >>/workspace/new; sleep 0.01; done' & sleep 60",
		"subshell":            "(sleep 60; echo >/workspace/more); echo >/workspace/more",
		"a stopped process":   "sh -c 'kill -STOP $$; sleep 60'; echo >/workspace/more",
		"many processes":      "for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; wait",
		"output that is left": "yes",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
			defer cancel()
			begin := time.Now()
			cmd := compute.Shell("echo begun; " + script)
			res, err := sh.RunCommand(ctx, cmd)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.NotContains(t, err.Error(), "could not be kept")
			assert.Equal(t, -1, res.ExitCode)
			assert.True(t, strings.HasPrefix(res.Stdout, "begun\n"), "the output so far")
			assert.Less(t, time.Since(begin), 4*time.Second)
			assert.Equal(t, "kept /tmp\n", runIn(t, sh, compute.Shell("echo $V $PWD; trap - INT TERM HUP")).Stdout)
			res = runIn(t, sh, compute.Shell("pgrep -x sleep -a | grep -c ' 60'; pgrep -x yes; ls /workspace/more"))
			assert.Equal(t, "0\n", res.Stdout, "processes are left")
			size := sizeOf(t, sb, "old")
			require.Eventually(t, func() bool { return sizeOf(t, sb, "old") > size }, 5*time.Second, 10*time.Millisecond,
				"an earlier command's process has died")
		})
	}
	size := sizeOf(t, sb, "new")
	time.Sleep(50 * time.Millisecond)
	assert.Equal(t, size, sizeOf(t, sb, "new"), "a process in another session lives")
}

func TestShellIsLost(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	for name, script := range map[string]string{
		"no way back":      "trap '' 62; while :; do :; done",
		"the end of a way": "trap - 62; while :; do :; done",
		"stopped":          "kill -STOP $$; echo on",
	} {
		t.Run(name, func(t *testing.T) {
			sh := openShell(t, sb, name)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			res, err := sh.RunCommand(ctx, compute.Shell("echo begun; sleep 60 & "+script))
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorContains(t, err, "could not be kept")
			assert.Equal(t, "begun\n", res.Stdout)
			_, err = sh.RunCommand(t.Context(), compute.Shell("true"))
			assert.ErrorIs(t, err, compute.ErrConflict)
			out, err := compute.Output(t.Context(), sb, compute.Shell("pgrep -x sleep || echo none"))
			require.NoError(t, err)
			assert.Equal(t, "none\n", out)
		})
	}
}

func TestShellLosesItsFiles(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	sh := openShell(t, sb, "main")
	res, err := sh.RunCommand(t.Context(), compute.Shell("rm -rf /dev/.shell-*; echo on"))
	assert.ErrorIs(t, err, compute.ErrConflict, "%v", res)
	assert.Equal(t, "new\n", runIn(t, openShell(t, sb, "main"), compute.Shell("echo new")).Stdout)
}

func TestShellClosedMeanwhile(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	sh := openShell(t, sb, "main")
	failed, waited := make(chan error, 1), make(chan error, 1)
	go func() {
		res, err := sh.RunCommand(t.Context(), compute.Shell("echo >begun; sleep 60"))
		if err == nil && res.Signal != compute.SIGKILL {
			err = errors.New("it was not killed")
		}
		failed <- err
	}()
	require.Eventually(t, func() bool { ok, _ := compute.Exists(t.Context(), sb.Filesystem(), "begun"); return ok },
		5*time.Second, 5*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := sh.RunCommand(ctx, compute.Shell("echo never"))
	assert.ErrorIs(t, err, context.DeadlineExceeded, "waiting for one's turn ends with the context")
	go func() {
		_, err := sh.RunCommand(t.Context(), compute.Shell("echo never"))
		waited <- err
	}()
	time.Sleep(20 * time.Millisecond)
	require.NoError(t, sh.Close(t.Context()))
	assert.NoError(t, <-failed)
	assert.ErrorIs(t, <-waited, compute.ErrConflict)
}

func TestShellOptions(t *testing.T) {
	p := newLocal(t, t.TempDir(), local.Namespaces)
	sb := computetest.NewSandbox(t, p, nil)
	sh := openShell(t, sb, "main")
	for name, cmd := range map[string]*compute.Command{"Dir": {Script: "true", Dir: "/"}, "Env": {Script: "true", Env: map[string]string{"A": "b"}},
		"User": {Script: "true", User: "root"}, "TTY": {Script: "true", TTY: &compute.TTY{}}} {
		_, err := sh.RunCommand(t.Context(), cmd)
		assert.ErrorIs(t, err, errors.ErrUnsupported, name)
	}
	_, err := compute.OpenShell(t.Context(), sb, "")
	assert.ErrorIs(t, err, compute.ErrInvalid)
	require.NoError(t, compute.Suspend(t.Context(), sb))
	require.NoError(t, compute.Resume(t.Context(), sb))
	_, err = sh.RunCommand(t.Context(), compute.Shell("true"))
	assert.ErrorIs(t, err, compute.ErrConflict, "it ended with the machine")
}

func BenchmarkShell(b *testing.B) {
	sb := computetest.NewSandbox(b, newLocal(b, b.TempDir(), local.Namespaces), nil)
	sh, err := compute.OpenShell(b.Context(), sb, "main")
	require.NoError(b, err)
	for b.Loop() {
		if _, err := sh.RunCommand(b.Context(), compute.Shell(":")); err != nil {
			b.Fatal(err)
		}
	}
}
