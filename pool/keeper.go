package pool

import (
	"context"
	"errors"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// keep makes a sandbox, holds it until it is wanted or too old, and makes the
// next.
func (p *Pool) keep(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		sb, err := p.create(ctx)
		if err != nil {
			p.fail(err)
			pause(ctx, p.backoff(err, failures))
			failures++
			continue
		}
		failures = 0
		if !p.hold(ctx, sb) {
			p.destroy(ctx, sb)
		}
	}
}

// create makes a sandbox that is ready to be handed out.
func (p *Pool) create(ctx context.Context) (compute.Sandbox, error) {
	sb, err := p.Compute.CreateSandbox(ctx, providers.CloneOptions(p.make))
	if err != nil || p.cfg.Ready == nil {
		return sb, err
	}
	if err := p.cfg.Ready(ctx, sb); err != nil {
		p.destroy(ctx, sb)
		return nil, err
	}
	return sb, nil
}

// hold offers a sandbox and reports whether it was taken.
func (p *Pool) hold(ctx context.Context, sb compute.Sandbox) (taken bool) {
	p.idle.Add(1)
	defer p.idle.Add(-1)
	var tooOld <-chan time.Time // never, if there is no limit
	if p.cfg.MaxAge > 0 {
		t := time.NewTimer(p.cfg.MaxAge)
		defer t.Stop()
		tooOld = t.C
	}
	o := &offer{sb, make(chan bool, 1)}
	select {
	case p.offers <- o:
		return <-o.taken
	case <-tooOld:
	case <-ctx.Done():
	}
	return false
}

// destroy works also when ctx has ended, as it has when the pool is closing.
func (p *Pool) destroy(ctx context.Context, sb compute.Sandbox) {
	ctx, cancel := providers.Cleanup(ctx)
	defer cancel()
	if err := sb.Destroy(ctx); err != nil {
		p.fail(&compute.Error{Op: "destroy idle sandbox", Provider: p.Name(), ID: sb.ID(), Err: err})
	}
}

// fail reports an error: to Close if that waits, unless it was Close that ended
// the operation, and to OnError otherwise.
func (p *Pool) fail(err error) {
	p.mu.Lock()
	closed := p.closed
	if closed && !onlyCanceled(err) {
		p.errs = append(p.errs, err)
	}
	p.mu.Unlock()
	if !closed {
		p.cfg.OnError(err)
	}
}

// onlyCanceled reports whether an operation ended with its context and left
// nothing.
func onlyCanceled(err error) bool {
	e, ok := errors.AsType[*compute.Error](err)
	return errors.Is(err, context.Canceled) && (!ok || e.ID == "")
}

func (p *Pool) backoff(err error, failures int) time.Duration {
	d := p.cfg.Backoff << min(failures, 5)
	if e, ok := errors.AsType[*compute.Error](err); ok {
		d = max(d, e.RetryAfter)
	}
	return d
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
