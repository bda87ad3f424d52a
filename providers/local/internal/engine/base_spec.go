package engine

// CompleteName is the file that ends an archive of layers: without it
// UnpackLayers takes the archive for one that was cut.
const CompleteName = "complete"

// Base says what a sandbox's root is made of; the zero Base is this host's
// programs and the layers.
type Base struct {
	// Bare is a root of the layers only: nothing of the host is in it.
	Bare bool
	// Dir is where commands run and relative names start; "/workspace" when
	// empty. It is made if it is not there.
	Dir string
}

// Below is what lies under layers: others, lowest first, and the base.
type Below struct {
	StateDir string
	Bare     bool
	Layers   []string
}
