//go:build linux && !amd64 && !arm64

// Package seccomp has no table for this architecture.
package seccomp

import (
	"errors"
	"runtime"
)

// Install reports that there is no filter for this architecture.
func Install(...Rule) error {
	return errors.New("there is no system call table for " + runtime.GOARCH)
}

// InstallAlone reports that there is no filter for this architecture.
func InstallAlone() error { return Install() }

// A Rule refuses a system call.
type Rule struct{}

// Mark is the limit by which processes are marked.
const Mark = 10

// CoreLimit is the limit of core dumps with which there is none.
const CoreLimit = 1

// Strict returns no rules: there is no filter for this architecture.
func Strict() []Rule { return nil }

// Others returns no rules, for the same reason.
func Others() []Rule { return nil }

// InstallHere reports that there is no filter for this architecture.
func InstallHere([]Rule) error { return Install() }
