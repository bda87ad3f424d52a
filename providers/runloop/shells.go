package runloop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// shellMark is in the environment of what a named shell starts, so that it is
// found when the shell is closed.
const shellMark = "COMPUTE_SHELL"

// Shell is a named shell of the service's. The service does not end its shells:
// a shell that is closed is left alone, and the next one of its name is another
// for the service. The devbox keeps the count.
type Shell struct {
	s    *Sandbox
	hash string // of the name
	n    int
}

const openShellScript = `mkdir -p -m 1777 ` + stateDir + `
f=` + stateDir + `/shell-%s
[ -s $f ] || ( set -C; echo 1 >$f ) 2>/dev/null
cat $f
`

// OpenShell implements [compute.ShellOpener]. The shell is bash. The output of a
// command arrives when the command has ended, also with writers. A script that
// ends the shell with exit has no result.
func (s *Sandbox) OpenShell(ctx context.Context, shell string) (compute.ShellSession, error) {
	const op = "open shell"
	if shell == "" || strings.ContainsRune(shell, 0) {
		return nil, failf(op, s.id, compute.ErrInvalid, "%q is no name of a shell", shell)
	}
	ctx, cancel := bounded(ctx, s.p.timeouts.Short)
	defer cancel()
	sum := sha256.Sum256([]byte(shell))
	sh := &Shell{s: s, hash: hex.EncodeToString(sum[:10])}
	said, err := s.script(ctx, fmt.Sprintf(openShellScript, sh.hash))
	if err != nil {
		return nil, s.wrap(ctx, op, err)
	}
	if sh.n, err = strconv.Atoi(strings.TrimSpace(said)); err != nil {
		return nil, failf(op, s.id, compute.ErrUnavailable, "the count of shells cannot be read")
	}
	return sh, nil
}

// id ends with what is in no number, so that none is the beginning of another.
func (sh *Shell) id() string { return fmt.Sprintf("%s-%d.", sh.hash, sh.n) }

// shellScript runs a command in a named shell. It leaves nothing behind in the
// shell but a few variables.
//
// As the shell has to run the command itself, what looks at the length of its
// output is beside it: no job of the shell's, which the command could wait for,
// and not marked, so that nobody waits for its end. It throws away what is beyond
// the part that can be returned, see boundScript; what goes to writers is kept to
// the end. It ends with the shell, or when the files are gone.
const shellScript = `export ` + shellMark + `=%[1]s ` + markName + `=%[2]s
mkdir -p -m 1777 ` + stateDir + ` 2>/dev/null
if mkdir -m 700 ` + stateDir + `/%[2]s 2>/dev/null; then
%[3]s
{ (
set +e +u +x +C
IFS=$' \t\n' q=` + stateDir + `/%[2]s/
unset ` + shellMark + ` ` + markName + `
` + boundScript + `while sleep .25 && [ -e ${q}o ] && kill -0 $$; do pos 8 o %[5]d; pos 9 e %[6]d; done &
echo $! >${q}w
) 8>&1 9>&2 >/dev/null 2>&1 </dev/null
%[4]s
} <` + stateDir + `/%[2]s/i >>` + stateDir + `/%[2]s/o 2>>` + stateDir + `/%[2]s/e
__compute=$? __compute_jobs=$(jobs -p)
unset ` + markName + `
(
exec 3>&1 4>&2 2>/dev/null
set +e +u
IFS=$' \t\n' d=` + stateDir + `/%[2]s
read -r w <$d/w && kill -9 $w
out() {
f=$d/$1
[ -e ${f}d ] && f=${f}h
[ -s $f ] && head -c $2 $f | base64 -w 1048576 | sed s/^/:/
}
out o %[5]d >&3; out e %[6]d >&4
[ -s $d/x ] && read -r __compute <$d/x
rm -rf $d
for j in $__compute_jobs; do
read -r v </proc/$j/stat || continue
set -- ${v##*) }
shift 19
echo "$j:$1" >>` + stateDir + `/jobs-%[1]s
done
echo "=$__compute" >&3; echo = >&4
)
else echo =d; echo = >&2; fi
`

// RunCommand implements [compute.Runner]. A Script is run by the shell itself and
// so has neither Dir, Env, User nor TTY of its own.
func (sh *Shell) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	const op = "run command"
	s := sh.s
	if err := cmd.Validate(); err != nil {
		return nil, named(err)
	}
	if cmd.OpenStdin {
		return nil, failf(op, s.id, compute.ErrInvalid, "OpenStdin is for background processes")
	}
	if err := ctx.Err(); err != nil {
		return nil, wrap(ctx, op, s.id, err)
	}
	switch {
	case cmd.TTY != nil:
		return nil, unsupported(op, "TTY", "a named shell's commands have no terminal")
	case cmd.User != "":
		return nil, unsupported(op, "User", "a named shell's commands run as its user")
	case cmd.Script != "" && (cmd.Dir != "" || len(cmd.Env) > 0):
		return nil, unsupported(op, "Dir and Env", "a script is run by the shell itself, in its directory and environment")
	}
	ctx, cancel := bounded(ctx, s.p.timeouts.Command)
	defer cancel()
	r := &run{s: s, op: op, ctx: ctx, l: newLaunch(cmd), streams: providers.NewStreams(cmd), began: time.Now()}
	in, err := s.input(ctx, r.l)
	if err != nil {
		return nil, s.wrap(ctx, op, err)
	}
	if in != nil || r.l.file != "" {
		in.stop()
		return nil, unsupported(op, "Stdin", "a named shell's commands take inputs of 64 KiB that are there at once")
	}
	text, err := sh.text(r.l)
	if err != nil {
		return nil, err
	}
	view, err := s.p.client.Devboxes.ExecuteAndAwait(ctx, s.id,
		&runloopapi.ExecuteParams{Command: text, CommandID: r.l.id, ShellName: "compute-" + sh.id()}, allLines)
	if err == nil {
		return r.result(ctx, view)
	}
	return sh.stop(r, err)
}

