// Package guest is the init process of a sandbox: the program that imports
// it, executed again inside new namespaces. It assembles the root, gives up
// what commands must not have, and then serves the host over a Unix socket
// until the sandbox ends.
//
// Importing the package is enough: its init function recognises such an
// execution by the first argument and does not return to the program's main.
package guest

// First arguments by which a program becomes something else than itself.
const (
	InitName   = "compute-init"   // the init of a sandbox
	CopyName   = "compute-copy"   // copies a tree inside a user namespace
	TreeName   = "compute-tree"   // does other things with trees there
	RemoveName = "compute-remove" // removes a tree inside a user namespace
	GiveName   = "compute-give"   // gives a directory to the user "user" inside one

	LandlockName = "compute-landlock" // an init that has no namespaces
)

// LayersName is the directory of an archive that holds layers.
const LayersName = "layers"

// DefaultPath is the PATH of commands that are given none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// What a tree process can be told to do.
const (
	TreeUnpackImage = "unpack-image" // an archive from standard input, into a directory
	TreeUnpack      = "unpack"       // one of what TreePack makes
	TreePack        = "pack"         // directories to standard output
	TreeMerge       = "merge"        // into the first directory copies of the others, each over the one before
	TreeFold        = "fold"         // the same, but moves
)

// ControlFd is what a fresh init inherits beside standard input and output:
// its Config comes in there, and word of its success goes out.
const ControlFd = 3
