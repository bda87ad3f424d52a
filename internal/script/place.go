// Package script has the pieces that providers' shell scripts have in common.
// They ask for no more than POSIX and what GNU's, BusyBox's and Toybox's programs
// agree on.
package script

// Begin is in front of a script. Messages must be in English, since they are
// looked at.
const Begin = `LC_ALL=C; export LC_ALL
no() { echo "$1" >&2; exit 1; }
`

// Place comes after [Begin] and finds where a file is to be written. The name is
// $1, which begins with a slash or a dot. A link is followed, since the file it
// leads to is meant, which need not be there; readlink -f does not do that the
// same everywhere. It sets t to the place and d to its directory with a slash
// after it.
const Place = `nl='
'
t=$1 n=0
while [ -L "$t" ]; do
n=$((n + 1)); [ $n -le 40 ] || no "Too many levels of symbolic links"
l=$(readlink -- "$t" && echo x) || no "No such file or directory"
l=${l%"$nl"x}
case $l in /*) t=$l;; *) t=${t%/*}/$l;; esac
done
d=${t%/*}/
[ $n = 0 ] || [ -d "$d" ] || no "No such file or directory"
`

// Vacant comes after [Place]: what is there must be a file, if anything is. The
// directory is made.
const Vacant = `case $t in */ | */. | */..) no "Is a directory";; esac
if [ -d "$t" ]; then no "Is a directory"; fi
if [ -e "$t" ] && ! [ -f "$t" ]; then no "Not a regular file"; fi
if [ -e "${d%/}" ] && ! [ -d "$d" ]; then no "Not a directory"; fi
[ -d "$d" ] || mkdir -p -- "$d" || [ -d "$d" ] || exit 1
`
