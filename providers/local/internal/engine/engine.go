// Package engine runs sandboxes made of Linux namespaces: processes of this
// kernel that see a root, a network, a process table and users of their own.
//
// A sandbox is a directory of the host, which holds its socket and what it
// has written, and one init process, which is this same program executed
// again (see package guest). It outlives the program; whoever may enter the
// directory can open it again.
//
// Everything is tried and nothing assumed: where the kernel refuses a part of
// the isolation, Start fails with an error that names it, and leaves nothing.
package engine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"syscall"
	"time"
)

// Errors that are told apart with errors.Is. File operations return
// *fs.PathError with the errors of package fs beside these.
var (
	// ErrGone reports that the sandbox's init has ended, or never was.
	ErrGone = errors.New("the sandbox's init is gone")
	// ErrDir reports that a command's working directory cannot be entered.
	ErrDir = errors.New("the working directory cannot be entered")
	// ErrNotFound reports that there is no such program: exit code 127.
	ErrNotFound = errors.New("program not found")
	// ErrNotExecutable reports a file that is no program: exit code 126.
	ErrNotExecutable = errors.New("program not executable")
	// ErrUser reports a user that does not exist in the sandbox.
	ErrUser = errors.New("no such user")
	// ErrNoProcess reports that no background process has the ID.
	ErrNoProcess = errors.New("no such process")
	// ErrLimit reports that the sandbox's limit of processes is reached.
	ErrLimit = errors.New("a limit of the sandbox is reached")
	// ErrVersion reports an init that another version of the library started.
	ErrVersion = errors.New("it was started by another version of this library, with which this one cannot talk: " +
		"suspend and resume it, which keeps its files and ends its processes, or go on with it in that version")
)

// An UnavailableError reports that this system lacks what a sandbox needs.
// It matches errors.ErrUnsupported.
type UnavailableError struct {
	Facility string // what is missing, and the setting at fault where known
	Err      error
}

func (e *UnavailableError) Error() string {
	if e.Err == nil {
		return e.Facility
	}
	return e.Facility + ": " + e.Err.Error()
}

// Unwrap returns the kernel's refusal.
func (e *UnavailableError) Unwrap() error { return e.Err }

// Is reports a match with errors.ErrUnsupported.
func (e *UnavailableError) Is(target error) bool { return target == errors.ErrUnsupported }

// A Spec tells what sandbox to start.
type Spec struct {
	// Dir is the sandbox's own directory. It must not exist yet.
	Dir string
	// StateDir is where what all sandboxes share is kept: copies of the few
	// files of the host's /etc that they see. It defaults to Dir's parent.
	StateDir string
	// Layers are directories made by CopyLayer that the sandbox starts from,
	// lowest first.
	Layers []string
	// Hostname defaults to "sandbox".
	Hostname string
	// Env is added to the environment of every command.
	Env []string
	// MaxProcesses limits processes and threads together; 0 means 4096.
	MaxProcesses int

	Base    Base    // what the root is made of
	Limits  Limits  // what the sandbox may use
	Network Network // what it may reach
	Mounts  []Mount // directories of the host that it sees
	GVisor  GVisor  // the kernel that it has
}

// A Report tells how well this system isolates.
type Report struct {
	// Users reports that the sandbox has users beside root.
	Users bool
	// UserIDs is how many user IDs it has.
	UserIDs int
	// HostRootMapped is always false; it is here to be printed and checked.
	HostRootMapped bool
	// IDMapped reports that the host's /usr belongs to root inside, and so
	// can be changed there, on a copy.
	IDMapped bool
}

// A Size is a terminal's size in characters.
type Size struct{ Rows, Cols int }

// A Command is a program to run.
type Command struct {
	Argv []string
	Env  []string // over the sandbox's
	Dir  string   // "/workspace" when empty
	User string   // name, uid, or either with ":group"; root when empty

	Stdin  io.Reader // nil means none: /dev/null
	Stdout io.Writer // nil means discarded
	Stderr io.Writer
	// Captured says that nobody looks at the output before the command's end.
	Captured bool

	// Signals are sent to a command of Exec as they come; it takes none on a
	// machine without isolation.
	Signals <-chan syscall.Signal

	// KeepStdin gives a background process a standard input that
	// WriteStdin writes to.
	KeepStdin bool
	// Held are the outputs of a background process, Stdout|Stderr perhaps, for
	// which HeldOutput will be called. Nothing of them is dropped before that has
	// written it: the process waits, until HoldContext ends or HeldOutput returns.
	Held        Stream
	HoldContext context.Context
	// MaxOutput is how many bytes a command in the foreground may print, on
	// both outputs together, before it is killed; 0 is any number.
	MaxOutput int64
	// Terminal gives a background process a terminal of that size.
	Terminal *Size
}

// An Exit tells how a process ended.
type Exit struct {
	Code     int // -1 when a signal ended it
	Signal   int // 0 when it exited by itself
	Duration time.Duration
	User     time.Duration // CPU time, with children that were waited for
	System   time.Duration
	MaxRSS   int64  // bytes
	Limit    string // for which it was killed, if it was
}

// A Process describes a background process.
type Process struct {
	ID      string
	PID     int // as seen inside
	Argv    []string
	Dir     string
	TTY     bool
	Started time.Time
	Done    bool
	Exit    Exit // valid when Done
	Stdout  int64
	Stderr  int64 // bytes written so far
}

// A Stream is one of a process's outputs, or several.
type Stream int

// The streams. A terminal's output is all on Stdout.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// An Entry describes a file.
type Entry struct {
	Name    string // empty for a file looked at by its path
	Mode    fs.FileMode
	Size    int64
	ModTime time.Time
	UID     int
	GID     int
	Link    string // a symbolic link's target
}
