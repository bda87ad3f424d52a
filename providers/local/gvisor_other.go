//go:build !linux

package local

import (
	"context"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// Elsewhere than on Linux there is no gVisor: no sandbox gets as far as here.

func gvisorAt(string, string) machine { return box{engine.At(""), ""} }

func gvisorSaved(string) bool { return false }

func gvisorForget(string) error { return nil }

func gvisorCheckpoint(context.Context, string) error { return engine.ErrGone }
