package shell

import (
	"bytes"
	"context"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The code cannot reach the host: it imports nothing that opens files, starts
// processes or dials. filepath and syscall serve for separators and flags.
func TestImportsNothingOfTheHost(t *testing.T) {
	for _, dir := range []string{".", "../memfs"} {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			require.NoError(t, err)
			for _, im := range f.Imports {
				switch strings.Trim(im.Path.Value, `"`) {
				case "os", "os/exec", "os/user", "os/signal", "net", "net/http", "unsafe", "plugin", "mvdan.cc/sh/v3/interp", "golang.org/x/sys/unix":
					t.Errorf("%s imports %s", name, im.Path.Value)
				}
			}
		}
	}
}

// Nothing of the host shows, and nothing is written to it.
func TestHostIsOutOfReach(t *testing.T) {
	secret := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(secret, "file"), []byte("top secret"), 0o600))
	t.Setenv("HOST_SECRET", "top secret")
	t.Setenv("TMPDIR", secret)
	name := filepath.ToSlash(filepath.Join(secret, "file"))
	f := testFS(t)
	for _, src := range []string{
		"cat " + name, ". " + name, "source " + name, "sh " + name, "read x <" + name + "; echo $x", "echo $(<" + name + ")",
		"cat ~root/../.." + name, "ls " + filepath.ToSlash(secret), "echo " + filepath.ToSlash(secret) + "/*",
		"[ -e " + name + " ] && echo leaked", "test -d " + filepath.ToSlash(secret) + " && echo leaked", "[[ -r " + name + " ]] && echo leaked",
		"env | grep HOST_SECRET", "echo $HOST_SECRET", "set | grep 'top secret'", "echo $TMPDIR | grep /",
		"cat /proc/self/environ", "cat /proc/version", "ls /proc", "cat /sys/kernel/notes", "ls /usr/sbin /lib",
		"command -v python3 || command -v go || command -v git", "type -p git", "hash git", "command -v -p systemctl",
		"cd " + filepath.ToSlash(secret) + " && pwd", "pushd " + filepath.ToSlash(secret), "find " + filepath.ToSlash(secret),
		"cp " + name + " x && cat x", "ln -s " + name + " l; cat l", "tar cf - " + name + " 2>/dev/null | tar xOf - 2>/dev/null",
		"grep -r secret " + filepath.ToSlash(secret), "xxd " + name, "diff " + name + " /dev/null", "awk 1 " + name, "sed p " + name,
	} {
		got := script(t, f, src, "")
		require.NotContains(t, got.out, "secret", src)
		require.NotContains(t, got.out, "leaked", src)
		require.True(t, len(got.errs)+got.code+len(got.out) > 0 || strings.HasPrefix(src, "tar"), src)
	}
	script(t, f, "mkdir -p "+filepath.ToSlash(secret)+"; echo x >"+name+"; cat <(echo a) >/dev/null; mktemp; cat <<E\nx\nE\n", "")
	b, err := os.ReadFile(filepath.Join(secret, "file"))
	require.NoError(t, err)
	require.Equal(t, "top secret", string(b))
	list, err := os.ReadDir(secret)
	require.NoError(t, err)
	require.Len(t, list, 1)
}

// Whatever runs ends with its context, in virtual time, and leaves nothing.
func TestCancellation(t *testing.T) {
	for name, src := range map[string]string{
		"loop":       "while :; do :; done",
		"sleep":      "sleep 1000",
		"stdin":      "cat",
		"read":       "read x; echo $x",
		"pipe":       "sleep infinity | cat | cat",
		"writer":     "yes | sleep 1000",
		"background": "sleep 1000 & wait",
		"subst":      "x=$(sleep 1000)",
		"trap":       "trap 'echo no' TERM INT; while :; do sleep 1; done",
		"tail":       "touch f; tail -f f",
		"procsubst":  "cat <(sleep 1000)",
		"xargs":      "echo 1000 | xargs sleep",
		"arith":      "for ((;;)); do :; done",
		"function":   "f() { while :; do sleep 0.1; done; }; f",
		"awk":        "awk 'BEGIN { while (1) x++ }'",
		"job keeps":  "(while :; do sleep 1; done) & echo started",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				if name == "loop" || name == "arith" || name == "awk" {
					// A busy loop lets no virtual time pass.
					cancel()
				}
				r, w := io.Pipe()
				defer w.Close()
				start := time.Now()
				var out bytes.Buffer
				code := Run(ctx, &Proc{Args: []string{"sh", "-c", src}, Dir: "/w", FS: testFS(t), Stdin: r, Stdout: &out}, nil)
				require.NotContains(t, out.String(), "no")
				require.LessOrEqual(t, time.Since(start), 5*time.Second)
				if name != "job keeps" {
					require.Equal(t, 137, code)
				}
			})
		})
	}
}

func TestBusyLoopsEnd(t *testing.T) {
	for _, src := range []string{"while :; do :; done", "for ((;;)); do :; done", "awk 'BEGIN { while (1) x++ }'", "yes >/dev/null", "f() { f2; }; f2() { :; }; while f; do f; done"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start := time.Now()
		require.Equal(t, 137, Run(ctx, &Proc{Args: []string{"sh", "-c", src}, FS: testFS(t)}, nil), src)
		require.Less(t, time.Since(start), 2*time.Second)
		cancel()
	}
}

