// Package shell is a POSIX shell with its usual tools, in memory: it starts no
// processes and sees no files but those of its memfs tree, so that it behaves
// the same on every platform and can do no harm to any.
package shell

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

// System is what the processes of one sandbox have in common. All fields are
// optional and must not change once in use.
type System struct {
	// Now is the clock of date; nil is the clock of the files.
	Now func() time.Time
	// User and Host are the names to report; empty are "root" and "sandbox".
	User, Host string

	pids  atomic.Int64
	mu    sync.Mutex
	tasks map[int]*task
	jobs  sync.WaitGroup
}

// Proc is a process: what it runs, and what it sees.
type Proc struct {
	// Args are the name and the arguments, as for exec.
	Args []string
	// Env are NAME=VALUE pairs. The last of equal names counts.
	Env []string
	// Dir is the working directory, absolute; empty is "/".
	Dir string
	// Stdin nil is empty input. One that may block and is an io.Closer is
	// closed when the process ends while a read is under way.
	Stdin io.Reader
	// Stdout and Stderr nil discard. They are used by one goroutine at a time
	// if both are the same.
	Stdout, Stderr io.Writer
	// FS is all that the process sees of files.
	FS *memfs.FS
	// Sys is shared by the processes of a sandbox; nil is one for this process.
	Sys *System
	// KeepJobs lets background jobs go on when the script has ended, until
	// System.Kill. Otherwise they are killed then.
	KeepJobs bool
	// User is who runs it; empty is the system's.
	User string
	// Signals, if set, reaches the process from outside while it runs.
	Signals *Signals
	// TTY, if set, makes the standard streams a terminal of that size.
	TTY func() (rows, cols int)

	lookup func(string) Tool
	fds    *fds
	top    *task // of Signals, until a process has taken it
	group  *group
	umask  uint32
	pid    int
	depth  int
	ends   struct { // what Stdin, Stdout and Stderr lead to while it runs
		in  stdin
		out [2]stdout
	}
}

// Tool is a command. It returns its exit code.
type Tool func(ctx context.Context, p *Proc) int

// exitNow is panicked with by what ends a process at once: exit code.
type exitNow int //nolint:errname // an error only on its way through package expand

type killCause int //nolint:errname // an error only as the cause of a context

func (k killCause) Error() string { return "killed by signal" }

// killed is the exit code of a process whose context has ended.
func killed(ctx context.Context) exitNow {
	if k, ok := errors.AsType[killCause](context.Cause(ctx)); ok {
		return exitNow(128 + int(k))
	}
	return exitNow(128 + sigKill)
}

func (s *System) now(f *memfs.FS) time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return f.Now()
}

func (s *System) user() string {
	if s.User == "" {
		return "root"
	}
	return s.User
}

func (s *System) host() string {
	if s.Host == "" {
		return "sandbox"
	}
	return s.Host
}

// newPID counts from 100, as if the system had been running for a while.
func (s *System) newPID() int { return int(s.pids.Add(1)) + 99 }

func (p *Proc) user() string {
	if p.User != "" {
		return p.User
	}
	return p.Sys.user()
}

func (p *Proc) uid() int {
	if p.user() == "root" {
		return 0
	}
	return 1000
}
