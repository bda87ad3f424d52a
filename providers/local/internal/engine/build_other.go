//go:build !linux

package engine

import (
	"context"
	"io"
)

// HasUsers reports whether sandboxes have users beside root.
func HasUsers() bool { return false }

// BaseID fails: there are no sandboxes on this system.
func BaseID(string) (string, error) { return "", errSystem }

// TakeLayer fails: there are no sandboxes on this system.
func TakeLayer(string, string) (bool, error) { return false, errSystem }

// LayerSize is zero: there are no sandboxes on this system.
func LayerSize(string) int64 { return 0 }

// TarInLinks fails: there are no sandboxes on this system.
func (b *Box) TarInLinks(context.Context, string, io.Reader) error { return errSystem }

// Nobody reports that there is no such user.
func Nobody() (uint32, bool) { return 0, false }

// LimitFileSize does nothing on this system.
func LimitFileSize(int, uint64) {}
