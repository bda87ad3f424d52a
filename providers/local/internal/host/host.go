// Package host runs the commands of a sandbox that has no isolation: they are
// processes of this machine with the rights of this program, which is their
// parent. The methods of a [Machine] are those of an engine.Box, with the same
// errors.
//
// Relative names are in the sandbox's own directory, absolute ones are the
// machine's. Processes belong to this program and end with [Machine.Shutdown].
//
// # Killing
//
// A command is killed with all that it started. Each has a session of its own
// and a mark in its environment, which its children inherit. On Linux all
// processes that bear the mark, that descend from one which does, or that are
// of the session are killed until none is left. Who leaves the session, drops
// the environment and has no parent left is not found. Elsewhere a process
// group is killed and nothing else.
package host

import (
	"errors"
	"fmt"
)

// ErrOwned reports that another machine has the directory.
var ErrOwned = errors.New("its processes belong to another program, which still runs")

// ErrOtherUser reports a user who exists, but is not this program's.
var ErrOtherUser = fmt.Errorf("%w: without isolation commands run as who runs this program", errors.ErrUnsupported)

// Config configures a [Machine].
type Config struct {
	// Dir is the machine's own directory, which is made if need be. One
	// machine at a time can have it. Its name and that of its parent must be
	// together unlike those of all others: they are the mark of its processes.
	Dir string
	// Env is added to the environment of every command.
	Env []string
	// User is who commands run as that say nothing else; New makes sure that
	// it is who runs this program.
	User string
}

const (
	// markName is the variable that marks the processes of a command.
	markName = "COMPUTE_LOCAL_COMMAND"
	// workName is the directory in Config.Dir where commands run.
	workName = "work"
	// ownerName is the file there that is locked while a machine lives.
	ownerName = "owner"
)
