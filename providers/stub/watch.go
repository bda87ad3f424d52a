package stub

import (
	"context"
	"iter"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub/internal/memfs"
)

// WatchFiles implements [compute.FileWatcher].
func (f filesystem) WatchFiles(ctx context.Context, dir string) (iter.Seq2[compute.FileEvent, error], error) {
	fsys, full, t, err := f.begin(ctx, "watch files", "watch", dir)
	if err != nil {
		return nil, err
	}
	w, err := fsys.Watch(full, true)
	if err != nil {
		return nil, fix("watch", dir, err)
	}
	context.AfterFunc(ctx, w.Close)
	if err := t.after(); err != nil {
		return nil, err
	}
	return func(yield func(compute.FileEvent, error) bool) {
		for e := range w.Events() {
			for _, fe := range translate(e) {
				if !yield(fe, f.missed(e)) {
					return
				}
			}
		}
		yield(compute.FileEvent{}, f.s.p.ended(ctx, "watch files", f.s.ID()))
	}, nil
}

func (f filesystem) missed(e memfs.Event) error {
	if e.Err == nil {
		return nil
	}
	return f.s.p.fail("watch files", f.s.ID(), compute.ErrTruncated, "%w", e.Err)
}

func translate(e memfs.Event) []compute.FileEvent {
	switch e.Op {
	case memfs.Created:
		return []compute.FileEvent{{Type: compute.FileCreated, Name: e.Name}}
	case memfs.Written:
		return []compute.FileEvent{{Type: compute.FileWritten, Name: e.Name}}
	case memfs.Removed:
		return []compute.FileEvent{{Type: compute.FileRemoved, Name: e.Name}}
	case memfs.Renamed:
		return []compute.FileEvent{{Type: compute.FileRemoved, Name: e.Old}, {Type: compute.FileCreated, Name: e.Name}}
	}
	return []compute.FileEvent{{}}
}
