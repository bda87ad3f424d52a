// Package mark marks processes with a number that their children inherit,
// however they detach themselves: the soft limit of file locks, which kernels
// since 2.4 do not use. A filter on system calls keeps it from being changed. It
// also gives processes the names that they are listed by.
package mark

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/seccomp"
)

// Set makes n the mark of this process, and so of what it starts.
func Set(n uint64) error {
	var r unix.Rlimit
	if err := unix.Getrlimit(seccomp.Mark, &r); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	r.Cur = n
	return os.NewSyscallError("setrlimit", unix.Setrlimit(seccomp.Mark, &r))
}

// Clear takes the mark off this process.
func Clear() {
	var r unix.Rlimit
	if unix.Getrlimit(seccomp.Mark, &r) == nil {
		r.Cur = r.Max
		_ = unix.Setrlimit(seccomp.Mark, &r)
	}
}

// Find lists the living processes, but for this one, whose mark is from low on
// and less than high.
func Find(low, high uint64) []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	self := os.Getpid()
	var found []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == self {
			continue
		}
		if n, ok := of(name); ok && n >= low && n < high {
			found = append(found, pid)
		}
	}
	return found
}

var row = []byte("\nMax file locks")

// of returns the mark of a process that lives.
func of(pid string) (uint64, bool) {
	limits, err := os.ReadFile("/proc/" + pid + "/limits")
	if err != nil {
		return 0, false
	}
	at := bytes.Index(limits, row)
	if at < 0 {
		return 0, false
	}
	fields := bytes.Fields(limits[at+len(row):])
	if len(fields) == 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(fields[0]), 10, 64)
	return n, err == nil && alive(pid)
}

func alive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	end := bytes.LastIndexByte(stat, ')')
	return err == nil && end >= 0 && end+2 < len(stat) && stat[end+2] != 'Z' && stat[end+2] != 'X'
}
