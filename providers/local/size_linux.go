package local

import (
	"math"

	"golang.org/x/sys/unix"
)

// machineMemory is what this machine has, in bytes; 0 if not known.
func machineMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return signed(uint64(info.Totalram) * uint64(info.Unit)) //nolint:unconvert // its type depends on the processor
}

// freeDisk is what this program may still write below dir, in bytes; 0 if not
// known.
func freeDisk(dir string) int64 {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil || st.Bsize <= 0 {
		return 0
	}
	return signed(st.Bavail * uint64(st.Bsize))
}

func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
