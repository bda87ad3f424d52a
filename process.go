package compute

import (
	"context"
	"io"
	"iter"
	"time"
)

// Process is a command in the background. Handles are cheap and safe for
// concurrent use; the process does not depend on them, nor on the program that
// started it.
type Process interface {
	// ID identifies the process within its sandbox, from any program.
	ID() string

	// Info asks about the process.
	Info(ctx context.Context) (*ProcessInfo, error)

	// Wait waits for the process to end and for its output to be delivered,
	// and returns its result. Output that had no writer is in the Result as
	// far as the provider kept it; Truncated says if not all. When ctx ends
	// first, Wait returns its error but the process runs on.
	Wait(ctx context.Context) (*Result, error)

	// Attach writes the output to stdout and stderr, first what the provider
	// has kept from the beginning and then what comes, until the process has
	// ended. A nil writer discards. Output that was not kept is reported as an
	// error matching [ErrTruncated] once the rest is delivered. On a terminal
	// all output is stdout's.
	Attach(ctx context.Context, stdout, stderr io.Writer) error

	// Kill ends the process and all its children. It is idempotent.
	Kill(ctx context.Context) error
}

// ProcessInfo describes a background process at one moment.
type ProcessInfo struct {
	ID       string    `json:"id"`
	Args     []string  `json:"args,omitempty"` // as in Command
	Script   string    `json:"script,omitempty"`
	Running  bool      `json:"running"`
	ExitCode int       `json:"exitCode"` // once it does not run; as in Result
	Started  time.Time `json:"startedAt"`
	Ended    time.Time `json:"endedAt,omitzero"`
}

// Starter is implemented by sandboxes that run commands in the background.
type Starter interface {
	StartCommand(ctx context.Context, cmd *Command) (Process, error)
}

// Start starts cmd and returns without waiting for it. A program that cannot be
// found is a process that ends with exit code 127, as in RunCommand. ctx covers the start
// only, not the process. [Command.Stdout] and Stderr, if set, are served while
// this program lives and the process runs; so is Stdin. Wait waits for them.
// They get all output, however slow they are: the process may have to wait.
func Start(ctx context.Context, sb Sandbox, cmd *Command) (p Process, err error) {
	if err := cmd.Validate(); err != nil {
		return nil, err
	}
	err = invoke(ctx, sb, Op{Name: "start command", Arg: cmd}, func(ctx context.Context, s Starter) (err error) {
		p, err = s.StartCommand(ctx, cmd)
		return err
	})
	if err != nil && p != nil {
		return nil, takeBack(ctx, "start command", p.ID(), err, p.Kill)
	}
	if err != nil || p == nil {
		return nil, err
	}
	return wrapProcess[Starter](sb, p), nil
}

// ProcessGetter is implemented by sandboxes that find background processes
// again.
type ProcessGetter interface {
	GetProcess(ctx context.Context, id string) (Process, error)
}

// GetProcess returns the background process with the given ID, which another
// program may have started and which may have ended. The error matches
// [ErrNotFound] if there is none.
func GetProcess(ctx context.Context, sb Sandbox, id string) (p Process, err error) {
	err = invoke(ctx, sb, Op{Name: "get process", Arg: id, Idempotent: true}, func(ctx context.Context, g ProcessGetter) (err error) {
		p, err = g.GetProcess(ctx, id)
		return err
	})
	if err != nil || p == nil {
		return nil, err
	}
	return wrapProcess[ProcessGetter](sb, p), nil
}

// ProcessLister is implemented by sandboxes that list background processes.
type ProcessLister interface {
	ListProcesses(ctx context.Context) iter.Seq2[*ProcessInfo, error]
}

// ListProcesses yields the background processes of sb, newest first, with those
// that have ended and are still remembered.
func ListProcesses(ctx context.Context, sb Sandbox) iter.Seq2[*ProcessInfo, error] {
	return invokeSeq(ctx, sb, Op{Name: "list processes"}, func(ctx context.Context, l ProcessLister) iter.Seq2[*ProcessInfo, error] {
		return l.ListProcesses(ctx)
	})
}

// Signaler is implemented by processes that can be sent any signal.
type Signaler interface {
	Signal(ctx context.Context, sig Signal) error
}

// SendSignal sends a signal to the process group of p. The error matches
// [ErrConflict] if p has ended.
func SendSignal(ctx context.Context, p Process, sig Signal) error {
	op := Op{Name: "send signal", Arg: sig}
	return invoke(ctx, p, op, func(ctx context.Context, s Signaler) error { return s.Signal(ctx, sig) })
}

// StdinOpener is implemented by processes whose input can be written to.
type StdinOpener interface {
	OpenStdin(ctx context.Context) (io.WriteCloser, error)
}

// OpenStdin opens the input of p, which must have been started with
// [Command.OpenStdin]; otherwise the error matches [ErrConflict]. Close ends the input; losing the connection does not. ctx covers
// all writes. On a terminal, bytes arrive as if typed.
func OpenStdin(ctx context.Context, p Process) (w io.WriteCloser, err error) {
	err = invoke(ctx, p, Op{Name: "open stdin"}, func(ctx context.Context, s StdinOpener) (err error) {
		w, err = s.OpenStdin(ctx)
		return err
	})
	return w, err
}

// Resizer is implemented by processes on a terminal that can change its size.
type Resizer interface {
	Resize(ctx context.Context, size TTY) error
}

// Resize changes the size of the terminal of p. The error matches [ErrInvalid]
// if p has none.
func Resize(ctx context.Context, p Process, size TTY) error {
	op := Op{Name: "resize", Arg: size, Idempotent: true}
	return invoke(ctx, p, op, func(ctx context.Context, r Resizer) error { return r.Resize(ctx, size) })
}

// ShellSession is a shell that keeps its directory, variables and functions
// from one command to the next. Its commands run one after the other; a
// [Command] with a Script is run by the shell itself.
type ShellSession interface {
	Runner

	// Close ends the shell and all that it still runs, in the background too.
	// It is idempotent.
	Close(ctx context.Context) error
}

// ShellOpener is implemented by sandboxes with named shells.
type ShellOpener interface {
	OpenShell(ctx context.Context, name string) (ShellSession, error)
}

// OpenShell returns the shell of that name in sb, starting it if need be.
func OpenShell(ctx context.Context, sb Sandbox, name string) (s ShellSession, err error) {
	err = invoke(ctx, sb, Op{Name: "open shell", Arg: name, Idempotent: true}, func(ctx context.Context, o ShellOpener) (err error) {
		s, err = o.OpenShell(ctx, name)
		return err
	})
	if err != nil || s == nil {
		return nil, err
	}
	return wrap[ShellOpener](sb, s, func(s ShellSession, layer intercepting) ShellSession {
		return &interceptedShell{s, name, layer}
	}), nil
}