// text is the command as the shell gets it.
func (sh *Shell) text(l *launch) (string, error) {
	what := "eval " + providers.Quote(l.cmd.Script)
	if len(l.cmd.Args) > 0 {
		run, err := l.run()
		if err != nil {
			return "", err
		}
		what = "( q=" + stateDir + "/" + l.id + "/; set --; s=; " + run + " )"
	}
	out, errs := shellLimits(l.cmd)
	return fmt.Sprintf(shellScript, sh.id(), l.id, l.inputFile(stateDir+"/"+l.id+"/i"), what, out, errs), nil
}

// shellLimits returns how much of each output is kept: all that goes to a writer.
func shellLimits(cmd *compute.Command) (stdout, stderr int64) {
	stdout, stderr = compute.MaxCapture+1, compute.MaxCapture+1
	if cmd.Stdout != nil {
		stdout = 1 << 62
	}
	if cmd.Stderr != nil {
		stderr = 1 << 62
	}
	return stdout, stderr
}

// stop ends a command whose context has ended, or whose answer was lost, and
// returns its output so far. The execution is killed first, so that the shell
// does not go on with the rest of a script.
func (sh *Shell) stop(r *run, cause error) (*compute.Result, error) {
	s := sh.s
	if r.ctx.Err() == nil && !lost(cause) {
		return nil, s.wrap(r.ctx, r.op, cause)
	}
	clean, cancel := s.p.cleanUp(r.ctx)
	defer cancel()
	_, kerr := s.p.client.Executions.Kill(clean, s.id, r.l.id, &runloopapi.KillParams{KillProcessGroup: true})
	if errors.Is(kerr, runloopapi.ErrNotFound) {
		kerr = nil // it did not come to that
	}
	kerr = errors.Join(kerr, s.kill(clean, r.l.id))
	if kerr != nil {
		cause = errors.Join(cause, fmt.Errorf("the command may run on: %w", kerr))
	}
	res, err := sh.salvage(clean, r)
	if err != nil {
		cause = errors.Join(cause, fmt.Errorf("its output is lost: %w", err))
	}
	return r.cut(res), s.wrap(r.ctx, r.op, cause)
}

// salvage returns the output of a command that was killed.
func (sh *Shell) salvage(ctx context.Context, r *run) (*compute.Result, error) {
	out, errs := shellLimits(r.l.cmd)
	view, err := sh.s.p.client.Devboxes.ExecuteAndAwait(ctx, sh.s.id, &runloopapi.ExecuteParams{
		Command: fmt.Sprintf(salvageScript, r.l.id, out, errs), CommandID: newID()}, allLines)
	if err == nil {
		var res *compute.Result
		if res, err = r.result(ctx, view); err == nil {
			return res, nil
		}
	}
	res := &compute.Result{}
	r.streams.Close(res)
	return res, err
}

// salvageScript prints what a command of a shell has printed that was killed. What
// looks at the length of the files may do so yet: they get other names first.
const salvageScript = `d=` + stateDir + `/%s
out() {
[ -e $d/$1 ] && mv $d/$1 $d/$1.
[ -e $d/${1}d ] && f=$d/${1}h || f=$d/$1.
[ -s $f ] && head -c $2 $f | base64 -w 1048576 | sed s/^/:/
}
out o %d; echo =0
out e %d >&2; echo = >&2
rm -rf $d/[oe]*
`

const closeShellScript = `f=` + stateDir + `/shell-%[1]s
[ -s $f ] && [ "$(cat $f)" = %[2]d ] && echo %[3]d >$f.new && mv $f.new $f
`

// Close implements [compute.ShellSession].
func (sh *Shell) Close(ctx context.Context) error {
	const op = "close shell"
	ctx, cancel := bounded(ctx, sh.s.p.timeouts.Short)
	defer cancel()
	_, err := sh.s.script(ctx, fmt.Sprintf(closeShellScript, sh.hash, sh.n, sh.n+1)+killShell(sh.id()))
	err = sh.s.wrap(ctx, op, err)
	if errors.Is(err, compute.ErrNotFound) {
		return nil // it has ended with its devbox
	}
	return err
}
