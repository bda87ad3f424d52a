package engine

import "errors"

// ErrNoShell reports that a named shell has ended.
var ErrNoShell = errors.New("the shell has ended")
