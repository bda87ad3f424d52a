package engine

// Base says what a sandbox's root is made of; the zero Base is this host's
// programs and the layers.
type Base struct{}
