package shell

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

func testNow() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func testFS(t testing.TB) *memfs.FS {
	t.Helper()
	f := memfs.New(memfs.Options{Image: Skeleton(), Now: testNow})
	require.NoError(t, f.MkdirAll("/w", 0o755))
	return f
}

type run struct {
	out, errs string
	code      int
}

func script(t testing.TB, f *memfs.FS, src, in string) run {
	t.Helper()
	var out, errs bytes.Buffer
	p := &Proc{Args: []string{"sh", "-c", src}, Dir: "/w", FS: f, Stdout: &out, Stderr: &errs}
	if in != "" {
		p.Stdin = strings.NewReader(in)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	code := Run(ctx, p, nil)
	return run{out.String(), errs.String(), code}
}

func TestScripts(t *testing.T) {
	for name, tc := range map[string]struct {
		src string
		run
	}{
		"echo":              {"echo hi", run{"hi\n", "", 0}},
		"not found":         {"nope", run{"", "sh: nope: not found\n", 127}},
		"not executable":    {"echo x >f; ./f", run{"", "sh: ./f: Permission denied\n", 126}},
		"script":            {"printf '#!/bin/sh\\necho \"$0 $1\"; exit 3' >f; chmod +x f; ./f a", run{"./f a\n", "", 3}},
		"env script":        {"printf '#!/usr/bin/env bash\\necho $#' >f; chmod +x f; ./f a b", run{"2\n", "", 0}},
		"bad interpreter":   {"echo '#!/usr/bin/python3' >f; chmod +x f; ./f", run{"", "sh: ./f: /usr/bin/python3: bad interpreter: No such file or directory\n", 126}},
		"pipeline":          {"echo a | cat | cat; echo $?", run{"a\n0\n", "", 0}},
		"pipefail":          {"set -o pipefail; false | true; echo $?", run{"1\n", "", 0}},
		"sigpipe":           {"set -o pipefail; yes | true; echo $?", run{"141\n", "", 0}},
		"status":            {"(exit 3); echo $?; ! true; echo $?", run{"3\n1\n", "", 0}},
		"errexit":           {"set -e; false; echo no", run{"", "", 1}},
		"errexit spared":    {"set -e; false || true; if false; then :; fi; ! true; false && true; echo ok", run{"ok\n", "", 0}},
		"nounset":           {"set -u; echo $x; echo no", run{"", "sh: x: unbound variable\n", 2}},
		"syntax":            {"echo a\n(", run{"a\n", "", 2}},
		"status assigned":   {"(exit 3); c=$?; echo $c $?; x=1; echo $?; false; c=$? d=2 && echo $c", run{"3 0\n0\n1\n", "", 0}},
		"physical":          {"mkdir d; ln -s d l; cd -P -- l; pwd; cd ..; cd l; pwd; env pwd -P", run{"/w/d\n/w/l\n/w/d\n", "", 0}},
		"tar by long flags": {"mkdir d e; echo a >d/f; tar -cf t --format=pax -- d; tar -xpf t --no-same-owner -C e; cat e/d/f", run{"a\n", "", 0}},
		"subst":             {"x=$(echo a; exit 4); echo $x $?", run{"a 4\n", "", 0}},
		"input only":        {"echo a >f; echo $(<f)", run{"a\n", "", 0}},
		"here-doc":          {"x=1; cat <<E\na $x\nE\ncat <<'E'\n$x\nE\ncat <<-E\n\t\tb\n\tE", run{"a 1\n$x\nb\n", "", 0}},
		"descriptors":       {"exec 3>f; echo a >&3; exec 3>&-; cat f; { echo o; echo e >&2; } 2>&1 >g; cat g", run{"a\ne\no\n", "", 0}},
		"bad redirect":      {"echo a >no/f; echo $?", run{"1\n", "sh: cannot create no/f: No such file or directory\n", 0}},
		"loops":             {"for i in 1 2 3 4; do [ $i = 2 ] && continue; [ $i = 4 ] && break; echo $i; done; i=0; while [ $i -lt 2 ]; do i=$((i+1)); done; echo $i", run{"1\n3\n2\n", "", 0}},
		"case":              {"case abc in x) echo no;; a*|b) echo yes;; esac; case ']' in [!a]) echo y;; esac", run{"yes\ny\n", "", 0}},
		"functions":         {"f() { local x=2; echo $x $1; return 5; }; x=1; f a; echo $? $x", run{"2 a\n5 1\n", "", 0}},
		"subshell":          {"x=1; (x=2; cd /tmp; exit 3); echo $x $? $(pwd)", run{"1 3 /w\n", "", 0}},
		"glob":              {"touch a.c b.c .h; echo *.c; echo *.z; set -f; echo *.c", run{"a.c b.c\n*.z\n*.c\n", "", 0}},
		"arrays":            {"a=(x 'y z'); a[5]=q; echo ${#a[@]} \"${a[1]}\" ${!a[@]}; declare -A m; m[k]=v; echo ${m[k]}", run{"3 y z 0 1 5\nv\n", "", 0}},
		"brackets":          {"[[ abc == a* && ! -e /nope ]] && echo y; [[ ab =~ ^(a)(b)$ ]] && echo ${BASH_REMATCH[2]}", run{"y\nb\n", "", 0}},
		"read":              {"printf 'a b c\\nd\\\\\\ne\\n' | { read x y; echo \"$y\"; read z; echo $z; read q; echo $?; }", run{"b c\nde\n1\n", "", 0}},
		"getopts":           {"set -- -ab v -c rest; while getopts ab:c o; do echo $o $OPTARG; done; shift $((OPTIND-1)); echo $1", run{"a\nb v\nc\nrest\n", "", 0}},
		"trap":              {"trap 'echo bye' EXIT; trap 'echo usr' USR1; kill -USR1 $$; echo after; exit 4", run{"usr\nafter\nbye\n", "", 4}},
		"background":        {"sleep 0 & wait $!; echo $?; sleep 100 & kill $!; wait $!; echo $?; sleep 100 & kill %1; wait", run{"0\n143\n", "", 0}},
		"process subst":     {"cat <(echo a) <(echo b); echo c | tee >(cat >f) >/dev/null; cat f; while read x; do echo $x; done < <(echo d)", run{"a\nb\nc\nd\n", "", 0}},
		"own descriptors":   {"echo e >/dev/stderr; echo a | cat /dev/stdin; echo x >/dev/null", run{"a\n", "e\n", 0}},
		"assignments":       {"x=1 y=$x; echo $y; z=5 sh -c 'echo $z'; echo [$z]; export q=1; env | grep ^q", run{"1\n5\n[]\nq=1\n", "", 0}},
		"command -v":        {"command -v ls; command -v cd; command -v nope; echo $?; [ -x /bin/ls ] && echo y; type ls", run{"/bin/ls\ncd\n127\ny\nls is /bin/ls\n", "", 0}},
		"PATH":              {"mkdir b; printf 'echo mine' >b/ls; chmod +x b/ls; PATH=/w/b:$PATH; ls; PATH=/none; ls", run{"mine\n", "sh: ls: not found\n", 127}},
		"cd":                {"mkdir -p a/b; ln -s a/b l; cd l; pwd; pwd -P; cd ..; pwd; cd -; cd; pwd; cd /none; echo $?", run{"/w/l\n/w/a/b\n/w\n/w/l\n/root\n2\n", "sh: cd: can't cd to /none: No such file or directory\n", 0}},
		"tilde":             {"echo ~ ~root ~nobody ~daemon/x", run{"/root /root ~nobody ~daemon/x\n", "", 0}},
		"umask":             {"umask; umask 077; touch f; stat -c %a f; umask -S", run{"0022\n600\nu=rwx,g=,o=\n", "", 0}},
		"ids":               {"echo $PPID; [ $$ -gt 1 ] && echo ok; sh -c 'echo $0 $1' n a", run{"1\nok\nn a\n", "", 0}},
		"printf":            {"printf '%05.1f|%-4s|%x|%c\\n' 3.14159 ab 255 xyz; printf '%s\\n' a b", run{"003.1|ab  |ff|x\na\nb\n", "", 0}},
		"timeout":           {"timeout 0.01 sleep 10; echo $?; timeout 5 true; echo $?", run{"124\n0\n", "", 0}},
		"source":            {"echo 'x=5; return 3' >f; . ./f; echo $? $x", run{"3 5\n", "", 0}},
		"eval":              {"x='echo a b'; eval \"$x\"; eval 'exit 3'; echo no", run{"a b\n", "", 3}},
		"alias":             {"alias ll='echo long'; ll a", run{"long a\n", "", 0}},
		"read only":         {"readonly x=1; x=2; echo no", run{"", "sh: x: is read only\n", 2}},
		"xtrace":            {"set -x; echo 'a b'", run{"a b\n", "+ echo 'a b'\n", 0}},
		"special":           {"echo $# $- $?; set -- a b; echo $# $* ${10}; echo \"$@\"", run{"0 0\n2 a b\na b\n", "", 0}},
		"noclobber":         {"set -C; echo a >f; echo b >f; echo $?; echo c >|f; cat f", run{"1\nc\n", "sh: cannot create f: File exists\n", 0}},
		"closed stdout":     {"echo a >&-; echo $?", run{"1\n", "sh: write error: Bad file descriptor\n", 0}},
		"full disk":         {"echo a >/dev/full; echo $?", run{"1\n", "sh: write error: No space left on device\n", 0}},
		"nested functions":  {"f() { f; }; f; echo no", run{"", "sh: f: maximum function nesting level exceeded\n", 1}},
		"exec replaces":     {"exec echo a; echo no", run{"a\n", "", 0}},
		"time":              {"time true", run{"", "\nreal\t0m0.000s\nuser\t0m0.000s\nsys\t0m0.000s\n", 0}},
		"sh from stdin":     {"echo 'echo $1' | sh -s a", run{"a\n", "", 0}},
		"unsupported shopt": {"shopt -s lastpipe", run{"", "sh: shopt: lastpipe: not supported\n", 1}},
	} {
		t.Run(name, func(t *testing.T) {
			got := script(t, testFS(t), tc.src, "")
			if name == "syntax" {
				got.errs = ""
			}
			require.Equal(t, tc.run, got)
		})
	}
}

func BenchmarkTool(b *testing.B) {
	f := testFS(b)
	var out bytes.Buffer
	p := &Proc{Args: []string{"echo", "hi"}, FS: f, Sys: &System{}, Stdout: &out}
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		Run(context.Background(), p, nil)
	}
}

func BenchmarkScript(b *testing.B) {
	f := testFS(b)
	var out bytes.Buffer
	p := &Proc{Args: []string{"sh", "-c", "echo hi"}, FS: f, Sys: &System{}, Stdout: &out}
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		Run(context.Background(), p, nil)
	}
}
