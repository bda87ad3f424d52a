package local

import "syscall"

// endTogether has a process end with the thread that starts it.
func endTogether(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
