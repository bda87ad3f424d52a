package local

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// An instant does not come sooner or later because somebody sets the clock, but
// after another start of the machine there is nothing else to go by.
func TestInstant(t *testing.T) {
	const hour = time.Hour
	boot, up := engine.BootID(), engine.Uptime()
	if boot == "" {
		t.Skip("this system has no boot ID")
	}
	for _, tc := range []struct {
		name string
		at   instant
		left time.Duration
	}{
		{"as made", inTime(9 * hour), 9 * hour},
		{"clock set forward", instant{time.Now().Add(-hour), boot, up + 9*hour}, 9 * hour},
		{"clock set back", instant{time.Now().Add(9 * hour), boot, up - 4*hour}, -4 * hour},
		{"started anew, to come", instant{time.Now().Add(9 * hour), "other", 1}, 9 * hour},
		{"started anew, passed", instant{time.Now().Add(-4 * hour), "other", up + 9*hour}, -4 * hour},
		{"for ever", inTime(1<<63 - 1), 1<<63 - 1 - up - hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.InDelta(t, tc.left, tc.at.left(), float64(2*hour))
			assert.Equal(t, tc.left <= 0, tc.at.passed())
			if tc.left < 99*hour {
				assert.WithinDuration(t, time.Now().Add(tc.left), tc.at.wall(), time.Minute)
			}
			if tc.left > 0 {
				assert.InDelta(t, engine.Uptime()+tc.left, tc.at.uptime(), float64(2*hour))
			}
		})
	}
	assert.False(t, instant{}.passed(), "never set")
	assert.Zero(t, instant{}.uptime())
	assert.Equal(t, inTime(hour).wall().Location(), time.Local)
}
