//go:build linux

package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

func (w *week) in(d time.Duration) modelTime { return modelTime{w.f.up + d, d} }

func (w *week) upTo(d time.Duration) time.Duration { return time.Duration(w.r.Int64N(int64(d))) }

func (w *week) duration() time.Duration {
	most := []time.Duration{10 * time.Minute, 2 * hour, 3 * 24 * hour}[w.r.IntN(3)]
	return time.Second + w.upTo(most)
}

func (w *week) create() {
	if len(w.lives) > 30 {
		return
	}
	opts, m := &compute.CreateSandboxOptions{}, &meta{Version: stateVersion, ID: newID(boxPrefix), Isolation: Namespaces}
	if w.r.IntN(3) > 0 {
		opts.Lifetime = w.duration()
	}
	if w.r.IntN(3) > 0 {
		opts.IdleTimeout = w.duration()
	}
	require.NoError(w.t, w.p.settleLimits(opts, m))
	unlock, err := w.p.state.newBox(m.ID)
	require.NoError(w.t, err)
	defer unlock()
	l := &modelLife{number: w.counts["create"], idle: opts.IdleTimeout}
	if opts.Lifetime > 0 {
		l.expires = w.in(opts.Lifetime)
	}
	w.boot(l, m)
	require.NoError(w.t, w.p.publish(m))
	w.p.expect(m)
	l.sb = w.p.handle(m)
	w.lives[m.ID] = l
}

// boot is Provider.boot with an init that is not one.
func (w *week) boot(l *modelLife, m *meta) {
	var spec engine.Spec
	require.NoError(w.t, w.p.applyLimits(m, &spec))
	run := runPrefix + strings.ToLower(newID("")[:8])
	spec.Dir = filepath.Join(w.p.state.box(m.ID), run)
	require.NoError(w.t, os.Mkdir(spec.Dir, 0o700))
	m.Runs = append(m.Runs, run)
	l.init, l.suspended, l.sleeps = w.inits.start(w.t, spec), false, modelTime{}
}

func (w *week) extend() {
	if l, ok := w.some(func(*modelLife) bool { return true }); ok {
		d := w.duration()
		require.NoError(w.t, l.sb.Extend(w.t.Context(), d))
		if l.expires.at > 0 && l.expires.at < w.f.up+d {
			l.expires, l.late = w.in(d), 0
		}
	}
}

func (w *week) use() {
	if l, ok := w.some(func(l *modelLife) bool { return l.init != nil }); ok {
		l.init.use()
	}
}

func (w *week) suspend() {
	l, ok := w.some(func(l *modelLife) bool { return l.init != nil })
	if !ok {
		return
	}
	l.init.close() // what a real one does when it is told to end
	require.NoError(w.t, l.sb.Suspend(w.t.Context()))
	l.init, l.suspended = nil, true
	w.asleep(l)
}

func (w *week) asleep(l *modelLife) {
	if l.idle > 0 {
		l.sleeps = w.in(l.idle)
	}
}

// resume is Sandbox.Resume, also of one whose init was killed.
func (w *week) resume() {
	if l, ok := w.some(func(l *modelLife) bool { return l.init == nil }); ok {
		require.NoError(w.t, l.sb.change(w.t.Context(), "resume", func(m *meta) error {
			w.boot(l, m)
			m.Suspended = false
			return w.p.state.saveBox(m)
		}))
	}
}

// kill takes the init away, which leaves no note. The idle time runs from when
// the sweeper sees that.
func (w *week) kill() {
	if l, ok := w.some(func(l *modelLife) bool { return l.init != nil && l.idle > 2*slack }); ok {
		l.init.close()
		l.init = nil
		w.asleep(l)
		w.pass(slack)
		l.late += slack
	}
}

func (w *week) destroy() {
	if l, ok := w.some(func(*modelLife) bool { return true }); ok {
		if l.init != nil {
			l.init.close()
		}
		require.NoError(w.t, l.sb.Destroy(w.t.Context()))
		require.NoDirExists(w.t, w.p.state.box(l.sb.id))
		delete(w.lives, l.sb.id)
	}
}

// sleep is that of the machine: its timers stand still, its clocks do not. Idle
// times stand still with the timers.
func (w *week) sleep() {
	d := w.upTo(5 * hour)
	w.set(func(f *fakeClock) { f.pass(d) })
	for _, l := range w.lives {
		if l.init != nil {
			l.init.postpone(d)
		}
	}
	w.endInits()
}

func (w *week) forward() { w.jump(10 * year) }
func (w *week) back()    { w.jump(-10 * year) }

// jump sets the clock of the wall, and lets the sweeper see it.
func (w *week) jump(d time.Duration) {
	w.set(func(f *fakeClock) { f.wall = f.wall.Add(d) })
	w.pass(slack)
	for _, l := range w.lives {
		for _, m := range []*modelTime{&l.expires, &l.sleeps} {
			m.given = m.at - w.f.up
		}
		l.late += slack
	}
}

// reboot starts the machine anew after a time, or without a clock. All inits are
// gone. Those that may be idle only for a while may be so from the start on.
func (w *week) reboot(off time.Duration) {
	require.NoError(w.t, w.p.Close())
	before := w.f.up
	w.boots++
	w.set(func(f *fakeClock) { f.restart(fmt.Sprint("boot ", w.boots), off) })
	for _, l := range w.lives {
		if l.init != nil {
			l.init.close()
			l.init = nil
			if l.idle > 0 {
				l.sleeps = modelTime{l.idle, l.idle}
			}
		} else {
			l.sleeps = l.sleeps.afterReboot(before, off, w.f.up)
		}
		l.expires = l.expires.afterReboot(before, off, w.f.up)
	}
	w.open()
	for _, l := range w.lives {
		l.sb.p = w.p
	}
}

// afterReboot is m on the clock of the new start of the machine. A clock that is
// wrong gives back what it was.
func (m modelTime) afterReboot(before, off, up time.Duration) modelTime {
	if m.at == 0 {
		return m
	}
	left := m.at - before - off
	if off < 0 {
		left = m.given - up
	}
	return modelTime{max(up+left, 1), left}
}
