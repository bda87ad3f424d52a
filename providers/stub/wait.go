package stub

import (
	"context"
	"slices"

	"github.com/computekit/compute"
)

// WaitForStatus implements [compute.Waiter].
func (s *Sandbox) WaitForStatus(ctx context.Context, want ...compute.Status) (*compute.SandboxInfo, error) {
	const op = "wait for status"
	t, err := s.p.before(ctx, op, s.ID())
	if err != nil {
		return nil, err
	}
	if err := s.alive(op); err != nil && !slices.Contains(want, compute.StatusStopped) {
		return nil, err
	}
	s.mu.Lock()
	sub := s.events.subscribe() // before the look, so that no change is missed
	s.mu.Unlock()
	defer s.events.unsubscribe(sub)
	for {
		info := s.copyInfo()
		switch {
		case slices.Contains(want, info.Status):
			return info, t.after()
		case info.Status == compute.StatusStopped:
			return info, s.p.fail(op, s.ID(), compute.ErrConflict, "it is stopped")
		}
		select {
		case <-sub.ch: // closed once it is stopped
		case <-ctx.Done():
			return info, s.p.ended(ctx, op, s.ID())
		}
	}
}
