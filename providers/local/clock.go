package local

import (
	"time"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// A clock tells the times that lives are measured by.
type clock struct {
	now    func() time.Time     // the wall's
	uptime func() time.Duration // since this machine started, with the time that it slept
	boot   func() string        // tells one start of this machine from the next
}

// machineClock is this machine's.
var machineClock = clock{now: time.Now, uptime: engine.Uptime, boot: engine.BootID}

// An instant is a time to come. It is kept on two clocks: the one that nobody
// sets, which ends when the machine does, and the one of the wall, which is
// asked only after that. No clock of the wall makes it come later than it was
// meant to when it was set, counted from the machine's start.
type instant struct {
	Wall time.Time     `json:"wall"`
	Boot string        `json:"boot"`
	Up   time.Duration `json:"up"`
	In   time.Duration `json:"in,omitempty"` // how far off it was when it was set
}

// in is the instant in d from now.
func (c clock) in(d time.Duration) instant {
	return instant{Wall: c.now().Add(d).Round(0), Boot: c.boot(), Up: later(c.uptime(), d), In: d}
}

// later adds without overflow.
func later(t, d time.Duration) time.Duration {
	if sum := t + d; d < 0 || sum >= t {
		return sum
	}
	return 1<<63 - 1
}

// left is how long it is until i; zero or less if it has passed.
func (c clock) left(i instant) time.Duration {
	if i.Boot == c.boot() {
		return i.Up - c.uptime()
	}
	left := i.Wall.Sub(c.now())
	if i.In > 0 {
		left = min(left, i.In-c.uptime())
	}
	return left
}

// passed reports that i was set, and is not to come any more.
func (c clock) passed(i instant) bool { return !i.Wall.IsZero() && c.left(i) <= 0 }

// stale reports that this machine was started anew since i was set, or the
// wall's clock set.
func (c clock) stale(i instant) bool {
	return !i.Wall.IsZero() && (i.Boot != c.boot() || !c.wall(i).Equal(i.Wall))
}

// anew is i as it is now: the wall's clock is not asked again in this start of
// the machine, and in the next one as it is set now.
func (c clock) anew(i instant) instant {
	left := max(c.left(i), 0)
	return instant{Wall: c.wall(i), Boot: c.boot(), Up: later(c.uptime(), left), In: max(left, 1)}
}

// deadline is i on the clock of this start of the machine, zero if not set.
func (c clock) deadline(i instant) time.Duration {
	if i.Wall.IsZero() {
		return 0
	}
	if i.Boot == c.boot() {
		return i.Up
	}
	return max(later(c.uptime(), c.left(i)), 1)
}

// clockError is how far the wall's clock may have been moved before instants
// are told anew.
const clockError = 2 * time.Second

// wall is i as people see it.
func (c clock) wall(i instant) time.Time {
	if i.Wall.IsZero() {
		return i.Wall
	}
	if now := c.now().Add(c.left(i)); now.Sub(i.Wall).Abs() > clockError {
		return now.Round(0)
	}
	return i.Wall
}
