//go:build linux

package escape

var archAttempts []attempt
