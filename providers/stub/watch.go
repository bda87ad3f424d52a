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
	f.s.watch(ctx, w)
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
		yield(compute.FileEvent{}, f.over(ctx))
	}, nil
}

// over is why a watch has ended.
func (f filesystem) over(ctx context.Context) error {
	if ctx.Err() != nil {
		return f.s.p.ended(ctx, "watch files", f.s.ID())
	}
	if err := f.s.alive("watch files"); err != nil {
		return err
	}
	return f.s.p.fail("watch files", f.s.ID(), compute.ErrConflict, "the sandbox was rolled back")
}

// watch ends the watch with the context, or with the sandbox.
func (s *Sandbox) watch(ctx context.Context, w *memfs.Watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watches == nil {
		s.watches = map[*memfs.Watcher]struct{}{}
	}
	s.watches[w] = struct{}{}
	context.AfterFunc(ctx, func() {
		w.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watches, w)
	})
}

func (s *Sandbox) endWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watches {
		w.Close()
	}
	clear(s.watches)
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
