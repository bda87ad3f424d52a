package shell

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// corpus are scripts that must give the same output and exit code as on a real
// system. Every line is one script.
var corpus = strings.Split(strings.TrimSpace(`
printf 'a\nb\n' >f; cat f f; cat -n f; cat none
printf 'b\na\nc\na\n' | sort; printf '10\n9\n1\n' | sort -n; printf '10\n9\n1\n' | sort -rn; printf 'b\na\nb\n' | sort -u
printf 'x:3\ny:1\nz:2\n' | sort -t: -k2; printf 'a 3\nb 1\nc 2\n' | sort -k2n; printf 'a 1 z\nb 1 a\n' | sort -k2,2n -k3,3; printf 'b 1\na 1\n' | sort -s -k2,2
printf 'B\na\nC\n' | sort -f; printf 'B\na\nC\n' | sort; printf 'a\nb\n' | sort -c; printf 'b\na\n' | sort -c 2>/dev/null; echo $?
printf 'a\na\nb\nc\nc\nc\n' >f; uniq f; uniq -c f; uniq -d f; uniq -u f; printf 'a\nA\n' | uniq -i
printf 'a:b:c\nd:e\nf\n' >f; cut -d: -f2 f; cut -d: -f1,3 f; cut -d: -f2- f; cut -c2-3 f; cut -s -d: -f2 f; cut -b1 f; cut -f1 f
echo hello | tr a-y b-z; echo hello | tr -d l; echo aabbcc | tr -s a-c; echo 'a1b2' | tr -cd 0-9; echo; echo abc | tr '[:lower:]' '[:upper:]'; echo 'a b' | tr ' ' '\n'; echo aabb | tr -s ab x; echo a-b | tr a- x_
printf 'foo\nbar\nFoo bar\nbaz 42\n' >f; grep foo f; grep -i foo f; grep -v foo f; grep -n ba f; grep -c ba f; grep -l foo f; grep -q nope f; echo $?; grep -o '[0-9]*' f; grep -w ba f; grep -x bar f; grep -E 'foo|baz' f; grep -F 'b.z' f; grep -e foo -e baz f; grep 'ba[rz]' f; grep '^b' f; grep 'r$' f; grep -E '^(foo|bar)$' f; grep 'o\{2\}' f; grep 'fo*' f; grep -E 'o+' f; grep '\(o\)\(o\)' f
mkdir -p d/e; echo foo >d/a; echo foo >d/e/b; echo bar >d/c; grep -r foo d | sort; grep -rl foo d | sort; grep -rc foo d | sort; grep foo d/a d/c; grep -h foo d/a d/c; grep -H foo d/a; grep foo none; echo $?; grep -s foo none; echo $?
printf '1\n2\n3\n4\n5\n6\n7\n' >f; grep -A1 3 f; grep -B1 3 f; grep -C1 -e 2 -e 6 f; grep -m1 . f; grep '*' f; grep 'a\|3' f; grep '[[:digit:]]' f | head -n 2; grep '[^1-5]' f; grep 'x*' f | wc -l
printf 'one two\nthree\n' >f; sed 's/o/0/' f; sed 's/o/0/g' f; sed -n 's/o/0/p' f; sed -n 2p f; sed 1d f; sed '$d' f; sed -n '/three/p' f; sed 's/\(one\) \(two\)/\2 \1/' f; sed -E 's/(one) (two)/\2 \1/' f; sed 's/[a-z]*/<&>/' f; sed 's|one|1|; s/two/2/' f; sed -e 's/one/1/' -e 's/two/2/' f; sed y/abc/xyz/ f; sed 2q f; sed = f; sed 's/E/x/I' f; sed 's/o/0/2' f
seq 10 >f; sed -n 2,4p f; sed -n '/3/,/5/p' f; sed -n '8,$p' f; sed '2,9d' f; sed -n '$p' f; sed '3!d' f; sed -n '2~3p' f; sed '2a\
after' f | head -4; sed '2i before' f | head -3; sed '2c changed' f | head -3; sed -n '2{p;p}' f; sed '5q' f; sed -n '/9/,/2/p' f; sed '1,3c x' f; sed -n '3,1p' f; sed -n '2,+1p' f
printf 'a\nb\nc\n' | sed ':a;N;$!ba;s/\n/,/g'; printf 'a\nb\nc\nd\n' | sed 'N;s/\n/-/'; printf 'a\nb\n' | sed -n 'h;n;G;p'; printf 'a\nb\nc\n' | sed -n '1!G;h;$p'; printf 'a\nb\n' | sed 'x'; printf 'a' | sed 's/a/b/'; printf 'aaa\n' | sed 's/a*/x/g'; printf 'baaac\n' | sed 's/a*/x/g'; printf 'a.b\n' | sed 's/\./-/'; printf 'a/b\n' | sed 's/\//-/'; echo ab | sed 's/\(a\)\|b/[\1]/g'
echo hello >f; sed -i s/hello/bye/ f; cat f; sed 's/[/]/-/' f; echo 'a[b' | sed 's/[[]/x/'; echo 'a]b' | sed 's/[]]/x/'; echo abc | sed 's/b/\n/'; echo abc | sed 's/b/\&/'; echo "it's" | sed "s/'/\"/"; echo foo | sed 's/o$/0/;ta;s/f/F/;:a'
seq 20 >f; head -n 3 f; head -3 f; tail -n 2 f; tail -2 f; tail -n +19 f; head -c 5 f; tail -c 5 f; head -n -18 f; head -n 1 f f; tail -n 1 -q f f; head none; echo $?
printf 'a b\nc\n' >f; wc f; wc -l f; wc -w f; wc -c f; wc -l <f; wc f f; wc <f; printf 'é' | wc -m; echo a | wc; wc none; echo $?
seq 3; seq 2 4; seq 1 2 7; seq 3 -1 1; seq -s, 3; seq -w 8 10; seq 0.5 0.5 2; seq 0; seq 1 0
mkdir -p a/b; touch a/f a/b/g .h; ls; ls -a; ls -A; ls -1 a; ls -d a; ls -R a; ls a/f; ls none; echo $?; ls a .; ls -r
touch f; ln -s f l; ls -F; readlink l; readlink f; echo $?; readlink -f l | sed 's|.*/||'; rm l; ls; test -e l; echo $?; ln f g; ls; ln -s none dangling; cat dangling; echo $?; rm -f none; echo $?; rm none; echo $?
mkdir d; mkdir d; echo $?; mkdir -p d; echo $?; mkdir x/y; echo $?; rmdir d; echo $?; rmdir d; echo $?; mkdir -p a/b/c; rmdir -p a/b/c; ls; mkdir -m 700 m; stat -c %a m; rm m; echo $?; rm -r m; echo $?
echo 1 >a; cp a b; cat b; cp a none/b; echo $?; mkdir d; cp a d; ls d; cp d e; echo $?; cp -r d e; ls e; cp -r d e; ls -R e; cp a a; echo $?; cp a b d; ls d; cp none x; echo $?; cp -r d d/x 2>/dev/null; echo $?
echo 1 >a; mv a b; ls; mv b none/x; echo $?; mkdir d; mv b d; ls d; mv d e; ls e; mv none x; echo $?; mkdir f; mv e f; ls -R f; mv f f; echo $?; touch g; mv f g; echo $?; mv g f; ls f
touch f; chmod 644 f; stat -c %a f; chmod u+x f; stat -c %a f; chmod go-r f; stat -c %a f; chmod a=rw f; stat -c %a f; chmod +x f; stat -c '%a %A %F %s %n' f; chmod u=rwx,g=rx,o= f; stat -c %a f; chmod g=u f; stat -c %a f; chmod 4755 f; stat -c %a f; chmod u-s,+t f; stat -c %A f; chmod zz f; echo $?; mkdir d; touch d/g; chmod -R 700 d; stat -c %a d d/g; chmod a+X d d/g; stat -c %a d d/g; chmod 600 none; echo $?
touch -d '2020-01-02 03:04:05 UTC' f; stat -c %Y f; date -u -d @86400 +%Y-%m-%dT%H:%M:%S; date -u -d '2020-02-03 04:05:06' '+%j %a %A %b %B %d %e %H %I %p %M %S %s %y %% %F %T %D %u %w %V'; touch -c none; ls; touch -r f g; stat -c %Y g; date -d nonsense 2>/dev/null; echo $?
mkdir -p a/b; touch a/x.c a/b/y.c a/b/z.h; find a | sort; find a -name '*.c' | sort; find a -type d | sort; find a -type f -name 'z*'; find a -maxdepth 1 | sort; find a -mindepth 2 | sort; find . -path './a/b/*' | sort; find a -name '*.c' -o -name '*.h' | sort; find a ! -name '*.c' | sort; find a \( -name y.c -o -name z.h \) -print | sort; find a -type f -exec echo {} \; | sort; find a -name x.c -exec echo x {} +; find a -empty | sort; find a -name b -prune -o -print | sort; find none; echo $?; find a -size 0 -type f | wc -l
touch a b; find . -name a -delete; ls; echo hi >c; find . -size +0c -type f; find . -newer c; find . -type f -print0 | tr '\0' ' ' | wc -w; find . -foo; echo $?
echo a b c | xargs; echo a b c | xargs -n 1 echo x; printf 'a b\nc\n' | xargs -I{} echo '<{}>'; printf 'a\0b c\0' | xargs -0 -n1 echo; echo "a 'b c' d" | xargs -n1; echo 1 | xargs false; echo $?; echo 1 | xargs nonexistent 2>/dev/null; echo $?; true | xargs echo x; true | xargs -r echo x
echo hi | tee f g; cat f g; echo more | tee -a f >/dev/null; cat f; echo x | tee none/f; echo $?
basename /a/b.c; basename /a/b.c .c; basename /; basename a/; dirname /a/b; dirname a; dirname /; dirname /a; dirname a/b/; basename .c .c; basename -a a/b c/d
printf 'a\nb\nc\n' >f; printf 'a\nx\nc\nd\n' >g; diff f g; echo $?; diff f f; echo $?; diff -q f g; diff -u f g | tail -n +3; cmp f g; echo $?; cmp -s f g; echo $?; cmp f f; diff f none; echo $?; printf 'b\nd\n' >h; comm f h; comm -12 f h; comm -3 f h
seq 30 >f; sed '5d;20s/2/x/;25a\
new' f >g; diff f g; diff -u f g | tail -n +3; printf a >h; printf b >i; diff h i; seq 5 >j; : >k; diff j k; diff -u k j | tail -n +3; diff -U1 f g | tail -n +3
printf '1 a\n2 b\n' >f; printf '1 x\n2 y\n' >g; join f g; paste f g; paste -d, f g; paste -s f; seq 6 | paste - -; paste -sd+ f
printf 'abc\n' | rev; seq 3 | tac; printf 'a\n\nb\n' | nl; printf 'a\n\nb\n' | nl -ba; echo abcdefghij | fold -w 4; echo 'aa bb cc dd' | fold -s -w 6; printf 'a\tb\n' | expand; printf 'a\tb\n' | expand -t 4
printf 'hello' | base64; printf 'aGVsbG8=' | base64 -d; echo; seq 100 | base64 | head -2; seq 100 | base64 -w 0 | wc -l; printf '!!!' | base64 -d 2>/dev/null; echo $?
echo hi | md5sum; echo hi | sha1sum; echo hi | sha256sum; echo hi >f; sha256sum f >s; sha256sum -c s; echo ho >f; sha256sum -c s 2>/dev/null; echo $?; md5sum none; echo $?
mkdir d; echo hi >d/f; tar cf t.tar d; tar tf t.tar; rm -r d; tar xf t.tar; cat d/f; tar czf t.tgz d; mkdir x; tar xzf t.tgz -C x; cat x/d/f; tar cf - d | tar tf -; tar xf none 2>/dev/null; echo $?
echo hi >f; gzip f; ls; gunzip f.gz; cat f; gzip -c f | gzip -dc; gzip -k f; ls; zcat f.gz; echo x | gunzip 2>/dev/null; echo $?; seq 1000 | gzip | gunzip | tail -1
printf 'hello world, this is text\n' | od -c; printf 'AB\n' | od -An -tx1; printf 'AB' | od -x; printf 'ABC' | od; printf 'ABCD' | od -An -td4; printf 'hello world, this' | hexdump -C; printf 'ABC' | hexdump; printf 'hello world, this\n' | xxd; printf 'abc' | xxd -p; echo 616263 | xxd -r -p; printf 'abc' | od -An -c; seq 100 | od -N 20 -A d -t x1; head -c 64 /dev/zero | od
expr 1 + 2; expr 2 \* 3 + 1; expr 7 / 2; expr 7 % 3; expr a = a; expr 1 \> 2; echo $?; expr abc : 'a\(.\)c'; expr abc : '.*'; expr length abc; expr substr hello 2 3; expr index hello l; expr 0; echo $?; expr \( 1 + 2 \) \* 3; expr a + 1 2>/dev/null; echo $?; expr '' \| x; expr 1 / 0 2>/dev/null; echo $?
dd if=/dev/zero bs=4 count=2 2>/dev/null | od -An -tx1; echo abcdef | dd bs=2 skip=1 count=1 2>/dev/null; echo; echo abc | dd of=f 2>/dev/null; cat f; truncate -s 5 g; wc -c <g; truncate -s +3 g; wc -c <g; head -c 3 /dev/zero | wc -c
A=1 env | grep ^A=; env -i A=2 env; env A=3 sh -c 'echo $A'; env nonexistent 2>/dev/null; echo $?; A=5 printenv A; printenv NOPE; echo $?
true; echo $?; false; echo $?; yes | head -2; yes a b | head -1; nohup echo hi 2>/dev/null; timeout 5 echo hi; timeout 0.05 sleep 5; echo $?; timeout 5 false; echo $?; test 1 -eq 1; echo $?; [ a = b ]; echo $?; [ -n a ] && [ ! -z a ] && echo y; [ 1 -lt 2 -a 2 -lt 3 ] && echo z; [ ]; echo $?
x=abcdef; echo ${x#ab} ${x%ef} ${#x} ${y:-d} ${y:=e} $y ${x:+z}; x=a/b/c; echo ${x##*/} ${x%%/*} ${x%/*}; set -- a b c; echo $# "$*" "$@"; shift; echo $1; IFS=:; y=1:2; set -- $y; echo $1 $2; echo "$*"
for i in a b; do for j in 1 2; do [ $j = 2 ] && continue 2; echo $i$j; done; done; while true; do break; done; until false; do echo u; break; done; i=0; while [ $i -lt 3 ]; do i=$((i+1)); [ $i = 2 ] && continue; echo $i; done; echo $((1+2*3)) $((7/2)) $((7%3)) $((1<2)) $((5&3)) $((1?2:3)) $((0x10))
f() { echo "$1"; return 3; }; f x; echo $?; g() { local v=1; echo $v; }; v=2; g; echo $v; (exit 5); echo $?; { echo a; echo b; } | wc -l; ! false; echo $?; true && false || echo c; case x in [a-w]) echo no;; x|y) echo yes;; esac
cat <<E; cat <<'E2'; x=1
a $((1+1)) $(echo b) \$x
E
$x
E2
exec 3>f; echo a >&3; exec 3>&-; cat f; echo b >>f; cat <f; echo e 2>&1 >/dev/null; { echo o; echo e >&2; } 2>&1; cat <nonexistent || echo failed; exec 4<f; read l <&4; echo $l
trap 'echo t' EXIT; (echo s); trap 'echo i' INT; kill -INT $$; echo k; exit 3
sleep 0.01 & p=$!; wait $p; echo $?; (exit 4) & wait $!; echo $?; sleep 5 & kill $!; wait $!; echo $?; true & wait; echo $?
echo a b >f; read x y <f; echo $y $x; printf 'a:b\n' >f; IFS=: read x y <f; echo $y; printf 'l1\nl2\n' >f; while read l; do echo "[$l]"; done <f; printf 'no newline' >f; read l <f; echo $? $l; echo '  a  b  ' >f; read l <f; echo "[$l]"; IFS= read -r l <f; echo "[$l]"; printf '%s\n' 'a\b' >f; read l <f; printf '%s\n' "$l"; read -r l <f; printf '%s\n' "$l"
touch a1 a2 b1; echo a*; echo [ab]1; echo ?1; echo *3; echo "a*"; x='a*'; echo $x; echo "$x"; mkdir d; touch d/f; echo */f; echo d/*
printf '%s %d %5d|%-5d|%05d|%x|%o|%c|%%|%.2f|%e\n' a 1 2 3 4 255 8 xyz 3.14159 12345.678; printf '%s\n' a b c; printf '%s-%s\n' a b c; printf '%b' 'a\tb\n'; printf '\101\n'; printf '%5.2s|\n' abc; printf '%d\n' 0x10 010; printf '%i %u\n' -5 5; printf 'no newline'; printf '%s'; printf '%d\n' abc 2>/dev/null; echo $?
set -e; false || echo survived; if false; then :; fi; ! true; x=$(echo ok); echo $x; false; echo never
set -u; echo ${x-unset}; echo $x; echo never
printf 'a 1\nb 2\nc 3\n' >f; awk '{print $2, $1}' f; awk 'NR==2' f; awk '{s+=$2} END {print s, NR, s/NR}' f; awk -F: '{print $1}' f; awk '/b/' f; awk '$2>1{print $1}' f; awk 'BEGIN{printf "%5.2f|%s|%d\n", 3.14159, "x", 42.9}'; awk '{a[$1]=$2} END {print a["b"], length(a)}' f; awk -v x=5 'BEGIN{print x+1}'; awk '{$1="z"; print}' f; awk '{print NF}' f; awk 'BEGIN{OFS="-"} {print $1,$2}' f
awk 'BEGIN{for(i=0;i<3;i++){if(i==1)continue; print i}; while(j<2)j++; print j; x="abc"; print length(x), substr(x,2), substr(x,1,2), index(x,"c"), toupper(x); n=split("a:b:c",p,":"); print n, p[3]; s="foo"; gsub(/o/,"0",s); print s; sub("f","&&",s); print s; print 1==1.0, "a"<"b", 2<10, "2"<"10"; print 2^3, 7%3, -2, !0; print 1 " " 2; print (1>2)?"y":"n"; if (!("q" in p)) print "no"; print sprintf("%03d", 7)}'
printf 'k v\nk w\nj x\n' | awk '{c[$1]++} END {for (k in c) print k, c[k]}' | sort; printf '1\n2\n3\n4\n' | awk '/2/,/3/'; printf 'a,b\n' | awk -F, '{print $2; exit 3} END {print "end"}'; echo $?; echo 'a b c' | awk '{NF=2; print; print $NF}'; echo x | awk '{print > "out"; print "y" >> "out"} END {close_=1}'; cat out; awk 'BEGIN{print 0.1+0.2, 1e6, 1000000*10, 3/2}'; awk 'BEGIN { print length("x") ; print 1,2 }'; echo 10 9 | awk '{print ($1>$2)}'; echo "5 apples" | awk '{ $1 *= 2 } 1'; awk 'BEGIN {print match("foobar", /o+/), RSTART, RLENGTH}'
nonexistent; echo $?; ./none; echo $?; mkdir d; ./d; echo $?; echo 'echo hi' >s; ./s; echo $?; chmod +x s; ./s; sh s; . ./s; eval echo a b; command echo c; command -v nonexistent; echo $?
umask; umask 027; touch f; mkdir d; stat -c %a f d; umask u=rwx,g=,o=; umask; cd d; pwd | sed 's|.*/||'; cd ..; cd none; echo $?; cd d && cd - >/dev/null; pwd | sed 's|.*/||' | wc -l
mktemp -u x.XXXXXX | wc -c; f=$(mktemp ./t.XXXX); test -f $f && stat -c %a $f; d=$(mktemp -d ./d.XXXX); stat -c %a $d; mktemp bad.X 2>/dev/null; echo $?; du -s none; echo $?; realpath -m /a/../b; realpath none/x; echo $?; realpath /; cd /; id -u >/dev/null; nproc >/dev/null; uname -s
seq 100000 | tail -1; yes | head -100000 | wc -l; seq 1000 | sort -rn | head -1; seq 50000 | grep -c 7; seq 10000 | while read x; do echo $x; done | tail -1; seq 3 | (read a; echo "first $a"; cat)
getopts ab: o -a -b x rest; echo $o; OPTIND=1; while getopts ab: o -a -b x; do echo "$o $OPTARG"; done; echo $OPTIND; OPTIND=1; getopts a o -z 2>/dev/null; echo $o; OPTIND=1; getopts :a: o -a; echo $o $OPTARG
readonly r=1; (r=2) 2>/dev/null; echo $?; export E=5; sh -c 'echo $E'; unset E; echo [$E]; X=1 Y=2 sh -c 'echo $X$Y'; echo [$X]; x=1; x=2 true; echo $x; x=3 :; echo $x
`), "\n")

