package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/computekit/compute"
)

// prelude is in front of every plan. Its $1 is the staging directory, $2 the
// root, empty for the working directory, $3, when root runs it for somebody else,
// the owner of what is made, and $4 is for the plan.
//
// into enters a directory, which is made if need be. That it is where its name
// says is known from the kernel: a shell's own pwd may go by what it remembers.
// After that only names in "." are used. mv is given "." for a target, so that
// it does not look where a link of the name leads.
const prelude = `LC_ALL=C; export LC_ALL; IFS=' 	
'; unset CDPATH; umask 022; set -f
nl='
'
stop() { printf 'compute-workspace:%s' "$2" >&2; exit "$1"; }
again() { [ "$(id -u)" != 0 ] || stop 84 "$1"; id -u; id -g; trap - EXIT; exit 90; }
here() { h=$(env pwd -P && echo .) && [ "$h" = "$1$nl." ]; }
into() {
	cd -P -- "$1" 2>/dev/null && here "$1" && return
	[ "$1" != / ] || stop 83 /
	set -- "$1" "${1%/*}"
	into "${2:-/}"
	if [ -L "./${1##*/}" ]; then stop 81 "$1"; fi
	if ! [ -d "./${1##*/}" ]; then
		mkdir -- "./${1##*/}" 2>/dev/null || [ -d "./${1##*/}" ] || { [ -e "./${1##*/}" ] && stop 82 "$1"; stop 83 "$1"; }
		cd -P -- "./${1##*/}" 2>/dev/null && here "$1" || stop 81 "$1"
		[ -z "$O" ] || chown -- "$O" . || stop 84 "$1"
		return
	fi
	cd -P -- "./${1##*/}" 2>/dev/null || stop 83 "$1"
	here "$1" || stop 81 "$1"
}
put() { set +f; set -- "$S/f/$1"/$2; set -f; mv -f -- "$@" . || stop 82 "$(env pwd -P)"; }
mode() { [ "$(stat -c %a .)" = "$1" ] || chmod "$1" . || stop 84 "$(env pwd -P)"; }
lnk() {
	[ -d "${2%/*}" ] || mkdir -p -- "${2%/*}"
	ln -sfn -- "$1" "$2" && { [ -z "$O" ] || chown -h -- "$O" "$2"; } || exit
}
S=$1; R=$2; O=$3
[ -d "$S" ] || exit 92
[ -w "$S" ] || { id -u; id -g; exit 90; }
S=$(cd -P -- "$S" && env pwd -P) || exit 1
[ -n "$R" ] || R=$(env pwd -P && echo .) && R=${R%"$nl."}
if [ -n "$O" ]; then
	chmod 0700 "$S"
	find "$S" -path "$S/[ft]/*" ! -type d -exec chown -h -- "$O" {} + || stop 84 "$S"
fi
trap 'cd / && rm -rf -- "$S"' EXIT
. "$S/plan"
`

// Exit codes of a plan; see prelude.
const (
	exitLink     = 81
	exitInTheWay = 82
	exitNoDir    = 83
	exitNoOwner  = 84
	exitMount    = 85
	exitNoGit    = 86
	exitGit      = 87
	exitAccount  = 88
	exitBusy     = 89
	exitNotRoot  = 90
	exitLost     = 91 // what was done could not be undone
	exitGone     = 92 // there is no staging directory
)

// mark is in front of the name that an exit code is about.
const mark = "compute-workspace:"

// script runs the plan in a staging directory and returns what it printed.
// Where it takes root and the sandbox's user is another, root does it for them.
func script(ctx context.Context, op string, sb compute.Sandbox, stage, root, mode string) (string, error) {
	cmd := compute.Exec("sh", "-c", prelude, "sh", stage, root, "", mode)
	res, err := sb.RunCommand(ctx, cmd)
	if err == nil && res.ExitCode == exitNotRoot {
		uid, gid, _ := strings.Cut(strings.TrimSpace(res.Stdout), "\n")
		if !accountID.MatchString(uid) || !accountID.MatchString(gid) {
			return "", &compute.Error{Op: op, ID: sb.ID(), Err: errors.New("it is not known who runs commands: id says neither a user nor a group")}
		}
		cmd.User = "root"
		cmd.Args[len(cmd.Args)-2] = uid + ":" + gid
		res, err = sb.RunCommand(ctx, cmd)
	}
	if err != nil {
		return "", &compute.Error{Op: op, ID: sb.ID(), Err: err}
	}
	return res.Stdout, outcome(op, sb.ID(), res)
}

// outcome makes an error of the result of a plan, nil if it succeeded.
func outcome(op, id string, res *compute.Result) error {
	err := res.Err()
	if err == nil {
		return nil
	}
	said, name, _ := strings.Cut(res.Stderr, mark)
	fail := func(kind error, format string, args ...any) error {
		return &compute.Error{Op: op, ID: id, Kind: kind, Err: fmt.Errorf(format, args...)}
	}
	switch res.ExitCode {
	case exitLink:
		return fail(compute.ErrConflict, "%q is, or goes through, a link; links are not followed", name)
	case exitInTheWay:
		return fail(compute.ErrConflict, "what is to be at %q cannot take its place: %s", name, tail(said))
	case exitNoDir:
		return fail(fs.ErrPermission, "the directory %q cannot be made or entered", name)
	case exitNoOwner:
		return fail(compute.ErrForbidden, "the owner, group or mode of %q cannot be set: %s", name, tail(said))
	case exitMount:
		return fail(compute.ErrConflict, "something is mounted at %q that the manifest does not name", name)
	case exitNoGit:
		return fail(errors.ErrUnsupported, "entry %q: the sandbox has no git", name)
	case exitGit:
		return fail(nil, "entry %q: git cannot fetch it: %s", name, tail(said))
	case exitAccount:
		return fail(errors.ErrUnsupported, "the account %q cannot be made: the sandbox has neither useradd nor adduser, or they refuse: %s", name, tail(said))
	case exitBusy:
		return fail(compute.ErrConflict, "another program is replacing this workspace")
	case exitNotRoot:
		return fail(compute.ErrForbidden, "it takes root, and root may not either")
	case exitLost, exitGone:
		return &compute.Error{Op: op, ID: id, Err: err}
	case 126, 127:
		return &compute.Error{Op: op, ID: id, Kind: errors.ErrUnsupported, Err: fmt.Errorf("the sandbox needs sh, mv, mkdir, find and the like: %w", err)}
	}
	return &compute.Error{Op: op, ID: id, Err: err}
}

// unknown is the error for a script that ended well and did not say so.
func unknown(op string, sb compute.Sandbox) error {
	return &compute.Error{Op: op, ID: sb.ID(), Kind: compute.ErrUnavailable, Err: errors.New("the outcome is not known: the script's last words are missing")}
}

// tail is the end of what programs said, for people.
func tail(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 300 {
		s = "..." + strings.ToValidUTF8(s[len(s)-300:], "")
	}
	return s
}
