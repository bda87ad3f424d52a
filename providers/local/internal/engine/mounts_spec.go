package engine

import "errors"

// ErrMount reports that a volume cannot be mounted at its target.
var ErrMount = errors.New("a volume cannot be mounted")

// A Mount is a directory of the host that a sandbox sees and, unless it is
// read-only, writes to. It is no part of what the sandbox has written.
type Mount struct {
	// Dir is a directory made by MakeVolume, or Image a file made by MakeDisk.
	Dir, Image string
	// Target is its absolute name inside. What is missing of it is made. Links
	// on the way are followed as inside. /proc and /dev are refused.
	Target   string
	ReadOnly bool
}
