package providers_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// shells returns the shells of this machine that a line must mean the same to:
// with the programs of this machine, and with those of BusyBox and Toybox.
func shells(tb testing.TB) map[string]lineRunner {
	tb.Helper()
	have := map[string]lineRunner{}
	for _, name := range []string{"dash", "bash", "mksh"} {
		if file, err := exec.LookPath(name); err == nil {
			have[name] = lineRunner{shell: []string{file}}
		}
	}
	if file, err := exec.LookPath("busybox"); err == nil {
		have["busybox"] = lineRunner{shell: []string{file, "sh"}, path: applets(tb, file, "--list")}
	}
	if file, err := exec.LookPath("toybox"); err == nil {
		have["toybox"] = lineRunner{shell: []string{"/bin/sh"}, path: applets(tb, file)} // whose own shell is unfinished
	}
	if len(have) == 0 {
		tb.Skip("no POSIX shell here")
	}
	return have
}

// applets returns a PATH on which the programs that are all in one file come first.
func applets(tb testing.TB, file string, list ...string) string {
	tb.Helper()
	out, err := exec.Command(file, list...).Output()
	require.NoError(tb, err)
	dir := tb.TempDir()
	for _, name := range strings.Fields(string(out)) {
		require.NoError(tb, os.Symlink(file, filepath.Join(dir, name)))
	}
	return dir + ":/usr/bin:/bin"
}

// lineRunner runs commands as a provider does that accepts only text.
type lineRunner struct {
	shell   []string
	path    string // if not that of the test
	dir     string
	noStdin bool
}

func (r lineRunner) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	if r.noStdin && cmd.Stdin != nil {
		return nil, providers.UnsupportedOption("run command", "text", "Stdin")
	}
	line, err := providers.ShellLine(cmd)
	if err != nil {
		return nil, err
	}
	args := append(r.shell[1:len(r.shell):len(r.shell)], "-c", "( "+line+" ); exit $?")
	c := exec.CommandContext(ctx, r.shell[0], args...)
	streams := providers.NewStreams(cmd)
	c.Dir, c.Stdin, c.Stdout, c.Stderr = r.dir, cmd.Stdin, streams.Stdout, streams.Stderr
	if r.path != "" {
		c.Env = append(os.Environ(), "PATH="+r.path)
	}
	err = c.Run()
	res := &compute.Result{ExitCode: c.ProcessState.ExitCode()}
	streams.Close(res)
	if ctx.Err() != nil {
		return res, ctx.Err()
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return res, err
	}
	return res, providers.DirError(cmd, res)
}

func eachShell(t *testing.T, f func(t *testing.T, r lineRunner)) {
	t.Helper()
	for name, r := range shells(t) {
		t.Run(name, func(t *testing.T) {
			r.dir = t.TempDir()
			f(t, r)
		})
	}
}

