package computetest

import (
	"io/fs"
	"path"
	"sort"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var hostileNames = group{"NamesAreHostile", []check{
	{"Files", hostileFiles},
	{"AbsoluteFiles", absoluteFiles},
	{"LongFileName", longFileName},
	{"Arguments", hostileArguments},
	{"EnvironmentValues", hostileValues},
	{"EnvironmentNames", hostileEnvNames},
	{"Directories", hostileDirs},
	{"DirAndEnvCoverCompoundScripts", compoundScripts},
	{"ScriptsAreRunAsTheyStand", verbatimScripts},
	{"ScriptThatBeginsWithADash", dashScript},
	{"ProgramNames", hostilePrograms},
	{"Metadata", hostileMetadata},
	{"IDs", hostileIDs},
}}

// hostile are legal names and values that careless quoting gets wrong.
var hostile = []string{
	"plain", "two words", "  spaces  ", "it's", `"quoted"`, `back\slash`, `\`, "new\nline", "ends in newline\n",
	"tab\t", "$HOME", "$(echo > pwned)", "`echo > pwned`", "${x:-y}", "-rf", "--", "-", "--help", "a;b", "a&b", "a|b",
	"a>pwned", "*", "?", "[a-z]", "{a,b}", "~", "~root", "#hash", "!bang", "%s%n", "%2e%2e", "x .", "x ..", "...", "a=b",
	"été", "日本語", "😀", "e\u0301", "\x01\x1b[31m", "\x7f", "CON", "a:b", "a,b", "'; echo > pwned; '", `"; echo > pwned; "`, "EOF",
}

func hostileFiles(t *tester) {
	sb := t.sandbox(nil)
	for _, name := range hostile {
		t.write(sb, "dir/"+name, name)
	}
	for _, name := range hostile {
		assert.Equal(t, name, t.read(sb, "dir/"+name))
		assert.Equal(t, name, t.out(sb, compute.Exec("cat", "dir/"+name)), "%q as a command sees it", name)
		assert.Equal(t, name, t.stat(sb, "dir/"+name).Name())
	}
	want := append([]string(nil), hostile...)
	sort.Strings(want)
	assert.Equal(t, want, t.names(sb, "dir"))
	for _, name := range hostile {
		require.NoError(t, sb.Filesystem().RemoveAll(t.ctx(), "dir/"+name), "RemoveAll %q", name)
	}
	assert.Empty(t, t.names(sb, "dir"), "after RemoveAll")
	assert.False(t, t.exists(sb, "pwned"), "a file name was run")
}

// names lists a directory.
func (t *tester) names(sb compute.Sandbox, dir string) []string {
	t.Helper()
	infos, err := sb.Filesystem().ReadDir(t.ctx(), dir)
	require.NoError(t, err, "ReadDir %q", dir)
	names := make([]string, len(infos))
	for i, info := range infos {
		names[i] = info.Name()
	}
	return names
}

// absoluteFiles are the same to files and commands, and where relative ones
// are.
func absoluteFiles(t *tester) {
	sb := t.sandbox(nil)
	here := t.here(sb)
	t.write(sb, path.Join(here, "it's here"), "a")
	assert.Equal(t, "a", t.read(sb, "it's here"))
	assert.Equal(t, "a", t.out(sb, compute.Exec("cat", path.Join(here, "it's here"))))
	t.write(sb, "/tmp/computetest dir/f", "b")
	assert.Equal(t, "b", t.out(sb, compute.Exec("cat", "/tmp/computetest dir/f")))
	require.NoError(t, sb.Filesystem().RemoveAll(t.ctx(), "/tmp/computetest dir"), "RemoveAll")
}

func longFileName(t *tester) {
	sb := t.sandbox(nil)
	name := strings.Repeat("n", 255)
	t.write(sb, name, "long")
	assert.Equal(t, "long", t.read(sb, name))
	assert.Contains(t, t.names(sb, "."), name)
	err := sb.Filesystem().WriteFile(t.ctx(), strings.Repeat("n", 5000), nil, 0o644)
	assert.Error(t, err, "a name of 5000 bytes")
}

func hostileArguments(t *tester) {
	sb := t.sandbox(nil)
	args := append([]string{"", "a\r\nb", "\\n"}, hostile...)
	want := "<" + strings.Join(args, "><") + ">"
	assert.Equal(t, want, t.out(sb, compute.Exec("printf", append([]string{"<%s>"}, args...)...)))
	assert.False(t, t.exists(sb, "pwned"), "an argument was run")
}

func hostileValues(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	for _, value := range append([]string{"", "a\r\nb", strings.Repeat("v", 60_000)}, hostile...) {
		cmd := compute.Shell(`printf %s "$V"; printf %s "$V" >&2`)
		cmd.Env = map[string]string{"V": value}
		res := t.run(sb, cmd)
		t.requireSame(value, res.Stdout, "value")
		t.requireSame(value, res.Stderr, "value")
	}
	cmd := compute.Exec("sh", "-c", `printf %s "$V"`)
	cmd.Env = map[string]string{"V": "it's $(echo > pwned)"}
	assert.Equal(t, cmd.Env["V"], t.out(sb, cmd), "value for a program")
	assert.False(t, t.exists(sb, "pwned"), "a value was run")
}

func hostileEnvNames(t *tester) {
	sb := t.sandbox(nil)
	for _, name := range []string{"", " ", "A B", "A=B", "1A", "A-B", "A;B", "$(echo > pwned)", "é", "A\n", "A\x00", "A'"} {
		cmd := compute.Exec("sh", "-c", "echo > ran")
		cmd.Env = map[string]string{name: "v"}
		_, err := sb.RunCommand(t.ctx(), cmd)
		assert.ErrorIs(t, err, compute.ErrInvalid, "RunCommand with variable %q", name)
		_, err = t.create(t.ctx(), &compute.CreateSandboxOptions{Env: cmd.Env})
		assert.ErrorIs(t, err, compute.ErrInvalid, "CreateSandbox with variable %q", name)
	}
	assert.False(t, t.exists(sb, "ran") || t.exists(sb, "pwned"), "a command with a bad variable ran")
	assert.Equal(t, []string{sb.ID()}, t.listed())
}

func hostileDirs(t *tester) {
	sb := t.sandbox(nil)
	here := t.here(sb)
	for _, name := range hostile {
		t.mkdir(sb, "dirs/"+name)
		for _, dir := range []string{"dirs/" + name, path.Join(here, "dirs", name)} {
			cmd := compute.Exec("pwd")
			cmd.Dir = dir
			assert.Equal(t, path.Join(here, "dirs", name)+"\n", t.out(sb, cmd))
		}
	}
	t.mkdir(sb, "-dash")
	cmd := compute.Exec("pwd")
	cmd.Dir = "-dash"
	assert.Equal(t, here+"/-dash\n", t.out(sb, cmd))
	assert.False(t, t.exists(sb, "pwned"), "a directory was run")
}

// compound are scripts that print where they are and what V is, some times.
var compound = map[string]int{
	`S; S`: 2, `true && S || S`: 1, `false || S`: 1, `for i in 1 2 3; do S; done`: 3, `if true; then S; fi`: 1,
	`{ S; S; }`: 2, `(S; S)`: 2, "S # it's a comment": 1, "S\nS\n\n": 2, "\n\nS": 1, `! false; S`: 1, "S &\nwait": 1,
	"while S; do break; done": 1, `case x in x) S;; esac`: 1, "f() { S; }; f; f": 2, `cd . && S`: 1, "S; # }": 1,
	"cat <<EOF\n$(S)\nEOF": 1, "x=$(S); echo \"$x\"": 1, "sh -c 'S'": 1, "S | cat": 1, "true; S; true": 1, "set -- a; S": 1,
	"eval 'S'": 1, "exec sh -c 'S'": 1, "S;": 1, "  S  ": 1, "S\\\n": 1, "V2=$V; (S)": 1, "trap S EXIT": 1,
}

func compoundScripts(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	dir := path.Join(t.here(sb), "it's a dir")
	t.mkdir(sb, dir)
	for script, times := range compound {
		cmd := compute.Shell(strings.ReplaceAll(script, "S", `echo "$PWD:$V"`))
		if strings.Contains(script, "EOF") || strings.HasPrefix(script, "trap") {
			cmd.Script = "S() { echo \"$PWD:$V\"; }; " + script
		}
		cmd.Dir, cmd.Env = "it's a dir", map[string]string{"V": "it's $V"}
		res := t.run(sb, cmd)
		assert.Equal(t, strings.Repeat(dir+":it's $V\n", times), res.Stdout, "script %q said %q", cmd.Script, res.Stderr)
		assert.Zero(t, res.ExitCode, "script %q said %q", cmd.Script, res.Stderr)
	}
}

func verbatimScripts(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	for script, want := range map[string]string{
		`echo '}'`: "}\n", `echo ")"`: ")\n", "echo a\\\nb": "ab\n", "cat <<'E'\n$x `y` \\\nE\n": "$x `y` \\\n",
		"echo \"a\n\nb\"": "a\n\nb\n", "echo $#": "0\n", "#!/bin/sh\necho a": "a\n", "echo a # b": "a\n",
		"cat": "", `printf 'a\r\nb'`: "a\r\nb", "echo a; exit": "a\n", "echo été": "été\n",
	} {
		assert.Equal(t, want, t.run(sb, compute.Shell(script)).Stdout, "script %q", script)
	}
}

// dashScript is no option of the shell.
func dashScript(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	assert.Equal(t, "a\n", t.run(sb, compute.Shell("-x 2>/dev/null; echo a")).Stdout)
	assert.Equal(t, 127, t.run(sb, compute.Shell("-no-such-program")).ExitCode)
}

func hostilePrograms(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	for _, name := range []string{"it's a program", "-program", "$(echo > pwned)", "a;b"} {
		file := "bin/" + name
		err := sb.Filesystem().WriteFile(t.ctx(), file, []byte("#!/bin/sh\necho \"ran $1\"\n"), 0o755)
		require.NoError(t, err, "WriteFile %q", file)
		assert.Equal(t, "ran it's\n", t.out(sb, compute.Exec("./"+file, "it's")))
	}
	assert.False(t, t.exists(sb, "pwned"), "a program's name was run")
}

func hostileMetadata(t *tester) {
	meta := map[string]string{"k": "it's \"$(x)\" 日本語", "a.b/c-d_e": "", "K": strings.Repeat("v", 200)}
	sb := t.sandbox(&compute.CreateSandboxOptions{Name: "it's \"a\" 日本語", Metadata: meta})
	info := t.info(sb)
	assert.Equal(t, "it's \"a\" 日本語", info.Name)
	for k, v := range meta {
		assert.Equal(t, v, info.Metadata[k], "metadata %q", k)
		found := t.list(&compute.ListSandboxesOptions{Metadata: map[string]string{label: t.id, k: v}})
		assert.Equal(t, []string{sb.ID()}, found, "listing by metadata %q", k)
	}
}

// hostileIDs must not reach into the path or query of some request.
func hostileIDs(t *tester) {
	sb := t.sandbox(nil)
	for _, id := range []string{"", ".", "..", "../" + sb.ID(), sb.ID() + "/", sb.ID() + "?x", sb.ID() + "#", "a/b", "a b", "%2e%2e", "'; x", "\x00", "-x", "*"} {
		_, err := t.c.GetSandbox(t.ctx(), id)
		assert.True(t, isAny(err, compute.ErrNotFound, compute.ErrInvalid), "GetSandbox(%q): %v", id, err)
		if err := t.c.DestroySandbox(t.ctx(), id); err != nil {
			assert.ErrorIs(t, err, compute.ErrInvalid, "DestroySandbox(%q)", id)
		}
	}
	assert.Equal(t, []string{sb.ID()}, t.listed(), "a hostile ID destroyed a sandbox")
	assert.Equal(t, fs.ModeDir, t.stat(sb, ".").Mode().Type())
}
