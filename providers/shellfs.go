package providers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/script"
)

// ShellFilesystem returns a [compute.Filesystem] that does everything by
// running commands. The sandbox must have a POSIX shell and the usual programs
// in the versions of GNU, BusyBox or Toybox: base64, find, stat and readlink.
//
// Every call is one command, and names and contents are base64 on the way, for
// the sake of providers whose output or input is text. Contents go through
// Stdin; where the provider does not support that, they go through arguments in
// pieces, a command each. It is a [compute.FileOpener],
// [compute.FileCreator] and [compute.Renamer].
func ShellFilesystem(r compute.Runner) compute.Filesystem { return &shellFS{r} }

type shellFS struct{ r compute.Runner }

var _ interface {
	compute.FileOpener
	compute.FileCreator
	compute.Renamer
} = (*shellFS)(nil)

// call runs a script with name as its $1 and more arguments from $2 on.
func (s *shellFS) call(ctx context.Context, op, name, text string, args ...string) (string, error) {
	shown := name
	name, err := shellName(op, name)
	if err != nil {
		return "", err
	}
	res, err := s.r.RunCommand(ctx, command(text, name, args...))
	if err != nil {
		return "", err
	}
	if res.Truncated {
		return "", &fs.PathError{Op: op, Path: shown, Err: compute.ErrTruncated}
	}
	return res.Stdout, failure(op, shown, res)
}

func command(text, name string, args ...string) *compute.Command {
	return compute.Exec("sh", append([]string{"-c", script.Begin + text, "sh", name}, args...)...)
}

func shellName(op, name string) (string, error) {
	if name == "" || strings.Contains(name, "\x00") {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return explicit(name), nil
}

// reasons maps the ends of programs' messages to what package fs calls them.
// Those of dash and of BusyBox's shell are not those of the C library.
var reasons = []struct {
	end string
	err error
}{
	{"No such file or directory", fs.ErrNotExist},
	{"No such file", fs.ErrNotExist},
	{"no such file", fs.ErrNotExist},
	{"Directory nonexistent", fs.ErrNotExist},
	{"nonexistent directory", fs.ErrNotExist},
	{"Permission denied", fs.ErrPermission},
	{"Operation not permitted", fs.ErrPermission},
	{"Read-only file system", fs.ErrPermission},
	{"File exists", fs.ErrExist},
	{"Is a directory", fmt.Errorf("%w: is a directory", fs.ErrInvalid)},
	{"Not a directory", fmt.Errorf("%w: not a directory", fs.ErrInvalid)},
	{"Invalid argument", fs.ErrInvalid},
	{"Not a regular file", fmt.Errorf("%w: not a regular file", fs.ErrInvalid)},
	{"File name too long", fmt.Errorf("%w: name too long", fs.ErrInvalid)},
}

// FileError returns the error for the result of a command that has done op to the
// file name, by what its last line on Stderr ends with; nil if it succeeded. It
// knows what the usual programs say in the locale C. It is a [*fs.PathError].
func FileError(op, name string, res *compute.Result) error { return failure(op, name, res) }

// failure makes an error of the result of a script, nil if it succeeded.
func failure(op, name string, res *compute.Result) error {
	err := res.Err()
	if err == nil {
		return nil
	}
	last := strings.TrimSpace(res.Stderr)
	last = last[strings.LastIndexByte(last, '\n')+1:]
	for _, r := range reasons {
		if strings.HasSuffix(last, r.end) {
			err = r.err
			break
		}
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func (s *shellFS) ReadFile(ctx context.Context, name string) ([]byte, error) {
	r, err := s.OpenFile(ctx, name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// MkdirAll looks again when it fails: another may have been quicker, and not
// every mkdir forgives that.
func (s *shellFS) MkdirAll(ctx context.Context, name string, perm fs.FileMode) error {
	_, err := s.call(ctx, "mkdir", name, `[ -d "$1" ] || mkdir -p -m "$2" -- "$1" || [ -d "$1" ]`, octal(perm))
	return err
}

// removeScript refuses the working directory by whatever name, and what it is in.
const removeScript = `if [ -d "$1" ] && ! [ -L "$1" ]; then
d=$(cd -P -- "$1" 2>/dev/null && pwd -P && echo x) && case $(pwd -P)/ in "${d%?x}"/*) no "Invalid argument";; esac
fi
rm -rf -- "$1"`

func (s *shellFS) RemoveAll(ctx context.Context, name string) error {
	base := path.Base(name)
	if c := path.Clean(name); c == "/" || c == "." || c == ".." || base == "." || base == ".." || strings.HasSuffix(c, "/..") {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrInvalid}
	}
	_, err := s.call(ctx, "remove", strings.TrimRight(name, "/"), removeScript)
	return err
}

// renameScript keeps mv from moving into a directory of the new name. GNU's mv -T
// replaces a link to one; others refuse, so that the link has to go first, and
// comes back when its place is not taken.
const renameScript = `if [ -L "$2" ]; then
mv -f -T -- "$1" "$2" 2>/dev/null && exit
if ! [ -e "$1" ] && ! [ -L "$1" ]; then no "No such file or directory"; fi
if [ -d "$1" ] && ! [ -L "$1" ]; then no "Not a directory"; fi
l=$(readlink -- "$2" && echo x) && rm -f -- "$2" || exit 1
mv -f -- "$1" "$2" || { ln -s -- "${l%?x}" "$2"; exit 1; }
elif [ -d "$2" ]; then no "File exists"
else mv -f -- "$1" "$2"; fi`

func (s *shellFS) Rename(ctx context.Context, oldname, newname string) error {
	newname, err := shellName("rename", newname)
	if err != nil {
		return err
	}
	_, err = s.call(ctx, "rename", oldname, renameScript, newname)
	return err
}

func octal(perm fs.FileMode) string { return fmt.Sprintf("%04o", perm.Perm()) }

// random returns what makes the name of a temporary file unique.
func random() string { return rand.Text() }
