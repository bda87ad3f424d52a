package runloopapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// ExecParams say how a command runs. The zero value runs it in a new shell, in the home directory, without input.
type ExecParams struct {
	ShellName string    // a shell that keeps its directory and variables, see [Devbox.Shell]
	Dir       string    // where it runs, see [InDir]; empty is the home directory, or where the named shell is
	User      string    // who runs it, see [AsUser]; empty is the devbox's user
	Stdin     io.Reader // UTF-8 text, of which the command need not read all; nil is no input
	Output              // where output goes while the command runs; the result has its last lines in any case
}

// Exec runs a command, a line for the devbox's shell, and waits for its end. The exit code is in the result, not in the error.
// params may be nil.
//
// When ctx ends, or a reader or writer of params fails, Exec kills the command with all the processes that it started, and returns
// the error. When the command had ended by then, its result comes with the error. Exec does not wait for a Read of Stdin
// that blocks when the command has ended.
func (d *Devbox) Exec(ctx context.Context, command string, params *ExecParams) (*ExecResult, error) {
	if params == nil {
		params = &ExecParams{}
	}
	if params.Dir != "" {
		command = InDir(params.Dir, command)
	}
	if params.User != "" {
		var err error
		if command, err = AsUser(params.User, command); err != nil {
			return nil, err
		}
	}
	if params.Stdin == nil && params.empty() {
		return d.execQuick(ctx, command, params.ShellName)
	}
	e, err := d.Start(ctx, command, &ExecuteAsyncParams{ShellName: params.ShellName, AttachStdin: params.Stdin != nil})
	if err != nil {
		return nil, err
	}
	result, err := e.feed(ctx, params)
	if err != nil && result == nil {
		return nil, e.abandon(ctx, err)
	}
	return result, err
}

// execQuick runs a command without input, the output of which is not followed: mostly that is one request.
func (d *Devbox) execQuick(ctx context.Context, command, shell string) (*ExecResult, error) {
	id := newTimeUUID()
	view, err := d.client.Devboxes.Execute(ctx, d.ID, &ExecuteParams{Command: command, CommandID: id, ShellName: shell}, 0)
	if err != nil {
		if ctx.Err() == nil {
			return nil, err
		}
		// The answer that would have named the execution was not waited for. The service names it as the command.
		return nil, d.client.Execution(d.ID, id).abandon(ctx, err)
	}
	e := d.client.Execution(d.ID, view.ExecutionID)
	if view.Status == ExecutionCompleted {
		return &ExecResult{View: *view, execution: e}, nil
	}
	result, err := e.Wait(ctx)
	if err != nil {
		return nil, e.abandon(ctx, err)
	}
	return result, nil
}

// Start starts a command and returns without waiting for its end. It runs on when ctx ends. The Command of params is
// set by Start; params may be nil. [InDir] and [AsUser] make commands that run elsewhere, or as others.
func (d *Devbox) Start(
	ctx context.Context, command string, params *ExecuteAsyncParams, opts ...RequestOption,
) (*Execution, error) {
	own := ExecuteAsyncParams{}
	if params != nil {
		own = *params
	}
	own.Command = command
	view, err := d.client.Devboxes.ExecuteAsync(ctx, d.ID, &own, opts...)
	if err != nil {
		return nil, err
	}
	return d.client.Execution(d.ID, view.ExecutionID), nil
}

// abandon kills e because of err, and returns err, with what went wrong with that.
func (e *Execution) abandon(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	kill := e.Kill(ctx)
	if kill == nil || errors.Is(kill, ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w; execution %s may still run: %w", err, e.ID, kill)
}

// feed is Stream with an input.
func (e *Execution) feed(ctx context.Context, params *ExecParams) (*ExecResult, error) {
	if params.Stdin == nil {
		return e.Stream(ctx, params.Output)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := &feeder{execution: e, r: params.Stdin, cancel: cancel}
	go f.run(ctx)
	result, err := e.Stream(ctx, params.Output)
	cancel() // what it has not read by now, it will not read
	fed := f.end()
	if result != nil && errors.Is(fed, context.Canceled) {
		fed = nil
	}
	return result, firstCause(fed, err)
}

// feeder copies a reader into the input of an execution.
type feeder struct {
	execution *Execution
	r         io.Reader
	cancel    context.CancelFunc

	mu      sync.Mutex // held while a request is made, so that end waits for it
	stopped bool
	err     error
}

func (f *feeder) run(ctx context.Context) {
	w := f.execution.Stdin(ctx)
	buf := make([]byte, 32<<10)
	for {
		n, readErr := f.r.Read(buf)
		if !f.send(ctx, w, buf[:n], readErr) || readErr != nil {
			return
		}
	}
}

// send passes one Read on, and reports whether there may be more.
func (f *feeder) send(ctx context.Context, w io.WriteCloser, b []byte, readErr error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return false
	}
	_, err := w.Write(b)
	switch {
	case err == nil && errors.Is(readErr, io.EOF):
		err = w.Close()
	case err == nil && readErr != nil:
		f.fail(fmt.Errorf("runloop: read the input: %w", readErr))
		return false
	}
	if err == nil {
		return true
	}
	// A command need not read all its input, or may end before: then the service takes no more.
	if refused(err) {
		_ = w.Close() // should it read after all, it is not to wait for ever
		return false
	}
	f.fail(err)
	return false
}

func refused(err error) bool {
	return errors.Is(err, ErrBadRequest) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) || errors.Is(err, errRefused)
}

// fail ends the execution's wait.
func (f *feeder) fail(err error) {
	f.err = err
	f.cancel()
}

// end lets no request be made any more, waits for the one that is made, and returns what failed.
func (f *feeder) end() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	return f.err
}

// Shell is a shell of a devbox that keeps its directory and its variables from command to command. Commands of one
// shell run one after the other.
type Shell struct {
	Name   string
	devbox *Devbox
}

// Shell returns the shell of a name, which the first command makes. An empty name is a random one. It makes no request.
func (d *Devbox) Shell(name string) *Shell {
	if name == "" {
		name = newTimeUUID()
	}
	return &Shell{Name: name, devbox: d}
}

// Exec is [Devbox.Exec] in the shell. params may be nil.
func (s *Shell) Exec(ctx context.Context, command string, params *ExecParams) (*ExecResult, error) {
	own := ExecParams{}
	if params != nil {
		own = *params
	}
	own.ShellName = s.Name
	return s.devbox.Exec(ctx, command, &own)
}

// Start is [Devbox.Start] in the shell.
func (s *Shell) Start(ctx context.Context, command string, opts ...RequestOption) (*Execution, error) {
	return s.devbox.Start(ctx, command, &ExecuteAsyncParams{ShellName: s.Name}, opts...)
}
