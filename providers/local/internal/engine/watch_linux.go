package engine

import (
	"context"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// A Watch tells what happens to the files below a directory.
type Watch struct {
	call  *call
	queue []FileEvent
}

// Watch begins to watch a directory and all below it. It lasts until ctx ends
// or the Watch is closed, and holds a connection, no goroutine.
func (b *Box) Watch(ctx context.Context, name string) (*Watch, error) {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpWatch, Path: name})
	if err != nil {
		return nil, err
	}
	if _, err := c.reply(); err != nil {
		c.close()
		return nil, pathError("watch", name, err)
	}
	// An end of ctx that nobody is waiting for must hang up, too.
	context.AfterFunc(ctx, func() { _ = c.Conn.Close() })
	return &Watch{call: c}, nil
}

// Next waits for the next event. An error that matches ErrLost is about events
// that were missed, and Next can be called again; any other is the last.
func (w *Watch) Next() (FileEvent, error) {
	for len(w.queue) == 0 {
		r, err := w.call.reply()
		if err != nil {
			return FileEvent{}, err
		}
		for _, e := range r.Entries {
			if e.Mode < wire.WatchCreated || e.Mode > wire.WatchRemoved {
				return FileEvent{}, wire.ErrMalformed
			}
			w.queue = append(w.queue, FileEvent{Change: Change(e.Mode), Name: e.Name})
		}
	}
	e := w.queue[0]
	w.queue = w.queue[1:]
	return e, nil
}

// Close ends the watch.
func (w *Watch) Close() error {
	w.call.close()
	return nil
}
