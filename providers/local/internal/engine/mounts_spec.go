package engine

// A Mount is a directory of the host that a sandbox sees.
type Mount struct{}
