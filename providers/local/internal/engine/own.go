package engine

import "errors"

// ErrUnmapped reports a user that this sandbox cannot have.
var ErrUnmapped = errors.New("the user cannot be had")
