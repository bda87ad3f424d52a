//go:build unix

package runloopapi

import "syscall"

func killProcess(pid int, sig syscall.Signal) error { return syscall.Kill(pid, sig) }

// ownGroup has a command begin a process group.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
