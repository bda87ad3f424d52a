package workspace

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// swapFunctions replace what is in directories. The old entries go to $S/o/N,
// the new ones come from $S/t/N, and a mark in $S/p/N says of each new one that
// it is about to come, so that undo, which may be another run, knows what of
// the directory's entries is new. Entries that stay are a list in $stay, each
// between slashes.
const swapFunctions = `
lock=.compute-workspace-lock
list() { set +f; set -- "$1"/* "$1"/.[!.]* "$1"/..?*; set -f; names=; n=0; for c; do if [ -e "$c" ] || [ -L "$c" ]; then eval "c$n=\$c"; n=$((n+1)); fi; done; }
stays() { case $stay in */"$1"/*) return 0;; esac; [ "$1" = "$lock" ]; }
clear_out() {
	list .
	i=0
	while [ $i -lt $n ]; do
		eval "c=\$c$i"; c=${c##*/}; i=$((i+1))
		stays "$c" || mv -- "./$c" "$S/o/$1/" || return 1
	done
}
bring_in() {
	list "$S/t/$1"
	i=0
	while [ $i -lt $n ]; do
		eval "c=\$c$i"; i=$((i+1))
		: >"$S/p/$1/${c##*/}"
		mv -- "$c" . || return 1
	done
}
back() {
	list "$S/p/$1"
	i=0
	while [ $i -lt $n ]; do
		eval "c=\$c$i"; c=${c##*/}; i=$((i+1))
		if [ -e "$S/t/$1/$c" ] || [ -L "$S/t/$1/$c" ]; then continue; fi
		if [ -e "./$c" ] || [ -L "./$c" ]; then mv -- "./$c" "$S/t/$1/" || return 1; fi
		rm -f -- "$S/p/$1/$c"
	done
	list "$S/o/$1"
	i=0
	while [ $i -lt $n ]; do
		eval "c=\$c$i"; i=$((i+1))
		mv -- "$c" . || return 1
	done
}
free() { into "$R"; if [ -e "$S/locked" ]; then rmdir "./$lock" 2>/dev/null; fi; :; }
undo() {
	trap - EXIT
	all back || exit 91
	free
	trap 'cd / && rm -rf -- "$S"' EXIT
}
mounts() {
	[ -r /proc/self/mountinfo ] || return 0
	while read -r a b c d p q; do
		p=$(printf %b. "$p"); p=${p%.}
		case $p in "$R"/*) case $kept in *"//$p//"*) ;; *) stop 85 "$p";; esac;; esac
	done </proc/self/mountinfo
}
`

// text returns the plan.
func (h *hydrating) text() string {
	var b strings.Builder
	b.WriteString(swapFunctions)
	b.WriteString("kept=\n")
	for _, m := range h.mounts {
		fmt.Fprintf(&b, "kept=$kept//%s//\n", word(m))
	}
	b.WriteString("all() {\n")
	for i, dir := range h.spines {
		fmt.Fprintf(&b, "\tinto %s\n\tstay=/%s\n\t\"$1\" %d || return 1\n", word(dir), quote(h.stay(dir)), i)
	}
	b.WriteString("}\n")
	b.WriteString(`if [ "$4" = undo ]; then
	if [ -e "$S/done" ]; then trap - EXIT; printf 'root %s' "$R"; exit 0; fi
	if [ -d "$S/o" ]; then undo; fi
	exit 0
fi
`)
	b.WriteString(h.plan.String())
	b.WriteString("[ -z \"$O\" ] || find \"$S/t\" -mindepth 2 -depth -exec chown -h -- \"$O\" {} + || stop 84 \"$S\"\n")
	for _, d := range slices.Backward(h.dirs) {
		fmt.Fprintf(&b, "chmod %s %s || exit\n", octal(d.FileInfo().Mode()), staged(d.Name))
	}
	b.WriteString("into \"$R\"\nmounts\nmkdir -- \"$S/o\" \"$S/p\" || exit\n")
	for i := range h.spines {
		fmt.Fprintf(&b, "mkdir -- \"$S/o/%d\" \"$S/p/%[1]d\" || exit\n", i)
	}
	b.WriteString(`into "$R"
if [ -d "./$lock" ] && [ -n "$(find "./$lock" -prune -mmin +10 2>/dev/null)" ]; then rmdir "./$lock"; fi
mkdir "./$lock" 2>/dev/null || stop 89 "$R"
: >"$S/locked"
all clear_out && all bring_in || { undo; stop 82 "$R"; }
: >"$S/done"
free
trap - EXIT
cd / && rm -rf -- "$S/o" "$S/t" "$S/p"
printf 'root %s' "$R"
`)
	return b.String()
}

// stay lists what of a directory's entries is not replaced.
func (h *hydrating) stay(dir string) string {
	var b strings.Builder
	for _, name := range slices.Concat(h.mounts, h.spines) {
		if name != "." && path.Dir(name) == dir {
			b.WriteString(path.Base(name) + "/")
		}
	}
	return b.String()
}
