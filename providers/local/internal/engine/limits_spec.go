package engine

// Limits bound what a sandbox may use; zero fields do not.
type Limits struct{}
