//go:build unix && !linux

package local

import "syscall"

func endTogether(*syscall.SysProcAttr, bool) {}
