package local

import (
	"context"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// changes tells when something has changed in a directory.
type changes struct {
	ch   chan struct{}
	file *os.File
	done sync.WaitGroup
}

// watchDir watches a directory for entries that come and go.
func watchDir(_ context.Context, dir string) (*changes, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	c := &changes{ch: make(chan struct{}, 1), file: os.NewFile(uintptr(fd), "inotify")}
	_, err = unix.InotifyAddWatch(fd, dir, unix.IN_MOVED_TO|unix.IN_DELETE|unix.IN_DELETE_SELF|unix.IN_ONLYDIR)
	if err != nil {
		return nil, errors.Join(&os.PathError{Op: "watch", Path: dir, Err: err}, c.file.Close())
	}
	c.done.Go(c.read)
	return c, nil
}

// read need not know what has changed, nor how often.
func (c *changes) read() {
	buf := make([]byte, 64<<10)
	for {
		if _, err := c.file.Read(buf); err != nil {
			return
		}
		select {
		case c.ch <- struct{}{}:
		default:
		}
	}
}

func (c *changes) close() {
	_ = c.file.Close()
	c.done.Wait()
}
