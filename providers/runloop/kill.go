package runloop

import (
	"context"
	"fmt"
	"strings"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// rootScript makes $r what gives the following words all rights, if anything
// does, so that processes of other users are found.
const rootScript = `r=; if [ "$(id -u)" != 0 ] && sudo -n true </dev/null >/dev/null 2>&1; then r='sudo -n'; fi
`

// killScript kills a command, $i, with all that came of it: what has the mark in
// its environment, wherever it went; what is in the command's session; and all
// children of those, whoever runs them. It looks again until there is nothing,
// as they may be quicker in making more. A command that has not begun will not.
const killScript = `b=` + stateDir + ` d=` + stateDir + `/$i q=` + stateDir + `/f/$i.
exec 2>/dev/null
` + quickScript + `: >${q}k
own() { mkdir -m 700 $d; }
quick() { [ -d $b/f ] && ! ( set -C; echo 0 0 0 >${q}p ); }
over() { [ -e $d/r ] || ! [ -e $d/p ]; }
f=$d/p
if quick; then
f=${q}p
over() { w=; read -r v v w <$f; [ -n "$w" ] && ! [ -d /proc/$w ]; }
over && exit 0
else
own && exit 0
[ -e $d/r ] && exit 0
fi
` + rootScript + endScript + ` ` + markName + `=$i $f
n=0
while ! over && [ $n -lt 200 ]; do n=$((n+1)); sleep 0.01; done
exit 0
`

// endScript is followed by a mark, the file p of a command, and more processes,
// each with the time at which it began, lest another has its number now.
const endScript = `$r sh -c '
m=$1 z=$2 p=none n=0 j=
shift 2
for f; do
{ read -r v </proc/${f%:*}/stat; } 2>/dev/null || continue
q=${f%:*} s=${f#*:}
set -- ${v##*) }
shift 19
[ "$1" = "$s" ] && j="$j$q "
done
[ -s $z ] && read -r p g w <$z
g=${g:-$p}
while [ $n -lt 200 ]; do
n=$((n+1)) l=" $j"
for f in $(grep -lsF "$m" /proc/[0-9]*/environ); do f=${f#/proc/}; l="$l${f%%/*} "; done
while old=$l; do
for f in /proc/[0-9]*/stat; do
{ read -r v <$f; } 2>/dev/null || continue
q=${v%% *}
case $l in *" $q "*) continue;; esac
set -- ${v##*) }
case $l in *" $2 "*) l="$l$q "; continue;; esac
[ "$4" = "$g" ] && [ "$q" != "$w" ] && l="$l$q "
done
[ "$l" = "$old" ] && break
done
k=
for q in $l; do
{ read -r v </proc/$q/stat; } 2>/dev/null || continue
set -- ${v##*) }
[ "$1" = Z ] || k="$k $q"
done
[ -n "$k" ] || break
kill -9 $k 2>/dev/null
done
' sh`

// killShell returns the script that ends all that a named shell has started: what
// has its mark, and its jobs, of which those that are mere copies of the shell
// have none.
func killShell(id string) string {
	return rootScript + "j=; f=" + stateDir + "/jobs-" + id + "; [ -s $f ] && j=$(cat $f) && rm -f $f\n" +
		endScript + " " + shellMark + "=" + id + " /dev/null $j\nexit 0\n"
}

// kill ends a command by its ID. A command that has ended is no error.
func (s *Sandbox) kill(ctx context.Context, id string) error {
	_, err := s.script(ctx, "i="+id+"\n"+killScript)
	return err
}

// script runs text that prints plain lines in the devbox's shell, and returns
// what it printed. The text must bear to be run twice.
func (s *Sandbox) script(ctx context.Context, text string) (string, error) {
	view, err := s.p.client.Devboxes.ExecuteAndAwait(ctx, s.id, &runloopapi.ExecuteParams{Command: text, CommandID: newID()}, 1<<20)
	if err != nil {
		return "", err
	}
	if view.ExitStatus == nil || *view.ExitStatus != 0 || view.Stdout == nil || view.StdoutTruncated {
		said := ""
		if view.Stderr != nil {
			said = strings.TrimSpace(*view.Stderr)
		}
		return "", fmt.Errorf("a script of the provider's failed in the devbox: %s", cut(said, 500))
	}
	return *view.Stdout, nil
}
