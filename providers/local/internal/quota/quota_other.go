//go:build !linux

package quota

import (
	"context"
	"os"
)

var errSystem = &UnavailableError{Facility: "a size is kept by Linux only"}

// Available fails: there are no such file systems on this system.
func Available() error { return errSystem }

// Make fails: there are no such file systems on this system.
func Make(context.Context, string, int, int, int) error { return errSystem }

// Open fails: there are no such file systems on this system.
func Open(string) (*os.File, error) { return nil, errSystem }

// Place fails: there are no such file systems on this system.
func Place(*os.File, string) error { return errSystem }

// Remove fails: there are no such file systems on this system.
func Remove(string) error { return errSystem }
