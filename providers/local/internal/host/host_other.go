//go:build !unix

package host

import (
	"context"
	"runtime"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// ErrUnavailable says what is missing here.
var ErrUnavailable error = &engine.UnavailableError{Facility: "the processes of a Unix (this is " + runtime.GOOS + ")"}

// A Machine runs commands. There is none on this system.
type Machine struct{}

// New fails.
func New(Config) (*Machine, error) { return nil, ErrUnavailable }

// Owned reports whether a machine has the directory: never.
func Owned(string) bool { return false }

// Destroyable fails.
func Destroyable(string) error { return ErrUnavailable }

// Reap fails.
func Reap(context.Context, string) error { return ErrUnavailable }

// Destroy fails.
func Destroy(context.Context, string) error { return ErrUnavailable }
