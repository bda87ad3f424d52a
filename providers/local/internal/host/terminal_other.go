//go:build unix && !linux

package host

import (
	"os"

	"github.com/computekit/compute/providers/local/internal/engine"
)

var errTerminals = &engine.UnavailableError{Facility: "terminals of this system"}

func openTerminal(engine.Size) (*stdio, error) { return nil, errTerminals }

func resize(*os.File, engine.Size) error { return errTerminals }
