//go:build unix && !linux

package host

import "syscall"

// seesMarks reports that this system shows the environment of processes.
const seesMarks = false

// killTree kills the process groups of leaders that still run. What has left
// its group, or has outlived its leader, is not found.
func killTree(_ func(mark string) bool, leaders []*child) error {
	for _, c := range leaders {
		if !c.hasExited() { // later, the number may be somebody else's
			_ = syscall.Kill(-c.pid, syscall.SIGKILL)
		}
	}
	return nil
}
