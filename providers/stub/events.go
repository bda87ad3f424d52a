package stub

import (
	"context"
	"iter"

	"github.com/computekit/compute"
)

// Events implements [compute.EventWatcher].
func (s *Sandbox) Events(ctx context.Context) iter.Seq2[compute.Event, error] {
	return func(yield func(compute.Event, error) bool) {
		if _, err := s.p.before(ctx, "events", s.ID()); err != nil {
			yield(compute.Event{}, err)
			return
		}
		if err := s.alive("events"); err != nil {
			yield(compute.Event{}, err)
			return
		}
		s.mu.Lock()
		first := compute.Event{Time: s.p.cfg.Now(), Type: compute.EventStatus, Status: s.info.Status}
		sub := s.events.subscribe()
		s.mu.Unlock()
		defer s.events.unsubscribe(sub)
		if yield(first, nil) {
			s.follow(ctx, sub, yield)
		}
	}
}

func (s *Sandbox) follow(ctx context.Context, sub *subscriber[compute.Event], yield func(compute.Event, error) bool) {
	for {
		select {
		case e, ok := <-sub.ch:
			if !ok || !yield(e, nil) {
				return
			}
			if sub.lost.Swap(false) {
				yield(compute.Event{}, s.p.fail("events", s.ID(), compute.ErrTruncated, "events were lost"))
				return
			}
		case <-ctx.Done():
			yield(compute.Event{}, s.p.ended(ctx, "events", s.ID()))
			return
		}
	}
}

// Log reports an event of type log to those who watch s.
func (s *Sandbox) Log(message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events.send(compute.Event{Time: s.p.cfg.Now(), Type: compute.EventLog, Message: message})
}
