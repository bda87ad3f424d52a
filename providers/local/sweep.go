package local

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// sweep removes what is over, and what programs that were killed have left half
// made or half destroyed.
func (p *Provider) sweep(ctx context.Context) error {
	_, err := p.sweepBoxes(ctx)
	return errors.Join(err, p.sweepRest(ctx))
}

// sweepRest is sweep but for sandboxes.
func (p *Provider) sweepRest(ctx context.Context) error {
	return errors.Join(p.sweepVolumes(), p.sweepBuilds(ctx), p.collectBases(), p.sweepProbes(ctx))
}

// sweepProbes removes what is left of tries whether this machine can isolate.
func (p *Provider) sweepProbes(ctx context.Context) error {
	return errors.Join(engine.RemoveProbes(ctx, p.state.dir), engine.RemoveProbes(ctx, p.state.path("base")))
}

// sweepBoxes is sweep of sandboxes, and of layers that somebody was to remove. It
// returns when the next sandbox will be over, as far as that is known, on the
// clock of the machine's start.
func (p *Provider) sweepBoxes(ctx context.Context) (due time.Duration, err error) {
	ids, err := p.state.boxes()
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, id := range ids {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if !validID(id, boxPrefix) {
			continue
		}
		at, err := p.sweepBox(ctx, id)
		due = earlier(due, at)
		errs = append(errs, err)
	}
	return due, errors.Join(append(errs, p.collectNow())...)
}

// earlier returns the earlier of two times, of which 0 is none.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// sweepTime is how long removing one sandbox may take, before others have their
// turn.
const sweepTime = time.Minute

// sweepBox removes one sandbox if it is to be removed. Otherwise it returns
// when it will be over.
func (p *Provider) sweepBox(ctx context.Context, id string) (due time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	m, err := p.state.loadBox(id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, p.sweepLeft(ctx, id)
	case err != nil:
		return 0, nil // it is damaged, or of a newer version: whoever asks for it is told
	case p.over(m) != "":
		p.sweeper.found(id)
		return 0, p.bury(ctx, id)
	case p.unnoted(ctx, m):
		return p.tend(ctx, id)
	}
	return p.due(m), nil
}

// sweepLeft removes what is left of a sandbox that is none, unless somebody is
// making or destroying it just now.
func (p *Provider) sweepLeft(ctx context.Context, id string) error {
	unlock, err := p.state.lockLeft(p.state.box(id))
	if err != nil || unlock == nil {
		return ignoreNotExist(err)
	}
	defer unlock()
	// Only now is it certain that nobody finishes it.
	if p.state.hasBox(id) {
		return nil
	}
	if err := p.clear(ctx, id); err != nil {
		return err
	}
	return p.collect() // nobody knows what layers it had
}

// due is when m will be over, as far as that is known, on the clock of the
// machine's start; 0 if it is not.
func (p *Provider) due(m *meta) time.Duration {
	return earlier(p.clock.deadline(m.Limits.Expires), p.clock.deadline(m.Limits.Asleep))
}

// unnoted reports that something is to be noted about m: that this machine was
// started anew, that m has lost its init, which would have seen to its idle
// time, or that its maker was killed when others could see it already.
func (p *Provider) unnoted(ctx context.Context, m *meta) bool {
	l := &m.Limits
	return p.state.unfinished(m.ID) || p.clock.stale(l.Expires) || p.clock.stale(l.Asleep) || p.lost(ctx, m)
}

// lost reports that m may be idle only for a while, has no init any more, and
// that nobody has noted that.
func (p *Provider) lost(ctx context.Context, m *meta) bool {
	l := &m.Limits
	return l.Idle > 0 && l.Asleep.Wall.IsZero() && !m.Suspended && len(m.Runs) > 0 && p.box(m, m.Runs[len(m.Runs)-1]).Gone(ctx)
}

// tend does for a sandbox what time demands, unless somebody is at work on it:
// then whoever looks next does. It returns when the sandbox will be over, if it
// is not.
func (p *Provider) tend(ctx context.Context, id string) (due time.Duration, err error) {
	unlock, err := lockDir(p.state.box(id), true, false)
	if err != nil || unlock == nil {
		return 0, ignoreNotExist(err)
	}
	defer unlock()
	// It may have been extended, resumed, or buried.
	m, err := p.state.loadBox(id)
	if err != nil {
		return 0, ignoreNotExist(err)
	}
	if p.over(m) != "" {
		return 0, p.clearAll(ctx, m)
	}
	if !p.unnoted(ctx, m) {
		return p.due(m), nil
	}
	if p.state.unfinished(id) {
		if err := p.state.finishBox(id); err != nil {
			return 0, err
		}
	}
	l := &m.Limits
	if p.lost(ctx, m) { // from now on it is like one that is suspended
		l.Asleep = p.clock.in(l.Idle)
	}
	for _, i := range []*instant{&l.Expires, &l.Asleep} {
		if p.clock.stale(*i) {
			*i = p.clock.anew(*i)
		}
	}
	return p.due(m), p.state.saveBox(m)
}
