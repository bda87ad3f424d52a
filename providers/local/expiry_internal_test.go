package local

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/computekit/compute/providers/local/internal/engine"
)

const (
	hour = time.Hour
	year = 365 * 24 * hour
)

// A fakeClock is a machine's clocks, for tests to set.
type fakeClock struct {
	wall time.Time
	up   time.Duration
	id   string
}

func (f *fakeClock) clock() clock {
	return clock{now: func() time.Time { return f.wall }, uptime: func() time.Duration { return f.up }, boot: func() string { return f.id }}
}

// pass lets time pass, as it does also while a machine sleeps.
func (f *fakeClock) pass(d time.Duration) { f.wall, f.up = f.wall.Add(d), f.up+d }

// restart is another start of the machine, which was off for a while.
func (f *fakeClock) restart(id string, off time.Duration) {
	f.wall, f.up, f.id = f.wall.Add(off), 10*time.Second, id
}

// An instant does not come sooner or later because somebody sets the clock.
// After another start of the machine there is nothing else to go by, but it
// comes no later than after all the time that it was off when it was set.
func TestInstant(t *testing.T) {
	const start = 10 * time.Second // how long a machine takes to start
	for _, tc := range []struct {
		name   string
		happen func(f *fakeClock)
		left   time.Duration
	}{
		{"nothing", func(*fakeClock) {}, 9 * hour},
		{"an hour", func(f *fakeClock) { f.pass(hour) }, 8 * hour},
		{"all of it", func(f *fakeClock) { f.pass(9 * hour) }, 0},
		{"the machine sleeps", func(f *fakeClock) { f.pass(20 * hour) }, -11 * hour},
		{"the clock is set forward", func(f *fakeClock) { f.wall = f.wall.Add(10 * year) }, 9 * hour},
		{"the clock is set back", func(f *fakeClock) { f.wall = f.wall.Add(-10 * year) }, 9 * hour},
		{"the clock is set back and time passes", func(f *fakeClock) { f.wall = f.wall.Add(-10 * year); f.pass(10 * hour) }, -hour},
		{"another start", func(f *fakeClock) { f.restart("second", hour) }, 8 * hour},
		{"another start, too late", func(f *fakeClock) { f.restart("second", 10*hour) }, -hour},
		{"another start, without a clock", func(f *fakeClock) { f.restart("second", -10*year) }, 9*hour - start},
		{"another start, without a clock, and time", func(f *fakeClock) { f.restart("second", -10*year); f.pass(10 * hour) }, -hour - start},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := &fakeClock{wall: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), up: 5 * hour, id: "first"}
			c := f.clock()
			i := c.in(9 * hour)
			tc.happen(f)
			assert.Equal(t, tc.left, c.left(i))
			assert.Equal(t, tc.left <= 0, c.passed(i))
			assert.Equal(t, f.wall.Add(tc.left), c.wall(i))
			assert.Equal(t, max(f.up+tc.left, 1), c.deadline(i))
			if tc.left <= 0 {
				return
			}
			again := c.anew(i)
			assert.False(t, c.stale(again))
			for range 2 { // the wall's clock is not asked again, until the next start
				assert.Equal(t, tc.left, c.left(again))
				assert.Equal(t, f.wall.Add(tc.left), c.wall(again))
				f.wall = f.wall.Add(10 * year)
			}
			f.restart("third", -40*year)
			assert.Equal(t, tc.left-start, c.left(again))
			assert.True(t, c.stale(again))
		})
	}
	f := &fakeClock{up: 1, id: "first"}
	c := f.clock()
	assert.Equal(t, time.Duration(1<<63-2), c.left(c.in(1<<63-1)), "for ever")
	assert.False(t, c.passed(instant{}), "never set")
	assert.Zero(t, c.deadline(instant{}))
	old := instant{Wall: f.wall.Add(20 * hour), Boot: "before"} // of a program that did not note how far off it was
	assert.Equal(t, 20*hour, c.left(old))
}

func TestMachineClock(t *testing.T) {
	c := machineClock
	if c.boot() == "" {
		t.Skip("this system has no boot ID")
	}
	i := c.in(9 * hour)
	assert.InDelta(t, 9*hour, c.left(i), float64(time.Minute))
	assert.WithinDuration(t, time.Now().Add(9*hour), c.wall(i), time.Minute)
	assert.Equal(t, time.Local, c.wall(i).Location())
	assert.InDelta(t, engine.Uptime()+9*hour, c.deadline(i), float64(time.Minute))
}
