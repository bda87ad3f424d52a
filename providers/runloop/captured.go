package runloop

import (
	"fmt"
	"time"

	"github.com/computekit/compute"
)

// The script of a command without writers has its output in two files until it
// ends, and then prints each: as it is, with its length in front, if it is plain
// text of moderate length, and otherwise in base64.
//
// Where the devbox's shell is bash, which is its usual one, the script gets by
// with what bash has built in: of the two processes that it starts one becomes the
// command, and the other ends with it. The files of its commands are in a
// directory that the first command of a devbox makes, and are removed by later
// ones, see sweepScript. With other shells each command has a directory of its
// own, and takes some processes more.
//
// Output that nobody will get must not fill the disk: the script looks now and then
// how long it is, and throws away what is beyond the part that can be returned.
//
// Names of files begin with $q, wherever they are:
//
//	p     a process of the command's, the session that it is in, and the script's
//	      own process. Whoever makes it has the command: it does not run twice
//	k     is there when the command is to be killed, also before it begins
//	o, e  the output
//	oh    the beginning of an output that was too long, once there is od
//	i, x  the input; why there was no command

// quickScript makes what the files of commands need, once in a devbox; of several
// that do so at once all find it. The pipe is one in which nothing ever comes: bash
// can wait for that with a timeout.
const quickScript = `if ! [ -O $b/f/t ]; then
[ -d $b ] || mkdir -p -m 1777 $b
[ -d $b/f ] || mkdir -m 700 $b/f
mkfifo -m 600 $b/f/t
fi
`

// beginCaptured is in front of a command without writers. In bash, if the script
// leads a session, the command stays in it, in a process group of its own.
const beginCaptured = `b=` + stateDir + ` d=` + stateDir + `/$i
exec 3>&1 4>&2 2>/dev/null
fin() { echo "=$1" >&3; echo = >&4; exit 0; }
s= w='env --' bash= large=
if [ -n "$BASH_VERSION" ]; then
` + quickScript + `[ -O $b/f ] && [ -O $b/f/t ] && bash=1
fi
if [ -n "$bash" ]; then
q=$b/f/$i.
session() { set -- ${v##*) }; g=$4; }
read -r v </proc/$$/stat && session
if [ "$g" = $$ ]; then g="$$ $$ $$" w=--; else g= s=setsid; fi
set -C
printf "${g:+$g\n}" >${q}p || fin d
set +C
else
q=$d/
[ -d $b ] || mkdir -p -m 1777 $b
mkdir -m 700 $d || fin d
command -v setsid >/dev/null && s=setsid
fi
quit() {
if [ -z "$bash" ]; then rm -rf $d; elif [ -n "$large" ]; then rm -f ${q}[oei]*; fi
fin $1
}
`

// boundScript throws away what a file of output, $q and a letter, has beyond a
// number of bytes. The beginning is kept in another. pos knows the length by the
// position of a descriptor, which takes bash no process.
const boundScript = `full() {
[ "$2" -gt $3 ] || return
[ -e $q${1}d ] || { head -c $3 $q$1 >$q${1}h && : >$q${1}d; }
: >$q$1
}
pos() { read -r v v </proc/$BASHPID/fdinfo/$1 && full $2 $v $3; }
`

// capturedScript runs the command, and beside it what looks at its output's
// length, in bash as the position in the files, which takes no process.
const capturedScript = `run() {
if [ -n "$bash" ]; then
[ -n "$g" ] || echo $BASHPID $BASHPID $$ >>${q}p
[ -e ${q}k ] && exit 137
fi
%[1]s
}
` + boundScript + `watch() {
if [ -n "$bash" ]; then
exec 9<>$b/f/t
while read -r -t .25 -u 9 v; [ $? -gt 128 ] && kill -0 $$; do pos 5 o %[2]d; pos 6 e %[2]d; done
else
while sleep 1 && kill -0 $$; do for v in o e; do full $v $(wc -c <$q$v) %[2]d; done; done
fi
}
exec 5>>${q}o 6>>${q}e
[ "$w" = -- ] && set -m
( run "$@" ) <"$in" >&5 2>&6 3>&- 4>&- 5>&- 6>&- &
p=$!
[ "$w" = -- ] && set +m
[ -n "$bash" ] || echo $p >${q}p
watch </dev/null >/dev/null 3>&- 4>&- &
n=$!
wait $p; c=$?
kill -9 $n
[ -s ${q}x ] && read -r c <${q}x
LC_ALL=C
out() {
f=$q$1
[ -e ${f}d ] && f=${f}h
[ -s $f ] || return
if [ -n "$bash" ] && ! IFS= read -r -d '' -n %[3]d v <$f; then
case $v in
*[$'\200'-$'\377']*) ;;
*) printf '~%%d\n%%s\n' ${#v} "$v"; return;;
esac
fi
printf :; head -c %[2]d $f | base64 -w0; echo
large=1
}
out o >&3; out e >&4
quit $c
`

// maxText is how long an output is at most that is printed as it is.
const maxText = 256 << 10

// sweepScript removes the files of commands that have ended, but for p where the
// ID is not less than $a.
const sweepScript = `if [ -n "$bash" ]; then (
exec 3>&- 4>&- </dev/null >/dev/null
l=
for f in $b/f/*.p; do
f=${f%.p} n=${f##*/} g=
read -r v v g <$f.p
[ -n "$g" ] && ! [ -d /proc/$g ] || continue
[ "$n" \< "$a" ] && l="$l $f.p"
l="$l $f.k $f.o $f.e $f.i $f.x $f.oh $f.od $f.eh $f.ed"
done
[ -n "$l" ] && rm -f $l
) & fi
`

// captured returns the script that prints all output at the end.
func (l *launch) captured() (string, error) {
	run, err := l.run()
	if err != nil {
		return "", err
	}
	if l.cmd.User == "" && len(l.cmd.Env) == 0 {
		// The shell itself can set the one variable that there is.
		words, err := l.words(nil)
		if err != nil {
			return "", err
		}
		run = "export " + markName + "=$i\n" + enter(l.cmd.Dir) + "exec $s $w " + words
	}
	sweep := ""
	if l.sweep != "" {
		sweep = "a=" + l.sweep + "\n" + sweepScript
	}
	return l.begin(beginCaptured) + sweep + fmt.Sprintf(capturedScript, run, compute.MaxCapture+1, maxText), nil
}

const (
	sweepEvery = 32               // commands
	sweepAfter = 10 * time.Minute // until which a late request for a command finds that it has run
)

// sweep returns what a command is to remove the files of: most commands nothing.
func (s *Sandbox) sweep() string {
	if s.commands.Add(1)%sweepEvery != 0 {
		return ""
	}
	return idBefore(time.Now().Add(-sweepAfter))
}
