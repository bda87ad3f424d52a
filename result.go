package compute

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxCapture bounds each of Result.Stdout and Result.Stderr, in bytes.
// Commands that print more need a writer.
const MaxCapture = 8 << 20

// Result is what came of a command.
type Result struct {
	Stdout    string        `json:"stdout"` // every byte as it came; empty if the command had a writer
	Stderr    string        `json:"stderr"`
	ExitCode  int           `json:"exitCode"`            // 128+n after signal n, as in a shell; -1 if it was killed because its context ended
	Duration  time.Duration `json:"-"`                   // from its start to its end or its killing
	Truncated bool          `json:"truncated,omitempty"` // output beyond MaxCapture, or what a writer of a process had to get, was dropped

	// Signal is the signal that ended the command's own process, where the
	// provider knows; zero is none. It tells exit 137 from a kill.
	Signal Signal `json:"signal,omitempty"`

	// Limit is the limit for which the provider killed the command, if it did.
	Limit Limit `json:"limit,omitempty"`
}

// Limit is a bound on what a command or sandbox may use.
type Limit string

// Limits that a [Result] can name.
const (
	LimitMemory    Limit = "memory"
	LimitProcesses Limit = "processes"
	LimitCPU       Limit = "cpu"
	LimitDisk      Limit = "disk"
	LimitOutput    Limit = "output"
	LimitTime      Limit = "time" // a time limit of the provider's, not the caller's context
)

// Signal is a signal, by its number on Linux: sandboxes are Linux machines
// wherever the caller runs.
type Signal int

// The usual signals.
const (
	SIGHUP   Signal = 1
	SIGINT   Signal = 2
	SIGQUIT  Signal = 3
	SIGKILL  Signal = 9
	SIGUSR1  Signal = 10
	SIGUSR2  Signal = 12
	SIGTERM  Signal = 15
	SIGCONT  Signal = 18
	SIGSTOP  Signal = 19
	SIGWINCH Signal = 28
)

// Err returns nil if the command succeeded and an [*ExitError] otherwise, for
// callers to whom a failing command is a failure.
func (r *Result) Err() error {
	if r.ExitCode == 0 && r.Limit == "" {
		return nil
	}
	return &ExitError{Result: r}
}

// ExitError is the error of a command that exited non-zero. Under [errors.Is]
// it matches [os/exec.ErrNotFound] for exit code 127, [io/fs.ErrPermission]
// for 126, and [ErrLimit] if the command was killed for a limit.
type ExitError struct{ *Result }

func (e *ExitError) Error() string {
	msg := fmt.Sprintf("exit status %d", e.ExitCode)
	switch {
	case e.Limit != "":
		msg = fmt.Sprintf("killed: %s limit exceeded", e.Limit)
	case e.Signal != 0:
		msg = fmt.Sprintf("killed by signal %d", e.Signal)
	}
	if s := strings.TrimSpace(e.Stderr); s != "" {
		msg += ": " + tail(s, 200)
	}
	return msg
}

// tail returns about the last n bytes of s, beginning with a whole character.
func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	for i := 0; i < len(s) && i < utf8.UTFMax; i++ {
		if utf8.RuneStart(s[i]) {
			return "..." + s[i:]
		}
	}
	return "..." + s
}

// Is implements the interface that [errors.Is] looks for.
func (e *ExitError) Is(target error) bool {
	switch target {
	case exec.ErrNotFound:
		return e.ExitCode == 127
	case fs.ErrPermission:
		return e.ExitCode == 126
	case ErrLimit:
		return e.Limit != ""
	case errExited:
		return true
	}
	return false
}

// errExited is matched by every [ExitError].
var errExited = errors.New("command failed")

// ErrLimit is matched by the error of a command that was killed because it
// exceeded a limit of the sandbox; [Result.Limit] says which.
var ErrLimit = errors.New("limit exceeded")
