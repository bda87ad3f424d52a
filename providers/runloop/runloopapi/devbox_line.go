package runloopapi

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/computekit/compute/internal/shellword"
)

// InDir returns the line that runs a command, itself a line for the devbox's shell, in a directory. A relative one is
// below the one in which the line runs, and ~ means nothing in it. Where there is no such directory the command does not
// run: the shell says so on the standard error, and the exit code is not zero. Neither text may hold a NUL byte.
//
// In a named shell the directory is that of the one command: the shell is in its own again afterwards, unless the command
// ends it. Other changes, such as variables, stay, and __dir and __code are set.
func InDir(dir, command string) string {
	if !strings.HasPrefix(dir, "/") {
		dir = "./" + dir // neither an option, nor what cd knows another place for
	}
	return "__dir=$PWD; cd -- " + shellword.Quote(dir) + " && eval " + shellword.Quote(command) + "; __code=$?; cd -- \"$__dir\"; (exit $__code)"
}

var userName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,63}$`)

// AsUser returns the line that runs a command, itself a line for the devbox's shell, as a user: in a shell of its own, in
// the directory and with the variables of the line, but for HOME, USER and LOGNAME, which are the user's. It takes sudo
// without a password, which the devboxes of Runloop's own image have, or a devbox whose user is root. Where there is no such
// user, or no way to become one, the command does not run, and the exit code is not zero. The command may hold no NUL byte.
//
// What a command changes of its shell, such as directory and variables, does not come back to a named shell. A name that no
// system has, such as an empty one, is an [ErrBadRequest].
func AsUser(user, command string) (string, error) {
	if !userName.MatchString(user) {
		return "", fmt.Errorf("runloop: %q is no name of a user: %w", user, ErrBadRequest)
	}
	return `( h=~` + user + `; if [ "$(id -un)" = ` + user + ` ]; then set --; ` +
		`elif [ "$(id -u)" = 0 ]; then set -- setpriv --reuid=` + user + ` --regid="$(id -g ` + user + `)" --init-groups --; ` +
		`else set -- sudo -n -E -u ` + user + ` --; fi; ` +
		`exec "$@" env HOME="$h" USER=` + user + ` LOGNAME=` + user + ` "${BASH:-sh}" -c ` + shellword.Quote(command) + ` )`, nil
}
