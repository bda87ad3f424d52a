package computetest

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strconv"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var toldApart = group{"OutcomesAreToldApart", []check{
	{"Success", success},
	{"Failure", failure},
	{"ExitCodes", exitCodes},
	{"ProgramNotFound", programNotFound},
	{"ScriptProgramNotFound", scriptProgramNotFound},
	{"NotExecutable", notExecutable},
	{"Signals", signals},
	{"ExitCodeLikeSignal", exitLikeSignal},
	{"SyntaxError", syntaxError},
	{"DirDoesNotExist", dirMissing},
	{"DirIsAFile", dirIsFile},
	{"Duration", duration},
	{"ExitErrorShowsStderr", exitErrorText},
}}

func success(t *tester) {
	res := t.run(t.sandbox(nil), compute.Exec("true"))
	require.NoError(t, res.Err())
	assert.Zero(t, *res, ignoreDuration(res))
}

// ignoreDuration clears the one field that differs from run to run.
func ignoreDuration(res *compute.Result) string {
	res.Duration = 0
	return fmt.Sprintf("%+v", *res)
}

func failure(t *tester) {
	res := t.run(t.sandbox(nil), compute.Exec("false"))
	assert.Equal(t, 1, res.ExitCode)
	exit, ok := errors.AsType[*compute.ExitError](res.Err())
	require.True(t, ok, "Result.Err is a %T", res.Err())
	assert.NotErrorIs(t, exit, exec.ErrNotFound)
	assert.NotErrorIs(t, exit, fs.ErrPermission)
	assert.NotErrorIs(t, exit, compute.ErrLimit)
}

// exitCodes tries all of them where that is quick.
func exitCodes(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	codes := []int{0, 1, 2, 3, 42, 124, 125, 126, 127, 128, 129, 130, 137, 143, 254, 255}
	if t.slow(second) <= second {
		codes = codes[:0]
		for code := range 256 {
			codes = append(codes, code)
		}
	}
	for _, code := range codes {
		res := t.run(sb, compute.Shell("exit "+strconv.Itoa(code)))
		require.Equal(t, code, res.ExitCode)
		assert.Equal(t, code == 0, res.Err() == nil)
	}
}

func programNotFound(t *tester) {
	sb := t.sandbox(nil)
	for _, name := range []string{"no-such-program-42", "./no-such-program", "/no/such/program", "no such; program"} {
		res := t.run(sb, compute.Exec(name, "arg"))
		assert.Equal(t, 127, res.ExitCode, "%q", name)
		assert.ErrorIs(t, res.Err(), exec.ErrNotFound, "%q", name)
	}
}

func scriptProgramNotFound(t *tester) {
	t.needShell()
	res := t.run(t.sandbox(nil), compute.Shell("no-such-program-42"))
	assert.Equal(t, 127, res.ExitCode)
	assert.ErrorIs(t, res.Err(), exec.ErrNotFound)
	assert.NotEmpty(t, res.Stderr, "the shell says what it did not find")
}

func notExecutable(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "data", "no program")
	for _, name := range []string{"./data", "/"} {
		res := t.run(sb, compute.Exec(name))
		assert.Equal(t, 126, res.ExitCode, "%q", name)
		assert.ErrorIs(t, res.Err(), fs.ErrPermission, "%q", name)
	}
}

// signals allows a provider not to know; what it must not do is to be wrong.
func signals(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	for _, sig := range []compute.Signal{compute.SIGHUP, compute.SIGKILL, compute.SIGTERM, compute.SIGUSR1} {
		res := t.run(sb, compute.Shell(fmt.Sprintf("kill -%d $$; sleep 5", sig)))
		assert.Equal(t, 128+int(sig), res.ExitCode, "exit code after signal %d", sig)
		assert.Contains(t, []compute.Signal{0, sig}, res.Signal, "Result.Signal after signal %d", sig)
		assert.Empty(t, res.Limit, "the command killed itself")
	}
}

func exitLikeSignal(t *tester) {
	t.needShell()
	res := t.run(t.sandbox(nil), compute.Shell("exit 137"))
	assert.Equal(t, 137, res.ExitCode)
	assert.Zero(t, res.Signal, "no signal was sent")
	assert.Empty(t, res.Limit, "no limit was hit")
}

func syntaxError(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	for _, script := range []string{"echo 'abc", `echo "abc`, "if true; then", "for i in", "(", ")", "{", "}", "echo $(", "&& true"} {
		res := t.run(sb, compute.Shell(script))
		assert.NotZero(t, res.ExitCode, "script %q", script)
		assert.NotEmpty(t, res.Stderr, "script %q", script)
		assert.Empty(t, res.Stdout, "script %q", script)
	}
}

func dirMissing(t *tester) {
	sb := t.sandbox(nil)
	for _, dir := range []string{"no-such-dir", "/no/such/dir", "no\nsuch", "-", "$HOME"} {
		for _, cmd := range []*compute.Command{compute.Exec("sh", "-c", "echo > ran"), compute.Shell("echo > ran; true")} {
			if cmd.Script != "" && t.cfg.NoShell {
				continue
			}
			cmd.Dir = dir
			_, err := sb.RunCommand(t.ctx(), cmd)
			assert.ErrorIs(t, err, fs.ErrNotExist, "directory %q", dir)
			assert.NotErrorIs(t, err, compute.ErrNotFound, "the sandbox is there; directory %q is not", dir)
		}
	}
	assert.False(t, t.exists(sb, "ran"), "a command whose directory does not exist ran elsewhere")
}

func dirIsFile(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "file", "")
	cmd := compute.Exec("sh", "-c", "echo > ran")
	cmd.Dir = "file"
	_, err := sb.RunCommand(t.ctx(), cmd)
	assert.Error(t, err, "a directory that is a file")
	assert.False(t, t.exists(sb, "ran"), "the command ran elsewhere")
}

func duration(t *tester) {
	start := time.Now()
	res := t.run(t.sandbox(nil), compute.Exec("sleep", "0.1"))
	assert.GreaterOrEqual(t, res.Duration, 80*time.Millisecond, "Result.Duration of sleep 0.1")
	assert.LessOrEqual(t, res.Duration, time.Since(start)+t.slow(second), "Result.Duration of sleep 0.1")
}

func exitErrorText(t *tester) {
	t.needShell()
	err := t.run(t.sandbox(nil), compute.Shell("echo what went wrong >&2; exit 3")).Err()
	require.Error(t, err)
	assert.Contains(t, err.Error(), "what went wrong")
}
