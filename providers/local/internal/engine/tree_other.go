//go:build !linux

package engine

import (
	"context"
	"io"
)

// UnpackImage fails: there are no sandboxes on this system.
func UnpackImage(context.Context, io.Reader, string) error { return errSystem }

// UnpackLayers fails: there are no sandboxes on this system.
func UnpackLayers(context.Context, io.Reader, string) ([]string, error) { return nil, errSystem }

// PackLayers fails: there are no sandboxes on this system.
func PackLayers(context.Context, io.Writer, []string) error { return errSystem }

// MergeLayers fails: there are no sandboxes on this system.
func MergeLayers(context.Context, Below, []string, string) error { return errSystem }

// FoldLayers fails: there are no sandboxes on this system.
func FoldLayers(context.Context, Below, string, []string) error { return errSystem }

// PackDir fails: there are no sandboxes on this system.
func PackDir(context.Context, io.Writer, string) error { return errSystem }

// HashDir fails: there are no sandboxes on this system.
func HashDir(context.Context, string) (string, error) { return "", errSystem }

// HostBase fails: there are no sandboxes on this system.
func HostBase() string { return "" }

// RemoveOldBases does nothing: there are none.
func RemoveOldBases(string, func(string) bool) error { return nil }

// UsedBase returns nothing: there is none.
func UsedBase(string) string { return "" }
