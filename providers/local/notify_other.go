//go:build !linux

package local

import (
	"context"
	"os"
	"sync"
	"time"
)

// changes tells when something may have changed in a directory.
type changes struct {
	ch   chan struct{}
	end  context.CancelFunc
	done sync.WaitGroup
}

// watchDir has a directory looked at from time to time.
func watchDir(ctx context.Context, dir string) (*changes, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &changes{ch: make(chan struct{}, 1), end: cancel}
	c.done.Go(func() {
		tick := time.NewTicker(lookEvery / 4)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				select {
				case c.ch <- struct{}{}:
				default:
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return c, nil
}

func (c *changes) close() {
	c.end()
	c.done.Wait()
}
