package local

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// Why a sandbox is over.
const (
	lifetimeOver = "its lifetime is over"
	idleOver     = "it was not used for its idle timeout"
)

// over says why a sandbox is to be there no more, or nothing.
func (p *Provider) over(m *meta) string {
	l := &m.Limits
	switch {
	case p.clock.passed(l.Expires):
		return lifetimeOver
	case l.Expires.Wall.IsZero() && l.Idle == 0, m.Isolation == None:
		return ""
	case p.clock.passed(l.Asleep):
		return idleOver
	case m.Suspended || len(m.Runs) == 0:
		return ""
	case l.Idle > 0 && l.Boot != p.clock.boot() && p.clock.uptime() > l.Idle:
		return idleOver // the machine was started anew, and nobody has resumed it
	}
	switch p.box(m, m.Runs[len(m.Runs)-1]).Over() {
	case engine.EndLifetime:
		return lifetimeOver
	case engine.EndIdle:
		return idleOver
	}
	return ""
}

func (p *Provider) box(m *meta, run string) *engine.Box {
	return engine.At(filepath.Join(p.state.box(m.ID), run))
}

// bury removes what is left of a sandbox that is over, unless somebody is at
// work on it.
func (p *Provider) bury(ctx context.Context, id string) error {
	_, err := p.tend(ctx, id)
	return err
}

// buried reports whether a sandbox is over, and removes what is left of it.
func (p *Provider) buried(m *meta) bool {
	if p.over(m) == "" {
		return false
	}
	ctx, cancel := providers.Cleanup(context.Background())
	defer cancel()
	// The sandbox is gone for the caller, whatever keeps its files: the sweeper
	// says that, and tries again. It also ends the sandbox's URLs, one of which
	// may be asking.
	p.sweeper.found(m.ID)
	if err := p.bury(ctx, m.ID); err != nil {
		p.sweeper.note(err)
	}
	return true
}

// Extend implements [compute.Extender]. A sandbox without a Lifetime lives for
// ever anyway.
func (s *Sandbox) Extend(ctx context.Context, d time.Duration) error {
	const op = "extend"
	if d <= 0 {
		return fail(op, s.id, compute.ErrInvalid, "%v is not a time to live", d)
	}
	return s.change(ctx, op, func(m *meta) error {
		if m.Limits.Expires.Wall.IsZero() || s.p.clock.left(m.Limits.Expires) >= d {
			return nil
		}
		next := s.p.clock.in(d)
		if err := s.tellDeadline(ctx, op, m, next); err != nil {
			return err
		}
		m.Limits.Expires = next
		return s.p.outside(op, s.id, s.p.state.saveBox(m))
	})
}

// tellDeadline tells init, which is the one to decide when an extension comes
// just as the life ends.
func (s *Sandbox) tellDeadline(ctx context.Context, op string, m *meta, next instant) error {
	if m.Suspended || len(m.Runs) == 0 {
		return nil
	}
	err := s.p.box(m, m.Runs[len(m.Runs)-1]).Extend(ctx, next.Up)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ended(ctx, op, s.id)
	case !errors.Is(err, engine.ErrGone):
		return s.p.outside(op, s.id, err)
	case s.p.over(m) != "":
		return providers.NotFound(op, name, s.id)
	}
	return nil // init was killed: its files live on
}

// initEnd says why the machine of m has ended.
func (p *Provider) initEnd(m *meta) string {
	if len(m.Runs) > 0 && p.box(m, m.Runs[len(m.Runs)-1]).Ended() == engine.EndMemory {
		return "out of memory: the kernel has killed its init too; its files are kept, and Resume starts another init on them"
	}
	return initGone
}
