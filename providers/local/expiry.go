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

// An instant is a time to come. It is kept on two clocks: the one that nobody
// sets, which ends when the machine does, and the one of the wall, which is
// asked only after that.
type instant struct {
	Wall time.Time     `json:"wall"`
	Boot string        `json:"boot"`
	Up   time.Duration `json:"up"`
}

// inTime is the instant in d from now.
func inTime(d time.Duration) instant {
	return instant{Wall: time.Now().Add(d).Round(0), Boot: engine.BootID(), Up: later(engine.Uptime(), d)}
}

// later adds without overflow.
func later(t, d time.Duration) time.Duration {
	if sum := t + d; sum >= t {
		return sum
	}
	return 1<<63 - 1
}

// left is how long it is until i; zero or less if it has passed.
func (i instant) left() time.Duration {
	if i.Boot == engine.BootID() {
		return i.Up - engine.Uptime()
	}
	return time.Until(i.Wall)
}

// passed reports that i was set, and is not to come any more.
func (i instant) passed() bool { return !i.Wall.IsZero() && i.left() <= 0 }

// uptime is i on the clock of this start of the machine, zero if not set.
func (i instant) uptime() time.Duration {
	if i.Wall.IsZero() {
		return 0
	}
	if i.Boot == engine.BootID() {
		return i.Up
	}
	return max(later(engine.Uptime(), i.left()), 1)
}

// clockError is how far the wall's clock may have been moved before instants
// are told anew.
const clockError = 2 * time.Second

// wall is i as people see it.
func (i instant) wall() time.Time {
	if i.Wall.IsZero() {
		return i.Wall
	}
	if now := time.Now().Add(i.left()); now.Sub(i.Wall).Abs() > clockError {
		return now.Round(0)
	}
	return i.Wall
}

// Why a sandbox is over.
const (
	lifetimeOver = "its lifetime is over"
	idleOver     = "it was not used for its idle timeout"
)

// over says why a sandbox is to be there no more, or nothing.
func (p *Provider) over(m *meta) string {
	l := &m.Limits
	switch {
	case l.Expires.passed():
		return lifetimeOver
	case l.Expires.Wall.IsZero() && l.Idle == 0, m.Isolation == None:
		return ""
	case m.Suspended && l.Asleep.passed():
		return idleOver
	case m.Suspended || len(m.Runs) == 0:
		return ""
	case l.Idle > 0 && l.Boot != engine.BootID() && engine.Uptime() > l.Idle:
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
// work on it: then whoever looks next does.
func (p *Provider) bury(ctx context.Context, id string) error {
	unlock, err := lockDir(p.state.box(id), true, false)
	if err != nil || unlock == nil {
		return ignoreNotExist(err)
	}
	defer unlock()
	// It may have been extended, or buried.
	m, err := p.state.loadBox(id)
	if err != nil || p.over(m) == "" {
		return ignoreNotExist(err)
	}
	return p.clearAll(ctx, m)
}

// buried reports whether a sandbox is over, and removes what is left of it.
func (p *Provider) buried(m *meta) bool {
	if p.over(m) == "" {
		return false
	}
	p.closeURLs(m.ID)
	ctx, cancel := providers.Cleanup(context.Background())
	defer cancel()
	// The sandbox is gone for the caller, whatever keeps its files; sweep
	// tries again.
	_ = p.bury(ctx, m.ID)
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
		if m.Limits.Expires.Wall.IsZero() || m.Limits.Expires.left() >= d {
			return nil
		}
		next := inTime(d)
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
