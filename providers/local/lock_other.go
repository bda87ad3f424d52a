//go:build !unix

package local

import (
	"io/fs"
	"os"
)

// There are no sandboxes here that another program could use.
func lock(string, bool, bool) (func(), error) { return func() {}, nil }

func lockFile(string, int, bool, bool) (func(), error) { return func() {}, nil }

func openLocked(file string, flags int, _, _ bool) (*os.File, error) {
	return os.OpenFile(file, os.O_RDWR|flags, 0o600)
}

func closeLocked(f *os.File) { _ = f.Close() }

func device(fs.FileInfo) uint64 { return 0 }

func inode(fs.FileInfo) string { return "" }

func ownedByUs(fs.FileInfo) error { return nil }
