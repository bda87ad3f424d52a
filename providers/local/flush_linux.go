package local

import (
	"os"

	"golang.org/x/sys/unix"
)

// flushAll has the disk take all that was written to the file system of dir.
// Flushing one file after the other would take longer.
func flushAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}
