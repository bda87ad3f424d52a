//go:build linux

package local

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// memoryDir returns a directory that takes no time to flush, if there is one.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "compute-test-*") //nolint:usetesting // which is on the disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// A week of sandboxes: made, extended, used, suspended, resumed, killed, on a
// machine that sleeps, is started anew, and whose clock somebody sets. Each
// sandbox is there as long as it should be, as a simple model says, and not much
// longer; nobody but the sweeper looks for what is over.
func TestWeek(t *testing.T) {
	length := 7 * 24 * hour
	if testing.Short() {
		length = 24 * hour
	}
	seed := rand.Uint64()
	t.Log("seed ", seed)
	dir, inits := memoryDir(t), newFakeInits(t)
	synctest.Test(t, func(t *testing.T) {
		w := &week{t: t, dir: dir, inits: inits, r: rand.New(rand.NewPCG(seed, 1)), lives: map[string]*modelLife{}, counts: map[string]int{}}
		w.f = fakeClock{wall: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), up: time.Minute, id: "boot 0"}
		w.last = time.Now()
		w.open()
		for begun := time.Now(); time.Since(begun) < length; {
			w.step()
		}
		require.NoError(t, w.p.Close())
		t.Log(w.counts)
	})
}

// slack is how much longer a sandbox may be there than it should.
const slack = sweepEvery*6/5 + time.Second

// A modelLife is what the model knows of a sandbox. Times are those of the
// machine's clock that nobody sets.
type modelLife struct {
	sb        *Sandbox
	number    int
	init      *fakeInit // nil if it has none
	expires   modelTime
	idle      time.Duration // 0 is for ever
	sleeps    modelTime     // when one without an init is over
	suspended bool
	overdue   time.Time     // when it should have gone; zero if it should not
	late      time.Duration // how much later that may be
}

// A modelTime is 0 if it never comes.
type modelTime struct {
	at    time.Duration
	given time.Duration // how far off it was when it, or the clock of the wall, was set
}

func (m modelTime) passed(now time.Duration) bool { return m.at > 0 && m.at <= now }

// A week is a run of the simulation.
type week struct {
	t      *testing.T
	dir    string
	r      *rand.Rand
	p      *Provider
	mu     sync.Mutex // of f and last, which the sweeper reads
	f      fakeClock
	last   time.Time // of the bubble, when f was brought up to date
	boots  int
	inits  *fakeInits
	lives  map[string]*modelLife
	counts map[string]int
}

func (w *week) now() clock {
	now := func() (f fakeClock) {
		w.mu.Lock()
		defer w.mu.Unlock()
		f = w.f
		f.pass(time.Since(w.last))
		return f
	}
	return clock{now: func() time.Time { return now().wall }, uptime: func() time.Duration { return now().up }, boot: func() string { return now().id }}
}

// set brings the clocks up to date and changes them. The sweeper sleeps
// meanwhile.
func (w *week) set(change func(f *fakeClock)) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.f.pass(time.Since(w.last))
	w.last = time.Now()
	change(&w.f)
	w.inits.uptime.Store(int64(w.f.up))
}

func (w *week) open() {
	s, err := openState(w.dir)
	require.NoError(w.t, err)
	w.p = &Provider{state: s, isolation: Namespaces, clock: w.now()}
	w.p.ctx, w.p.cancel = context.WithCancel(w.t.Context())
	w.p.look(false)
	w.p.startSweeper()
}

func (w *week) step() {
	w.pass(w.upTo(40 * time.Minute))
	w.check()
	acts := []struct {
		name  string
		often int
		do    func()
	}{
		{"create", 30, w.create}, {"extend", 20, w.extend}, {"use", 40, w.use}, {"suspend", 12, w.suspend}, {"resume", 12, w.resume},
		{"kill", 5, w.kill}, {"destroy", 4, w.destroy}, {"sleep", 3, w.sleep}, {"forward", 2, w.forward}, {"back", 2, w.back},
		{"reboot", 1, func() { w.reboot(w.upTo(3 * hour)) }}, {"reboot without a clock", 1, func() { w.reboot(-10 * year) }},
	}
	sum := 0
	for _, a := range acts {
		sum += a.often
	}
	n := w.r.IntN(sum)
	for _, a := range acts {
		if n -= a.often; n < 0 {
			w.counts[a.name]++
			a.do()
			return
		}
	}
}

// pass lets time pass, stopping whenever an init ends by itself.
func (w *week) pass(d time.Duration) {
	w.set(func(*fakeClock) {})
	for end := w.f.up + d; ; {
		next := end
		for _, l := range w.lives {
			if l.init != nil {
				next = min(next, max(l.init.ends(), w.f.up))
			}
		}
		time.Sleep(next - w.f.up)
		w.set(func(*fakeClock) {})
		w.endInits()
		if next == end {
			return
		}
	}
}

// endInits ends those inits whose time has come.
func (w *week) endInits() {
	for _, l := range w.lives {
		if l.init != nil && l.init.ends() <= w.f.up {
			l.init.end()
			l.overdue, l.init = time.Now(), nil
		}
	}
}

// check compares what is there with the model.
func (w *week) check() {
	for id, l := range w.lives {
		over := !l.overdue.IsZero()
		if !over && (l.expires.passed(w.f.up) || l.init == nil && l.sleeps.passed(w.f.up)) {
			l.overdue, over = time.Now(), true
		}
		_, err := os.Lstat(w.p.state.box(id))
		switch {
		case !over:
			require.NoError(w.t, err, "%s is gone before its time: %+v at %v", id, l, w.f.up)
		case errors.Is(err, os.ErrNotExist):
			w.counts["over"]++
			delete(w.lives, id)
		default:
			require.Less(w.t, time.Since(l.overdue), slack+l.late, "%s should have gone: %+v at %v", id, l, w.f.up)
		}
	}
}

// some returns a sandbox that should be there and of which want is true.
func (w *week) some(want func(*modelLife) bool) (*modelLife, bool) {
	var found []*modelLife
	for _, l := range w.lives {
		if l.overdue.IsZero() && want(l) {
			found = append(found, l)
		}
	}
	if len(found) == 0 {
		return nil, false
	}
	slices.SortFunc(found, func(a, b *modelLife) int { return a.number - b.number })
	return found[w.r.IntN(len(found))], true
}
