package providers

import (
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/shellword"
)

// Quote returns s as one word for a POSIX shell, whatever is in it but a NUL
// byte, which no shell can hold.
func Quote(s string) string { return shellword.Quote(s) }

// Exit codes by which a line from [ShellLine] says that nothing was run.
const (
	exitNoDir     = 121 // Dir does not exist
	exitDirDenied = 122 // Dir cannot be entered
)

// dirMessage is printed with them, to tell them from a program's own.
const dirMessage = "compute: cannot enter the working directory"

// ShellLine returns a command with its arguments, directory and environment as
// text for a POSIX shell. It is for providers that accept nothing but text.
// The sandbox must have env and /bin/sh.
//
// The text ends with its program: it can be followed by more when put in
// parentheses, as in "( " + line + " ); echo $?". A Script is a single word in
// it and is run by a shell of its own: whatever it is, complete or not, it
// cannot reach what surrounds it.
//
// If Dir cannot be entered, nothing is run; give the result to [DirError] to
// find out. Readers, writers and TTY are left to the provider. User is an error
// matching [errors.ErrUnsupported]: a provider that can change users gives a
// copy of the command without it and puts the line, quoted, behind its own
// "su" or "sudo".
func ShellLine(cmd *compute.Command) (string, error) {
	if err := cmd.Validate(); err != nil {
		return "", err
	}
	if cmd.User != "" {
		return "", UnsupportedOption("run command", "", "User")
	}
	return enter(cmd.Dir) + "exec " + strings.Join(words(cmd), " "), nil
}

// words returns a simple command that runs cmd. The environment is set by env,
// since a shell has variables of its own that it does not let be changed.
func words(cmd *compute.Command) []string {
	w := []string{"env", "--"}
	for _, k := range slices.Sorted(maps.Keys(cmd.Env)) {
		w = append(w, k+"="+Quote(cmd.Env[k]))
	}
	switch {
	case cmd.Script != "":
		w = append(w, "/bin/sh", "-c", "--", Quote(cmd.Script))
	case strings.Contains(cmd.Args[0], "="): // env would take it for a variable
		w = append(w, "/bin/sh", "-c", Quote(`"$0" "$@"`))
	}
	for _, a := range cmd.Args {
		w = append(w, Quote(a))
	}
	return w
}

// enter returns the part of a line that goes to a directory or gives up.
func enter(dir string) string {
	if dir == "" {
		return ""
	}
	d := Quote(explicit(dir))
	return "cd -P -- " + d + " 2>/dev/null || { echo '" + dirMessage + "' >&2; [ -d " + d + " ] && exit 122; exit 121; }; "
}

// explicit returns a name that no program takes for an option, nor a shell for
// anything but a path.
func explicit(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return "./" + name
}

// DirError returns the error to be returned for a command if its result says
// that the line from [ShellLine] could not enter its Dir, and nil otherwise. It
// matches [fs.ErrNotExist], or [fs.ErrPermission] if there is such a directory.
func DirError(cmd *compute.Command, res *compute.Result) error {
	said := cmd.Stderr != nil || strings.Contains(res.Stderr, dirMessage) || // unseen, seen,
		cmd.TTY != nil && (cmd.Stdout != nil || strings.Contains(res.Stdout, dirMessage)) // or merged
	if cmd.Dir == "" || !said {
		return nil
	}
	switch res.ExitCode {
	case exitNoDir:
		return &fs.PathError{Op: "chdir", Path: cmd.Dir, Err: fs.ErrNotExist}
	case exitDirDenied:
		return &fs.PathError{Op: "chdir", Path: cmd.Dir, Err: fs.ErrPermission}
	}
	return nil
}