func TestShellLine(t *testing.T) {
	env := map[string]string{"FOO": "it's $HOME `id`", "UID": "7", "PPID": "8", "IFS": "x", "CDPATH": "/"}
	tests := map[string]struct {
		cmd    *compute.Command
		stdout string
		code   int
	}{
		"arguments":              {compute.Exec("printf", "%s|", "a b", "", "'", "$HOME", "-n", "\n", `\`), "a b||'|$HOME|-n|\n|\\|", 0},
		"builtin is no program":  {compute.Exec("exit", "3"), "", 127},
		"program like an option": {compute.Exec("-x", "3"), "", 127},
		"program like a setting": {compute.Exec("./a=b", "c d"), "c d", 0},
		"not executable":         {compute.Exec("./plain"), "", 126},
		"assignments in env":     {&compute.Command{Args: []string{"printenv", "FOO", "UID", "PPID", "IFS"}, Env: env}, "it's $HOME `id`\n7\n8\nx\n", 0},
		"env of all of a script": {&compute.Command{Script: `true; echo "$FOO"`, Env: env}, "it's $HOME `id`\n", 0},
		"no sh on the path":      {&compute.Command{Script: "echo ok", Env: map[string]string{"PATH": "/nonexistent"}}, "ok\n", 0},
		"list":                   {compute.Shell("false; echo a && echo b || echo c"), "a\nb\n", 0},
		"loop":                   {compute.Shell("for i in 1 2; do echo $i; done"), "1\n2\n", 0},
		"condition":              {compute.Shell("if false; then echo a; else echo b; fi"), "b\n", 0},
		"here-document":          {compute.Shell("cat <<X\na 'b\nX"), "a 'b\n", 0},
		"open here-document":     {compute.Shell("cat <<'X'\na"), "a", 0},
		"trailing comment":       {compute.Shell("echo a # ) ' }"), "a\n", 0},
		"trailing backslash":     {compute.Shell("echo a \\"), "a \n", 0},
		"trailing background":    {compute.Shell("echo a & wait"), "a\n", 0},
		"script like an option":  {compute.Shell("-x 2>/dev/null; echo a"), "a\n", 0},
		"script like a +option":  {compute.Shell("+x 2>/dev/null; echo a"), "a\n", 0},
		"exit":                   {compute.Shell("echo a; exit 7; echo b"), "a\n", 7},
		"unbalanced quote":       {compute.Shell("echo a\necho 'b"), "a\n", 2},
		"unbalanced parenthesis": {compute.Shell("echo a ); echo b"), "", 2},
		"dir -":                  {&compute.Command{Script: "echo here > f; cat f", Dir: "-"}, "here\n", 0},
		"dir -P":                 {&compute.Command{Script: `echo "${PWD##*/}"`, Dir: "-P"}, "-P\n", 0},
		"dir of all of a script": {&compute.Command{Script: `true || false; echo "${PWD##*/}"`, Dir: "a'b\nc "}, "a'b\nc \n", 0},
	}
	eachShell(t, func(t *testing.T, r lineRunner) {
		for _, dir := range []string{"-", "-P", "a'b\nc "} {
			require.NoError(t, os.Mkdir(filepath.Join(r.dir, dir), 0o755))
		}
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, "a=b"), []byte("#!/bin/sh\nprintf %s \"$1\""), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, "plain"), nil, 0o644))
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				res, err := r.RunCommand(t.Context(), tt.cmd)
				require.NoError(t, err)
				if tt.cmd.Script == "echo a \\" || name == "open here-document" {
					res.Stdout, tt.stdout = strings.TrimRight(res.Stdout, "\\ \n"), strings.TrimRight(tt.stdout, " \n")
				}
				if name == "unbalanced quote" {
					res.Stdout, tt.stdout = "", "" // what came before may have run
				}
				require.Equal(t, tt.stdout, res.Stdout, res.Stderr)
				if tt.code == 2 { // a syntax error; bash and dash say 2, others differ
					require.NotZero(t, res.ExitCode)
					return
				}
				require.Equal(t, tt.code, res.ExitCode, res.Stderr)
			})
		}
	})
}

func TestShellLineDir(t *testing.T) {
	eachShell(t, func(t *testing.T, r lineRunner) {
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, "file"), nil, 0o644))
		for _, dir := range []string{"missing", "missing; true", "$(pwd)", "~", "-x", "file"} {
			cmd := &compute.Command{Script: "echo ran > ran; echo ran", Dir: dir}
			res, err := r.RunCommand(t.Context(), cmd)
			require.ErrorIs(t, err, fs.ErrNotExist, dir)
			require.Empty(t, res.Stdout)
			require.NoFileExists(t, filepath.Join(r.dir, "ran"))
		}
	})
}

func TestDirError(t *testing.T) {
	message := "compute: cannot enter the working directory\n"
	tests := map[string]struct {
		cmd  compute.Command
		res  compute.Result
		want error
	}{
		"said so":          {compute.Command{Dir: "x"}, compute.Result{ExitCode: 121, Stderr: message}, fs.ErrNotExist},
		"denied":           {compute.Command{Dir: "x"}, compute.Result{ExitCode: 122, Stderr: message}, fs.ErrPermission},
		"said it unseen":   {compute.Command{Dir: "x", Stderr: &strings.Builder{}}, compute.Result{ExitCode: 121}, fs.ErrNotExist},
		"on a terminal":    {compute.Command{Dir: "x", TTY: &compute.TTY{}}, compute.Result{ExitCode: 121, Stdout: message}, fs.ErrNotExist},
		"code of its own":  {compute.Command{Dir: "x"}, compute.Result{ExitCode: 121}, nil},
		"words of its own": {compute.Command{Dir: "x"}, compute.Result{ExitCode: 1, Stderr: message}, nil},
		"no dir":           {compute.Command{}, compute.Result{ExitCode: 121, Stderr: message}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { require.ErrorIs(t, providers.DirError(&tt.cmd, &tt.res), tt.want) })
	}
}

func TestShellLineRefuses(t *testing.T) {
	_, err := providers.ShellLine(&compute.Command{Script: "id", User: "root"})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = providers.ShellLine(&compute.Command{Script: "id", Env: map[string]string{"A=$(id)": ""}})
	require.ErrorIs(t, err, compute.ErrInvalid)
}

// What goes through ShellLine comes out of every real shell unchanged.
func FuzzShellLine(f *testing.F) {
	for _, s := range []string{"", "a b", "'", "$HOME", "-n", "\n", "`id`", "日本語", `\`, "*", "!!", "\xff\xfe", "'\\''", "a\r\n"} {
		f.Add(s, s)
	}
	have := shells(f)
	f.Fuzz(func(t *testing.T, arg, env string) {
		if strings.Contains(arg+env, "\x00") {
			t.Skip()
		}
		cmd := compute.Exec("/bin/sh", "-c", `printf '%s|%s' "$1" "$V"`, "sh", arg)
		cmd.Env, cmd.Dir = map[string]string{"V": env}, "/"
		for name, r := range have {
			r.dir = "/"
			res, err := r.RunCommand(t.Context(), cmd)
			if err != nil || res.Stdout != arg+"|"+env {
				t.Errorf("%s: got %+v, %v; want %q", name, res, err, arg+"|"+env)
			}
		}
	})
}

// Whatever a script is, it does not reach what surrounds it.
func FuzzShellLineScript(f *testing.F) {
	for _, s := range []string{"'", `"`, ")", "}", "# ", "cat <<X", "`", "$(", "\\", "; }", "done", "\n'\n", "esac", "fi;)", "-x", "+e"} {
		f.Add(s)
	}
	have := shells(f)
	f.Fuzz(func(t *testing.T, script string) {
		// The parser sees all of it; nothing of it runs.
		cmd := compute.Shell("exit 0\n" + script)
		if cmd.Validate() != nil {
			t.Skip()
		}
		line, err := providers.ShellLine(cmd)
		require.NoError(t, err)
		for name, r := range have {
			c := exec.Command(r.shell[0], append(r.shell[1:], "-c", "( "+line+" ) 2>/dev/null\necho after")...)
			if out, err := c.Output(); err != nil || string(out) != "after\n" {
				t.Errorf("%s: got %q, %v", name, out, err)
			}
		}
	})
}