func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		got := script(t, testFS(t), "sleep 2 | cat; (sleep 3; echo late) & timeout 1 sleep 9; echo $?; wait", "")
		require.Equal(t, run{"124\nlate\n", "", 0}, got)
		require.Equal(t, 5*time.Second, time.Since(start))
	})
}

func TestJobsThatStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := &System{}
		f := testFS(t)
		ctx, cancel := context.WithCancel(t.Context())
		p := &Proc{Args: []string{"sh", "-c", "(sleep 1; echo done >/w/f) & (sleep 1000) &"}, FS: f, Sys: sys, KeepJobs: true}
		require.Zero(t, Run(ctx, p, nil))
		cancel()
		time.Sleep(2 * time.Second)
		b, err := f.ReadFile("/w/f")
		require.NoError(t, err)
		require.Equal(t, "done\n", string(b))
		sys.Kill()
	})
}

func TestPanickingTool(t *testing.T) {
	var errs bytes.Buffer
	lookup := func(name string) Tool {
		if name == "boom" {
			return func(context.Context, *Proc) int { panic("boom") }
		}
		return Lookup(name)
	}
	code := Run(t.Context(), &Proc{Args: []string{"boom"}, FS: testFS(t), Stderr: &errs}, lookup)
	require.Equal(t, 70, code)
	require.Equal(t, "boom: internal error: boom\n", errs.String())
}

func TestSession(t *testing.T) {
	s := NewSession(&Proc{Dir: "/w", Env: []string{"A=1"}, FS: testFS(t)}, nil)
	defer s.Close()
	say := func(src string) run {
		var out, errs bytes.Buffer
		code, _ := s.Run(t.Context(), src, nil, &out, &errs)
		return run{out.String(), errs.String(), code}
	}
	require.Equal(t, run{"", "", 0}, say("mkdir d; cd d; x=5; f() { echo f $x $A; }; set -u"))
	require.Equal(t, run{"/w/d\nf 5 1\n", "", 0}, say("pwd; f"))
	require.Equal(t, run{"", "", 3}, say("(exit 3)"))
	require.Equal(t, run{"3\n", "", 0}, say("echo $?"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	code, over := s.Run(ctx, "sleep 100", nil, nil, nil)
	require.Equal(t, 137, code)
	require.False(t, over)
	require.Equal(t, run{"still 5\n", "", 0}, say("echo still $x"))
	require.Equal(t, "/w/d", s.Dir())
	say("sleep 1000 &")
	code, over = s.Run(t.Context(), "exit 4", nil, nil, nil)
	require.Equal(t, 4, code)
	require.True(t, over)
	require.Equal(t, 4, say("echo no").code)
}

func FuzzTranslate(f *testing.F) {
	for _, s := range []string{`a*`, `\(a\)\{2,3\}`, `[]a]`, `[^]a-z[:digit:]]`, `**`, `\`, `x\|y`, `^*a$`, "a{,3}", `[[:nope:]]`, `(a|b)+?`} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, pat string, extended bool) {
		if re, err := compile(pat, extended, false); err == nil {
			re.MatchString("some text")
		}
	})
}

func FuzzSed(f *testing.F) {
	for _, s := range []string{`s/a/b/g;p`, `1,/x/{d}`, `y/ab/cd/`, `:a;ta`, `$!N;P;D`, `a\` + "\ntext", `s/[/]/x/`, `2~0p`, `s/\(a\)/\2/`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		_, _ = parseSed(src, false)
		_, _ = parseSed(src, true)
	})
}

func FuzzTools(f *testing.F) {
	f.Add("tr", "a-z", "[:upper:]")
	f.Add("tr", "[x*3]", `\012-\`)
	f.Add("printf", "%5.2s%b%*d", "x")
	f.Add("expr", "1", "+")
	f.Add("find", "-name", "*[")
	f.Add("cut", "-f1-", "-d:")
	f.Add("awk", "{ print $1 }", "x=1")
	f.Add("date", "-d", "@1")
	f.Add("stat", "-c%0", ".")
	f.Add("head", "-n", "-1")
	f.Fuzz(func(t *testing.T, tool, a, b string) {
		if tool == "yes" || tool == "sleep" || tool == "tail" || Lookup(tool) == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		var out, errs bytes.Buffer
		p := &Proc{Args: []string{tool, a, b}, Dir: "/w", FS: testFS(t), Stdin: strings.NewReader("a b\nc d\n"), Stdout: &out, Stderr: &errs}
		if code := Run(ctx, p, nil); code == 70 && strings.Contains(errs.String(), "internal error") {
			t.Fatalf("%s %q %q: %s", tool, a, b, &errs)
		}
	})
}

// TestEndlessInputEnds is outside a bubble, where those who are busy stop the
// clock.
func TestEndlessInputEnds(t *testing.T) {
	for _, src := range []string{"wc -c /dev/zero", "wc -c </dev/zero", "grep x /dev/urandom", "while :; do :; done", "sed -n '' /dev/zero"} {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		code := Run(ctx, &Proc{Args: []string{"sh", "-c", src}, FS: testFS(t)}, nil)
		cancel()
		require.Equal(t, 137, code, src)
	}
}
