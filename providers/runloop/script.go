package runloop

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// Commands are text to the service, and so is their output: what is not UTF-8
// would be lost, and of long output only the last lines come with the answer.
// So a command runs within a script, which
//
//   - sees to its directory, user, environment and input,
//   - makes it the leader of a session, with the variable markName in its
//     environment, by which it and its children are found when they are to end,
//   - and prints its output in base64, in lines that begin with a colon, or as it
//     is, after a line with a tilde and its length, and at last a line that
//     begins with an equals sign, with its exit code.
//
// The script of a command without writers is in captured.go. That of a command
// with writers reads its output from named pipes, a line for each piece as it
// comes.
//
// A directory of the command's own, by its ID, is made at first: a command
// whose directory is there already does not run. Thus none runs twice, and none
// runs that was killed before it began.
const (
	stateDir = "/tmp/.compute"
	markName = "COMPUTE_EXEC"
)

// beginScript is in front of the scripts of commands with writers. $i is the command's ID. Of
// a command in the background, which has a record, the directory stays.
// What the shell itself says is lost: it would be about this script.
const beginScript = `b=` + stateDir + ` d=` + stateDir + `/$i q=` + stateDir + `/$i/
exec 3>&1 4>&2 2>/dev/null
fin() { echo "=$1" >&3; echo = >&4; exit 0; }
[ -d $b ] || mkdir -p -m 1777 $b
mkdir -m 700 $d || fin d
quit() {
if [ -e $d/c ]; then echo "$1 $(date +%s)" >$d/.r; mv $d/.r $d/r; else rm -rf $d; fi
fin $1
}
if command -v setsid >/dev/null; then s=setsid; else s=; fi
`

// userScript turns to another user, $u, by making the arguments of the script
// what goes in front of the command.
const userScript = `n=$(id -u -- "$u") || quit u
if [ "$n" != "$(id -u)" ]; then
if [ "$(id -u)" = 0 ]; then set -- setpriv --reuid="$n" --regid="$(id -g -- "$u")" --init-groups --
else set -- sudo -n -E -H -u "$(id -un -- "$u")" --; fi
"$@" true </dev/null >/dev/null || quit U
fi
`

// A command's ends in the place of an exit code.
const (
	endNoDir     = "n" // its directory does not exist
	endDirDenied = "p" // or cannot be entered
	endNoUser    = "u" // there is no such user
	endUserNo    = "U" // or no way to become that user
	endNoTTY     = "t" // there is nothing to make a terminal with
	endTwice     = "d" // it was begun, or killed, before
)

// liveScript runs the command with its output in pipes. A pipe ends for its
// reader with the text $t: children that live on may have it open still, and
// what they print is thrown away. The text is there twice, so that one is whole
// in a piece wherever pieces end, and is found in base64 at each of the three
// places where it can begin. It does not stand anywhere in the script, which the
// command can read.
const liveScript = `mkfifo -m 600 $d/o $d/e
t=%[2]s; t=${t}%[3]s
pump() {
while c=$(dd bs=65536 count=1 | base64 -w0); [ -n "$c" ]; do
printf ':%%s\n' "$c"
case $c in *%[4]s*|*%[5]s*|*%[6]s*) break;; esac
done
exec 7<&0
cat <&7 >/dev/null 7<&- &
}
pump <$d/o >&3 3>&- 4>&- & po=$!
pump <$d/e >&4 3>&- 4>&- & pe=$!
exec 5>$d/o 6>$d/e
%[7]s
( %[1]s ) <"$in" >&5 2>&6 3>&- 4>&- 5>&- 6>&- 8<&- &
echo $! >$d/p
wait $!; c=$?
if [ -s $d/x ]; then read -r c <$d/x; fi
printf %%s "$t$t" >&5; printf %%s "$t$t" >&6
exec 5>&- 6>&-
wait $po $pe
%[8]s
`

// feedScript takes the command's input from the script's own, where it comes in
// lines: a key, which is that of the line before if the line is sent again, and
// a piece in base64, or a full stop at the end.
const feedScript = `mkfifo -m 600 $d/i
exec 8<&0
feed() {
k=
while read -r n v; do
[ "$n" = "$k" ] && continue
k=$n
case $v in
.) break;;
*) printf %s "$v" | base64 -d || break;;
esac
done
}
feed <&8 >$d/i 3>&- 4>&- 5>&- 6>&- & pi=$!
in=$d/i`

