package engine

import "errors"

// ErrLost reports that a watch has missed some events.
var ErrLost = errors.New("some events are lost")

// A Change is what happened to a file.
type Change int

// The changes.
const (
	Created Change = 1 + iota
	Written
	Removed
)

// A FileEvent is a change of a file, by its absolute name.
type FileEvent struct {
	Change Change
	Name   string
}
