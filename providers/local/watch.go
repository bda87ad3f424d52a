package local

import (
	"context"
	"errors"
	"iter"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// watchMachine is a machine that tells of changes of files.
type watchMachine interface {
	Watch(ctx context.Context, name string) (*engine.Watch, error)
}

var errNoWatch = errors.New("without isolation files cannot be watched")

// WatchFiles implements [compute.FileWatcher]. The sandbox may have 16 watches
// at once, each of 16384 directories; links are not followed, /proc is left
// out. A file that WriteFile has replaced is told of as created and written.
// The watch ends with the sandbox's init, too.
func (f filesystem) WatchFiles(ctx context.Context, dir string) (iter.Seq2[compute.FileEvent, error], error) {
	const op = "watch files"
	var w *engine.Watch
	err := f.do(ctx, op, "watch", dir, func(m machine) (err error) {
		wm, ok := m.(watchMachine)
		if !ok {
			return errNoWatch
		}
		w, err = wm.Watch(ctx, dir)
		return err
	})
	if errors.Is(err, errNoWatch) {
		return nil, fail(op, f.s.id, errors.ErrUnsupported, "%w", errNoWatch)
	}
	if err != nil {
		return nil, err
	}
	return func(yield func(compute.FileEvent, error) bool) {
		defer w.Close()
		for {
			e, err := w.Next()
			more := yield(fileEvent(e), f.watchError(ctx, op, err))
			if !more || err != nil && !errors.Is(err, engine.ErrLost) {
				return
			}
		}
	}, nil
}

// watchError says why there is no event.
func (f filesystem) watchError(ctx context.Context, op string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ended(ctx, op, f.s.id)
	case errors.Is(err, engine.ErrLost):
		return fail(op, f.s.id, compute.ErrTruncated, "%w", err)
	case errors.Is(err, engine.ErrGone):
		_, err := f.s.why(op, f.s.run.Load(), true)
		return err
	}
	return f.s.fix(ctx, op, err)
}

var fileEventTypes = map[engine.Change]compute.FileEventType{
	engine.Created: compute.FileCreated, engine.Written: compute.FileWritten, engine.Removed: compute.FileRemoved,
}

func fileEvent(e engine.FileEvent) compute.FileEvent {
	return compute.FileEvent{Type: fileEventTypes[e.Change], Name: e.Name}
}
