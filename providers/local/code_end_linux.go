package local

import (
	"os"
	"syscall"
)

// endTogether has a process end with the thread that starts it and, if all, what
// the process runs end with the process, which takes root.
func endTogether(attr *syscall.SysProcAttr, all bool) {
	attr.Pdeathsig = syscall.SIGKILL
	if all && os.Geteuid() == 0 {
		attr.Cloneflags |= syscall.CLONE_NEWPID
	}
}
