//go:build linux && !amd64 && !arm64

// Package seccomp has no table for this architecture.
package seccomp

import (
	"errors"
	"runtime"
)

// Install reports that there is no filter for this architecture.
func Install() error {
	return errors.New("there is no system call table for " + runtime.GOARCH)
}

// InstallAlone reports that there is no filter for this architecture.
func InstallAlone() error { return Install() }
