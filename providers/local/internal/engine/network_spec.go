package engine

// Network says what a sandbox may reach; the zero Network is nothing.
type Network struct{}