// launch is a command as it is sent.
type launch struct {
	id  string
	cmd *compute.Command

	// At most one of these is the input: what goes along, the name of a file
	// in the devbox, which is removed, or lines that are sent to the script.
	inline []byte
	file   string
	feed   bool

	sweep  string // IDs below it are of commands whose files are removed
	record string // kept in the devbox, for commands in the background
	end    []byte // what ends the output of a live one
}

func newLaunch(cmd *compute.Command) *launch { return &launch{id: newID(), cmd: cmd} }

// live returns the script that prints output as it comes.
func (l *launch) live() (string, error) {
	run, err := l.run()
	if err != nil {
		return "", err
	}
	if l.end == nil {
		l.end = newEnd()
	}
	text := string(l.end)
	feed, quit := "", "quit $c"
	if l.feed {
		feed, quit = feedScript, "kill $pi\n"+quit
	}
	forms := base64Forms(l.end)
	return l.begin(beginScript) + fmt.Sprintf(liveScript, run, text[:10], text[10:], forms[0], forms[1], forms[2], feed, quit), nil
}

// newEnd returns what ends the output of one command.
func newEnd() []byte { return []byte(rand.Text() + rand.Text()[:1]) }

// begin returns the part before the command: its ID, its user and its input.
func (l *launch) begin(script string) string {
	var b strings.Builder
	b.WriteString("i=" + l.id + "\n" + script)
	if l.record != "" {
		b.WriteString("echo " + l.record + " >$d/c\n")
	}
	switch {
	case l.inline != nil:
		b.WriteString("in=${q}i\n" + l.inputFile("${q}i"))
	case l.file != "":
		b.WriteString("in=${q}i\nmv " + providers.Quote(l.file) + " $in || quit d\n")
	default:
		b.WriteString("in=/dev/null\n")
	}
	b.WriteString("set --\n")
	if l.cmd.TTY != nil {
		b.WriteString("command -v script >/dev/null && command -v stty >/dev/null || quit " + endNoTTY + "\n")
	}
	if l.cmd.User != "" {
		b.WriteString("u=" + providers.Quote(l.cmd.User) + "\n" + userScript)
	}
	return b.String()
}

// inputFile returns what makes the file of the input that goes along.
func (l *launch) inputFile(name string) string {
	return "base64 -d >" + name + " <<'.'\n" + base64.StdEncoding.EncodeToString(l.inline) + "\n.\n"
}

// run returns what is run in a shell of its own: the way to the directory, and
// the command.
func (l *launch) run() (string, error) {
	env := maps.Clone(l.cmd.Env)
	if env == nil {
		env = map[string]string{}
	}
	env[markName] = l.id
	words, err := l.words(env)
	if err != nil {
		return "", err
	}
	words = "env -- " + words
	if l.cmd.TTY != nil {
		words = terminalWords(l.cmd.TTY, words)
	}
	return enter(l.cmd.Dir) + `exec "$@" $s ` + words, nil
}

// words returns the command as the arguments of env.
func (l *launch) words(env map[string]string) (string, error) {
	own := *l.cmd
	own.Dir, own.User, own.Env = "", "", env
	line, err := providers.ShellLine(&own)
	if err != nil {
		return "", named(err)
	}
	words, ok := strings.CutPrefix(line, "exec env -- ")
	if !ok {
		panic("runloop: providers.ShellLine does not begin as it did")
	}
	return words, nil
}

// terminalWords puts a terminal around a command. Its name and the command's own
// process are kept for those who want to resize the one and signal the other.
func terminalWords(size *compute.TTY, words string) string {
	inner := fmt.Sprintf("tty >$T/t; echo $$ >$T/g; stty rows %d cols %d; unset T; exec %s",
		cmp.Or(size.Rows, 24), cmp.Or(size.Cols, 80), words)
	return "env T=$d SHELL=/bin/sh script -qefc " + providers.Quote(inner) + " /dev/null"
}

// enter returns the way to a directory. Where that does not lead there is no
// command, and the file x says why.
func enter(dir string) string {
	if dir == "" {
		return ""
	}
	if !strings.HasPrefix(dir, "/") {
		dir = "./" + dir
	}
	q := providers.Quote(dir)
	return "cd -P -- " + q + " || { [ -d " + q + " ] && echo " + endDirDenied + " >${q}x || echo " + endNoDir + " >${q}x; exit; }; "
}

// base64Forms returns what is in base64 wherever text is in what it stands for,
// for each of the three places in a group at which it can begin.
func base64Forms(text []byte) (forms [3]string) {
	for at := range forms {
		whole := text[(3-at)%3:]
		forms[at] = base64.RawStdEncoding.EncodeToString(whole[:len(whole)/3*3])
	}
	return forms
}
