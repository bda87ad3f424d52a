package compute

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// Sandbox is one isolated machine. Handles are cheap: they hold an ID and a
// connection, and any number may refer to the same machine. They are safe for
// concurrent use.
type Sandbox interface {
	// ID returns the ID to give to GetSandbox, from any program.
	ID() string

	// Info asks the provider about the sandbox.
	Info(ctx context.Context) (*SandboxInfo, error)

	// RunCommand runs cmd and waits for it to end. A command that ran has a
	// Result and no error, whatever its exit code; a program that cannot be
	// found has one with exit code 127. A directory that does not exist is an
	// error matching [io/fs.ErrNotExist].
	//
	// When ctx ends first, the command and all its children are killed and the
	// error matches ctx.Err; the Result then holds the output so far and its
	// ExitCode is -1. When the outcome is not known, that is an error too.
	//
	// Children that the command leaves in the background when it ends by
	// itself live on; their later output is dropped.
	RunCommand(ctx context.Context, cmd *Command) (*Result, error)

	// Filesystem gives access to the sandbox's files.
	Filesystem() Filesystem

	// GetURL returns a URL for what listens on port in the sandbox, opening a
	// tunnel if need be. See [GetEndpoint] for URLs that want credentials.
	GetURL(ctx context.Context, port int) (string, error)

	// Destroy is DestroySandbox for this sandbox.
	Destroy(ctx context.Context) error
}

// Status is the state of a sandbox.
type Status string

// States of a sandbox.
const (
	StatusPending    Status = "pending" // being created or resumed
	StatusRunning    Status = "running"
	StatusSuspending Status = "suspending"
	StatusSuspended  Status = "suspended" // its files are kept; Resume wakes it
	StatusStopped    Status = "stopped"   // gone for good
	StatusFailed     Status = "failed"    // see SandboxInfo.Reason
)

// SandboxInfo describes a sandbox at one moment. It belongs to the caller.
type SandboxInfo struct {
	ID       string            `json:"id"`
	Name     string            `json:"name,omitempty"`
	Provider string            `json:"provider"`
	Status   Status            `json:"status"`
	Reason   string            `json:"reason,omitempty"` // why it is failed or stopped, if known
	Created  time.Time         `json:"createdAt"`
	Expires  time.Time         `json:"expiresAt,omitzero"` // zero if never or not known
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Command is a command to be run. Like [os/exec.Cmd] it is a plain struct:
// fill in what you need. Do not change it while it runs; unless it has
// readers or writers, it can be run any number of times, also at once.
type Command struct {
	// Exactly one of Args and Script is set. Args is run as it stands,
	// without a shell. Script is run by the sandbox's POSIX shell.
	Args   []string
	Script string

	Dir  string            // working directory; empty is the sandbox's default
	Env  map[string]string // added to the sandbox's environment
	User string            // who runs it; empty is the sandbox's default

	// Stdin is the command's input; nil is empty input. It is read ahead: what
	// was read and not used is lost. A Read that blocks for ever holds up
	// nothing but itself. If a Read fails, the command is killed and the
	// failure returned: half an input must not pass for a whole one.
	Stdin io.Reader

	// OpenStdin leaves the input of a background process open, to be written
	// to by the function [OpenStdin]. It goes with [Start] and a nil Stdin
	// only.
	OpenStdin bool

	// Stdout and Stderr receive the output as it is produced, one Write at a
	// time even if they are equal. What has no writer is collected in the
	// Result. If a Write fails, the command is killed and the failure
	// returned.
	Stdout, Stderr io.Writer

	// TTY runs the command on a terminal, which merges Stderr into Stdout.
	// Giving Stderr as well is an error. Stdin arrives as if typed; at its end,
	// and so at once if it is nil, end-of-file is typed.
	TTY *TTY
}

// TTY is the size of a terminal in characters; zero fields are 24 and 80.
type TTY struct {
	Rows int `json:"rows"`
	Cols int `json:"cols"`
}

// Exec returns a command that runs a program without a shell.
func Exec(name string, args ...string) *Command {
	return &Command{Args: append([]string{name}, args...)}
}

// Shell returns a command that runs a script in the sandbox's shell.
func Shell(script string) *Command { return &Command{Script: script} }

// Validate reports whether c can be run. Providers call it first in
// RunCommand. The error matches [ErrInvalid].
func (c *Command) Validate() error {
	if problem := c.problem(); problem != "" {
		return &Error{Op: "run command", Kind: ErrInvalid, Err: fmt.Errorf("%s", problem)}
	}
	return nil
}

func (c *Command) problem() string {
	switch {
	case c == nil:
		return "no command"
	case (len(c.Args) == 0) == (c.Script == ""):
		return "exactly one of Args and Script must be set"
	case len(c.Args) > 0 && c.Args[0] == "":
		return "empty program name"
	case hasNUL(c.Script, c.Dir, c.User) || hasNUL(c.Args...):
		return "NUL byte in command"
	case c.OpenStdin && c.Stdin != nil:
		return "OpenStdin and a Stdin"
	case c.TTY != nil && c.Stderr != nil:
		return "a terminal has no Stderr of its own"
	case c.TTY != nil && !validSize(*c.TTY):
		return "bad terminal size"
	}
	for k, v := range c.Env {
		if !isEnvName(k) {
			return fmt.Sprintf("bad environment variable name %q", k)
		}
		if hasNUL(v) {
			return "NUL byte in environment variable " + k
		}
	}
	return ""
}

func validSize(t TTY) bool {
	return t.Rows >= 0 && t.Cols >= 0 && t.Rows <= 1<<15 && t.Cols <= 1<<15
}

func hasNUL(strs ...string) bool {
	for _, s := range strs {
		if strings.IndexByte(s, 0) >= 0 {
			return true
		}
	}
	return false
}

// A Runner runs commands; every [Sandbox] is one.
type Runner interface {
	RunCommand(ctx context.Context, cmd *Command) (*Result, error)
}

// Output runs cmd and returns what it printed, like [os/exec.Cmd.Output].
// A non-zero exit is an [*ExitError]; output beyond [MaxCapture] is an error
// matching [ErrTruncated], which comes with the beginning of the output.
func Output(ctx context.Context, r Runner, cmd *Command) (string, error) {
	res, err := r.RunCommand(ctx, cmd)
	if err != nil {
		return "", err
	}
	if err := res.Err(); err != nil || !res.Truncated {
		return res.Stdout, err
	}
	return res.Stdout, &Error{Op: "run command", Kind: ErrTruncated}
}
