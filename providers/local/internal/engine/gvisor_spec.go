package engine

// GVisor runs the sandbox on gVisor's kernel rather than on this machine's.
// The zero GVisor does not.
type GVisor struct {
	// Runsc is the file of gVisor's program.
	Runsc string
	// Restore goes on where [GVisorBox.Checkpoint] saved a sandbox in the same
	// directory, instead of starting one.
	Restore bool
}
