//go:build linux

package seccomp

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	// foreignABI is beyond every number: this architecture has one set.
	foreignABI = 1<<32 - 1
)

var forbiddenHere, forksHere []uint32
