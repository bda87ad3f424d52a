package local

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// How often the sweeper looks, beside when something is known to be over: at
// the sandboxes, of which other programs may have made some, and at all there
// is in the state directory. Both vary by a fifth, so that programs on one
// directory do not all look at once.
const (
	sweepEvery = time.Minute
	sweepAll   = time.Hour
)

// dueDelay is how long after its end a sandbox is removed: init ends it in
// time, and notes why.
const dueDelay = 10 * time.Millisecond

// A sweeper removes what is over as long as its provider is open: sandboxes
// whose lives have ended, and what programs that were killed have left. It has
// one goroutine, which sleeps until something is due.
type sweeper struct {
	logger *slog.Logger  // may be nil
	sooner chan struct{} // something is due earlier than was planned, or was found to be over
	done   sync.WaitGroup
	rest   error // of the last look at all there is

	mu   sync.Mutex
	due  time.Duration       // on the clock of the machine's start; 0 if nothing is known to be
	over map[string]struct{} // sandboxes that are, and may have URLs still
	err  error               // of the last look
}

// startSweeper starts the goroutine, which ends with the provider's context. The
// first look has just been.
func (p *Provider) startSweeper() {
	p.sweeper.sooner = make(chan struct{}, 1)
	p.sweeper.done.Go(p.keepSweeping)
}

// stopSweeper waits for the goroutine, whose context has ended, and returns
// what it could not remove.
func (p *Provider) stopSweeper() error {
	w := &p.sweeper
	w.done.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return p.outside("close", "", w.err)
}

func (p *Provider) keepSweeping() {
	w, now := &p.sweeper, p.clock.uptime()
	next, all := now+vary(sweepEvery), now+vary(sweepAll)
	for {
		timer := time.NewTimer(w.wait(p.clock.uptime(), next))
		select {
		case <-p.ctx.Done():
			timer.Stop()
			return
		case <-w.sooner:
			timer.Stop()
			p.disconnect(w.takeOver())
			continue
		case <-timer.C:
		}
		if now = p.clock.uptime(); now >= all {
			all = now + vary(sweepAll)
			p.look(true)
		} else {
			p.look(false)
		}
		next = p.clock.uptime() + vary(sweepEvery)
	}
}

// vary returns about d.
func vary(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5) //nolint:gosec // nobody gains by guessing it
}

// look sweeps the sandboxes, or all there is, plans for what is due next, and
// notes what went wrong.
func (p *Provider) look(all bool) {
	w := &p.sweeper
	w.mu.Lock()
	w.due = 0 // from now on others say what this look may not see
	w.mu.Unlock()
	due, err := p.sweepBoxes(p.ctx)
	w.mu.Lock()
	w.due = earlier(w.due, due)
	w.mu.Unlock()
	if all {
		w.rest = errors.Join(p.sweepRest(p.ctx), p.sweepFetches())
	}
	if p.ctx.Err() == nil {
		w.note(errors.Join(err, w.rest))
	}
}

// wait is how long to sleep, until next at most.
func (w *sweeper) wait(now, next time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.due > 0 {
		next = min(next, later(w.due, dueDelay))
	}
	return max(next-now, 0)
}

// expect notes when a sandbox of this program will be over.
func (p *Provider) expect(m *meta) {
	w, due := &p.sweeper, p.due(m)
	w.mu.Lock()
	sooner := earlier(w.due, due) != w.due
	w.due = earlier(w.due, due)
	w.mu.Unlock()
	if sooner {
		w.wake()
	}
}

func (w *sweeper) wake() {
	select {
	case w.sooner <- struct{}{}:
	default: // it will see this too
	}
}

// found has the sweeper end what this program serves of a sandbox that is over.
// Who has found that may be one of those served.
func (w *sweeper) found(id string) {
	w.mu.Lock()
	if w.over == nil {
		w.over = map[string]struct{}{}
	}
	w.over[id] = struct{}{}
	w.mu.Unlock()
	w.wake()
}

func (w *sweeper) takeOver() map[string]struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	over := w.over
	w.over = nil
	return over
}

func (p *Provider) disconnect(over map[string]struct{}) {
	for id := range over {
		p.closeURLs(id)
		p.closeSSH(id)
	}
}

// note keeps the outcome of a look for Close, and tells the logger what it was
// not told before.
func (w *sweeper) note(err error) {
	w.mu.Lock()
	known := err == nil || w.err != nil && w.err.Error() == err.Error()
	w.err = err
	w.mu.Unlock()
	if !known && w.logger != nil {
		w.logger.Warn("local: the state directory has what cannot be removed", "err", err)
	}
}
