package stub

import (
	"context"
	"maps"
	"time"

	"github.com/computekit/compute"
)

// Suspend implements [compute.Suspender]. Files are kept, processes are not.
func (s *Sandbox) Suspend(ctx context.Context) error {
	t, err := s.p.before(ctx, "suspend", s.ID())
	if err != nil {
		return err
	}
	if err := s.alive("suspend"); err != nil {
		return err
	}
	s.setStatus(compute.StatusSuspended)
	s.endAll()
	return t.after()
}

// Resume implements [compute.Suspender].
func (s *Sandbox) Resume(ctx context.Context) error {
	t, err := s.p.before(ctx, "resume", s.ID())
	if err != nil {
		return err
	}
	if err := s.alive("resume"); err != nil {
		return err
	}
	s.setStatus(compute.StatusRunning)
	s.touch()
	return t.after()
}

// Extend implements [compute.Extender].
func (s *Sandbox) Extend(ctx context.Context, d time.Duration) error {
	t, err := s.p.before(ctx, "extend", s.ID())
	if err != nil {
		return err
	}
	if err := s.alive("extend"); err != nil {
		return err
	}
	if info := s.copyInfo(); !info.Expires.IsZero() && info.Expires.Before(s.p.cfg.Now().Add(d)) {
		s.extend(s.p.cfg.Now(), d)
	}
	return t.after()
}

// UpdateMetadata implements [compute.MetadataUpdater].
func (s *Sandbox) UpdateMetadata(ctx context.Context, metadata map[string]string) error {
	t, err := s.p.before(ctx, "update metadata", s.ID())
	if err != nil {
		return err
	}
	if err := s.alive("update metadata"); err != nil {
		return err
	}
	s.mu.Lock()
	s.info.Metadata = maps.Clone(metadata)
	s.mu.Unlock()
	return t.after()
}
