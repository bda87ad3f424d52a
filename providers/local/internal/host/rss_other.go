//go:build unix && !linux

package host

import (
	"runtime"
	"syscall"
)

// maxRSS is in bytes, where all kernels but that of macOS count in KiB.
func maxRSS(ru *syscall.Rusage) int64 {
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return int64(ru.Maxrss)
	}
	return int64(ru.Maxrss) << 10
}
