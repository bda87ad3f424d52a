package host

import "syscall"

// maxRSS is in bytes, where the kernel counts in KiB.
func maxRSS(ru *syscall.Rusage) int64 { return int64(ru.Maxrss) << 10 } //nolint:unconvert // not an int64 everywhere
