package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// Events implements [compute.EventWatcher]. What other programs do is seen,
// too. Events of type log tell of limits that were exceeded.
func (s *Sandbox) Events(ctx context.Context) iter.Seq2[compute.Event, error] {
	return func(yield func(compute.Event, error) bool) {
		if err := s.watch(ctx, yield); err != nil {
			yield(compute.Event{}, err)
		}
	}
}

// errEnough says that the caller wants no more.
var errEnough = errors.New("enough")

// watch yields events until there are no more, which is no error.
func (s *Sandbox) watch(ctx context.Context, yield func(compute.Event, error) bool) error {
	const op = "events"
	if err := ended(ctx, op, s.id); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{s: s, ctx: ctx, yield: yield}
	defer w.inits.Wait()
	defer cancel()
	changes, err := watchDir(ctx, s.p.state.box(s.id))
	if err != nil {
		if _, lerr := s.p.load(op, s.id); lerr != nil {
			return lerr
		}
		return s.p.outside(op, s.id, err)
	}
	defer changes.close()
	err = w.follow(op, changes)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// A watcher follows one sandbox.
type watcher struct {
	s     *Sandbox
	ctx   context.Context // of the watch
	yield func(compute.Event, error) bool
	inits sync.WaitGroup // goroutines that listen to inits

	last  *meta
	seen  compute.Status
	run   string
	heard string
	logs  chan engine.Event // of the init of heard
	gone  chan struct{}     // closed at the end of that
}

// follow looks again whenever something may have changed.
func (w *watcher) follow(op string, changes *changes) error {
	for {
		left, err := w.look(op)
		if err != nil {
			return err
		}
		timer := time.NewTimer(left)
		err = w.wait(op, changes.ch, timer.C)
		timer.Stop()
		if err != nil {
			return err
		}
	}
}

// wait passes on what init tells, until something may have changed.
func (w *watcher) wait(op string, changed <-chan struct{}, late <-chan time.Time) error {
	for {
		select {
		case <-changed:
			return nil
		case <-late:
			return nil
		case <-w.gone:
			w.gone = nil
			return nil
		case e := <-w.logs:
			if err := w.log(op, e); err != nil {
				return err
			}
		case <-w.ctx.Done():
			return ended(w.ctx, op, w.s.id)
		}
	}
}

func (w *watcher) log(op string, e engine.Event) error {
	if !w.yield(compute.Event{Time: e.Time, Type: compute.EventLog, Message: e.Text}, nil) {
		return errEnough
	}
	if e.Lost {
		return fail(op, w.s.id, compute.ErrTruncated, "events were lost")
	}
	return nil
}

// lookEvery is how often a sandbox is looked at that nothing tells about: one
// without isolation, whose program may just end.
const lookEvery = time.Second

// lookSoon is when to look again at one that somebody is at work on.
const lookSoon = 5 * time.Millisecond

// changing reports that somebody is at work on a sandbox just now, or was since
// m was read: a machine that is gone may be so for a reason.
func (p *Provider) changing(m *meta) bool {
	unlock, err := lockDir(p.state.box(m.ID), false, false)
	if err != nil || unlock == nil {
		return true
	}
	unlock()
	now, err := p.state.loadBox(m.ID)
	return err != nil || now.Suspended != m.Suspended || !slices.Equal(now.Runs, m.Runs)
}

// look yields the status if it has changed. It returns when to look again, at
// the latest.
func (w *watcher) look(op string) (time.Duration, error) {
	why := "it was destroyed"
	if w.last != nil {
		why = cmp.Or(w.s.p.over(w.last), why) // before load removes the traces
	}
	m, err := w.s.p.load(op, w.s.id)
	if errors.Is(err, compute.ErrNotFound) && w.last != nil {
		_ = w.status(compute.StatusStopped, why)
		return 0, errEnough
	}
	if err != nil {
		return 0, err
	}
	h := w.s.p.handle(m)
	run := h.run.Load()
	w.attach(run)
	info, err := h.info(w.ctx, op, m)
	if err == nil && info.Status == compute.StatusFailed && w.seen != compute.StatusFailed && w.s.p.changing(m) {
		return lookSoon, nil // it is being suspended or destroyed
	}
	if errors.Is(err, compute.ErrNotFound) {
		return 0, nil // just now
	}
	if err != nil {
		return 0, err
	}
	if info.Status != w.seen || run.run != w.run && w.last != nil && info.Status == compute.StatusRunning {
		err = w.status(info.Status, info.Reason)
	}
	w.last, w.seen, w.run = m, info.Status, run.run
	return w.s.p.lookAgain(m), err
}

func (p *Provider) lookAgain(m *meta) time.Duration {
	again := 24 * time.Hour
	if m.Isolation == None {
		again = lookEvery
	}
	for _, i := range []instant{m.Limits.Expires, m.Limits.Asleep} {
		if !i.Wall.IsZero() {
			again = min(again, max(p.clock.left(i), 0)+10*time.Millisecond) // init ends it in time
		}
	}
	return again
}

func (w *watcher) status(status compute.Status, why string) error {
	if !w.yield(compute.Event{Time: time.Now(), Type: compute.EventStatus, Status: status, Message: why}, nil) {
		return errEnough
	}
	return nil
}

// attach listens to the init of a run, and returns when init knows.
func (w *watcher) attach(r *running) {
	b, ok := r.machine.(interface {
		Events(ctx context.Context, f func(engine.Event) error) error
	})
	if !ok || r.run == w.heard {
		return
	}
	w.heard = r.run
	logs, gone, begun := make(chan engine.Event), make(chan struct{}), make(chan struct{})
	w.logs, w.gone = logs, gone
	w.inits.Go(func() {
		defer close(gone)
		first := sync.OnceFunc(func() { close(begun) })
		defer first()
		_ = b.Events(w.ctx, func(e engine.Event) error {
			if e.Time.IsZero() {
				first()
				return nil
			}
			select {
			case logs <- e:
				return nil
			case <-w.ctx.Done():
				return w.ctx.Err()
			}
		})
	})
	<-begun
}

// WaitForStatus implements [compute.Waiter].
func (s *Sandbox) WaitForStatus(ctx context.Context, want ...compute.Status) (*compute.SandboxInfo, error) {
	const op = "wait for status"
	for e, err := range s.Events(ctx) {
		if err != nil {
			return nil, renamed(op, err)
		}
		if e.Type != compute.EventStatus {
			continue
		}
		if e.Status == compute.StatusStopped && !slices.Contains(want, e.Status) {
			break
		}
		info, err := s.Info(ctx)
		if err != nil {
			return nil, renamed(op, err)
		}
		if slices.Contains(want, info.Status) {
			return info, nil
		}
		if info.Status == compute.StatusFailed {
			return info, &compute.Error{Op: op, Provider: name, ID: s.id, Kind: compute.ErrConflict,
				Err: fmt.Errorf("it is %s: %s", info.Status, info.Reason)}
		}
	}
	if err := ended(ctx, op, s.id); err != nil {
		return nil, err
	}
	return nil, providers.NotFound(op, name, s.id)
}

// renamed is an error of what an operation is made of, as one of its own.
func renamed(op string, err error) error {
	if e, ok := errors.AsType[*compute.Error](err); ok {
		own := *e
		own.Op = op
		return &own
	}
	return err
}
