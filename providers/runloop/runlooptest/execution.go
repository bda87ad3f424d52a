package runlooptest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	maxArgument = 100 << 10 // bytes of a command that is an argument; longer ones are files
	stateDir    = "/tmp/.runloop"
	maxInline   = 16 << 20 // bytes of an output in a view
)

// execution is a command that runs in a devbox, or did.
type execution struct {
	id      string
	d       *devbox
	command string
	shell   string // name of the shell, if it has one
	first   bool   // of the commands of its shell
	attach  bool   // its input can be written to

	stdout, stderr *spool
	kill           context.CancelFunc
	done           chan struct{} // closed when it has completed

	// Emulator.mu guards the rest.
	status runloopapi.ExecutionStatus
	exit   int
	proc   compute.Process
	stdin  io.WriteCloser
}

// view returns what the API says of an execution, with the last lines of its
// output once it has completed.
func (e *Emulator) executionView(x *execution, lines int) (*runloopapi.ExecutionView, error) {
	e.mu.Lock()
	v := &runloopapi.ExecutionView{DevboxID: x.d.id, ExecutionID: x.id, Status: x.status, ShellName: x.shell}
	exit := int32(x.exit) //nolint:gosec // an exit status
	e.mu.Unlock()
	if v.Status != runloopapi.ExecutionCompleted {
		return v, nil
	}
	stdout, moreOut, err := x.stdout.tail(lines, maxInline)
	if err != nil {
		return nil, err
	}
	stderr, moreErr, err := x.stderr.tail(lines, maxInline)
	if err != nil {
		return nil, err
	}
	v.ExitStatus, v.Stdout, v.Stderr = &exit, &stdout, &stderr
	v.StdoutTruncated, v.StderrTruncated = moreOut, moreErr
	return v, nil
}

// execute starts a command in a devbox that runs. e.mu is held.
func (e *Emulator) execute(d *devbox, x *execution) error {
	x.d, x.stdout, x.stderr = d, newSpool(), newSpool()
	x.status, x.done = runloopapi.ExecutionQueued, make(chan struct{})
	var before <-chan struct{} // the last command of the same shell
	if x.shell != "" {
		last := d.shells[x.shell]
		if x.first = last == nil; !x.first {
			before = last.done
		}
	}
	killed, kill := context.WithCancel(context.Background())
	x.kill = kill
	if !e.job(d, func(ctx context.Context) { e.runExecution(ctx, killed, x, before) }) {
		kill()
		return errNotRunning(d)
	}
	if x.shell != "" {
		d.shells[x.shell] = x
	}
	if before == nil {
		x.status = runloopapi.ExecutionRunning
	}
	d.executions[x.id] = x
	d.running++
	e.touch(d)
	e.notify()
	return nil
}

// runExecution runs a command once the one before it is done. It ends when ctx or
// killed does.
func (e *Emulator) runExecution(ctx, killed context.Context, x *execution, before <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(killed, cancel)()
	exit := -1
	if before != nil {
		select {
		case <-before:
		case <-ctx.Done():
		}
	}
	if ctx.Err() == nil {
		e.change(func() { x.status = runloopapi.ExecutionRunning })
		exit = e.runCommand(ctx, x)
	}
	if exit < 0 {
		exit = 128 + int(compute.SIGKILL)
	}
	x.stdout.close()
	x.stderr.close()
	rec := runloopapi.DevboxLog{Level: "info", Source: runloopapi.LogExec, CommandID: x.id, ShellName: x.shell,
		ExitCode: runloopapi.Ptr(int32(exit))}
	e.log1(x.d, rec)
	e.change(func() {
		x.status, x.exit = runloopapi.ExecutionCompleted, exit
		x.proc = nil
		x.d.running--
		e.touch(x.d)
	})
	x.kill()
	close(x.done)
}