// scripts joins the lines that belong to one script.
func scripts() (out []string) {
	for _, line := range corpus {
		n := len(out)
		open := n > 0 && (strings.Count(out[n-1], "'")%2 == 1 || strings.HasPrefix(out[n-1], "cat <<E") && !strings.HasSuffix(out[n-1], "\nE2"))
		if open {
			out[n-1] += "\n" + line
			continue
		}
		out = append(out, line)
	}
	return out
}

func TestLikeARealSystem(t *testing.T) {
	sh, err := exec.LookPath("/bin/sh")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("the host has no Linux tools to compare with")
	}
	for _, src := range scripts() {
		t.Run(strings.Fields(src)[0], func(t *testing.T) {
			t.Parallel()
			for _, program := range []string{"hexdump", "xxd"} {
				if _, err := exec.LookPath(program); err != nil && strings.Contains(src, program) {
					t.Skip("the host has no ", program)
				}
			}
			want := real(t, sh, src)
			got := script(t, testFS(t), src, "")
			require.Equal(t, want.out, got.out, "%s\nstderr: %s", src, got.errs)
			require.Equal(t, want.code, got.code, src)
		})
	}
}

func real(t *testing.T, sh, src string) run {
	cmd := exec.Command(sh, "-c", "umask 022\n"+src)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=/root"}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Skip("the host's shell cannot be run: ", err)
	}
	return run{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}