// runCommand runs the command and returns its exit status, -1 if it was killed
// for ctx.
func (e *Emulator) runCommand(ctx context.Context, x *execution) int {
	out := e.logLines(x.d, runloopapi.LogExec, x.id, x.shell)
	errs := e.logLines(x.d, runloopapi.LogExec, x.id, x.shell)
	e.log1(x.d, runloopapi.DevboxLog{Level: "info", Source: runloopapi.LogExec, Command: x.command, CommandID: x.id, ShellName: x.shell})
	res, err := e.process(ctx, x, io.MultiWriter(x.stdout, out), io.MultiWriter(x.stderr, errs))
	out.flush()
	errs.flush()
	switch {
	case err == nil:
		return res.ExitCode
	case ctx.Err() != nil:
		return -1
	}
	e.log.Warn("command lost", "devbox", x.d.id, "execution", x.id, "error", err)
	fmt.Fprintf(x.stderr, "the command could not be run: %v\n", err)
	return 126
}

func (e *Emulator) process(ctx context.Context, x *execution, stdout, stderr io.Writer) (*compute.Result, error) {
	e.mu.Lock()
	sb, bash := x.d.sb, x.d.bash
	e.mu.Unlock()
	cmd, err := x.commandFor(ctx, sb, bash)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr, cmd.OpenStdin = stdout, stderr, x.attach
	if x.shell != "" && !bash {
		return inShell(ctx, sb, x, cmd)
	}
	if !x.attach { // in the foreground any backend can run it, and its context ends it
		return sb.RunCommand(ctx, cmd)
	}
	p, err := compute.Start(ctx, sb, cmd)
	if err != nil {
		return nil, err
	}
	return e.follow(ctx, x, p)
}

// follow waits for a process, and kills it when ctx ends.
func (e *Emulator) follow(ctx context.Context, x *execution, p compute.Process) (*compute.Result, error) {
	var stdin io.WriteCloser
	if x.attach {
		w, err := compute.OpenStdin(ctx, p)
		if err != nil {
			_, killErr := kill(ctx, p)
			return nil, errors.Join(err, killErr)
		}
		defer w.Close()
		stdin = w
	}
	e.change(func() { x.proc, x.stdin = p, stdin })
	res, err := p.Wait(ctx)
	if ctx.Err() != nil {
		return kill(ctx, p)
	}
	return res, err
}

// kill ends a process, after ctx has ended, and waits for the rest of its output.
func kill(ctx context.Context, p compute.Process) (*compute.Result, error) {
	ctx, cancel := providers.Cleanup(ctx)
	defer cancel()
	if err := p.Kill(ctx); err != nil {
		return nil, err
	}
	return p.Wait(ctx)
}

// inShell runs a command in a named shell of the backend's, for sandboxes without
// bash.
func inShell(ctx context.Context, sb compute.Sandbox, x *execution, cmd *compute.Command) (*compute.Result, error) {
	if x.attach {
		return nil, errors.New("commands of named shells have no input here")
	}
	sh, err := compute.OpenShell(ctx, sb, x.shell)
	if err != nil {
		return nil, err
	}
	if cmd.Dir = ""; x.first {
		if res, err := sh.RunCommand(ctx, compute.Shell("cd -- "+providers.Quote(x.d.home))); err != nil || res.ExitCode != 0 {
			return res, err
		}
	}
	if len(cmd.Args) > 0 {
		cmd.Args, cmd.Script = nil, x.command
	}
	return sh.RunCommand(ctx, cmd)
}

// commandFor returns what is to be run: the text by a shell, of which a named one
// has the state that the command before it has left.
func (x *execution) commandFor(ctx context.Context, sb compute.Sandbox, bash bool) (*compute.Command, error) {
	cmd := x.d.shell(x.command, bash)
	if !bash {
		return cmd, nil
	}
	text := x.command
	if len(text) > maxArgument { // more than one argument can hold
		name := path.Join(stateDir, "command-"+x.id)
		if err := sb.Filesystem().WriteFile(ctx, name, []byte(text), 0o644); err != nil {
			return nil, err
		}
		text = ". " + name
	}
	cmd.Args = []string{"bash", "-c", text}
	if x.shell != "" {
		sum := sha256.Sum256([]byte(x.shell))
		cmd.Args = []string{"bash", "-c", shellScript, "bash", path.Join(stateDir, "shell-"+hex.EncodeToString(sum[:])), text}
	}
	return cmd, nil
}
