//go:build linux

package guest

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// A fakeLife is one on clocks that a test sets. It ends nothing.
type fakeLife struct {
	*limiter
	t     *testing.T
	begun time.Time
	slept atomic.Int64 // of the machine, for which no timer goes on
	alarm *time.Timer
	file  string       // of its end
	ended atomic.Int64 // when; 0 if it has not
}

func newFakeLife(t *testing.T, life, idle time.Duration) *fakeLife {
	t.Helper()
	f := &fakeLife{t: t, begun: time.Now(), file: filepath.Join(t.TempDir(), "end")}
	f.limiter = newLimiter(&wire.LimitsConfig{Deadline: int64(life), Idle: int64(idle)})
	file, err := os.Create(f.file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	f.files[wire.EndFile] = file
	f.life.now = func() int64 { return int64(f.now()) }
	f.life.exit = func() { f.ended.Store(int64(f.now())) }
	if life > 0 {
		f.life.alarm = f.setAlarm
		if err := f.setAlarm(int64(life)); err != nil {
			t.Fatal(err)
		}
	}
	f.life.watchIdle(f.limiter)
	return f
}

// awake is how long it has lived while the machine did not sleep.
func (f *fakeLife) awake() time.Duration { return time.Since(f.begun) }

func (f *fakeLife) now() time.Duration { return f.awake() + time.Duration(f.slept.Load()) }

// end is when and why it has ended.
func (f *fakeLife) end() (time.Duration, string) {
	f.t.Helper()
	data, err := os.ReadFile(f.file)
	if err != nil {
		f.t.Fatal(err)
	}
	return time.Duration(f.ended.Load()), string(data)
}

func (f *fakeLife) setAlarm(deadline int64) error {
	if f.alarm != nil {
		f.alarm.Stop()
	}
	f.alarm = time.AfterFunc(time.Duration(deadline)-f.now(), f.deadlineOver)
	return nil
}

// sleep is that of the machine. The alarm is on a clock that goes on.
func (f *fakeLife) sleep(d time.Duration) {
	f.slept.Add(int64(d))
	f.life.mu.Lock()
	defer f.life.mu.Unlock()
	if f.alarm != nil {
		_ = f.setAlarm(f.config.Deadline)
	}
}

func (f *fakeLife) stop() {
	for _, timer := range []*time.Timer{f.alarm, f.life.idler} {
		if timer != nil {
			timer.Stop()
		}
	}
}

// Lives full of use, extensions and sleep end when a model says, for the reason
// that it gives, and not before.
func TestLives(t *testing.T) {
	ends := map[string]int{}
	for range 200 {
		synctest.Test(t, func(t *testing.T) { ends[liveOn(t)]++ })
	}
	if ends[wire.EndLifetime] == 0 || ends[wire.EndIdle] == 0 {
		t.Error(ends)
	}
}

// liveOn runs one life to its end, or for a week.
func liveOn(t *testing.T) string {
	upTo := func(d time.Duration) time.Duration { return time.Minute + rand.N(d) }
	deadline, idle := upTo(48*time.Hour), upTo(4*time.Hour)
	f := newFakeLife(t, deadline, idle)
	defer f.stop()
	unused := time.Duration(0) // since when, without the machine's sleep
	var uses []func()
	for f.now() < 7*24*time.Hour {
		// What is next: a step, or the end.
		step := f.now() + rand.N(3*time.Hour)
		ends, why := deadline, wire.EndLifetime
		if end := unused + idle + f.now() - f.awake(); len(uses) == 0 && end < ends {
			ends, why = end, wire.EndIdle
		}
		ends = max(ends, f.now()) // the machine may have slept past it
		time.Sleep(max(min(step, ends)-f.now(), 0))
		synctest.Wait()
		if ends <= step {
			if at, reason := f.end(); at != ends || reason != why {
				t.Fatalf("it should have ended at %v for %s, and has at %v for %s", ends, why, at, reason)
			}
			if err := f.extend(int64(f.now() + time.Hour)); err == nil {
				t.Fatal("it was extended when it was over")
			}
			return why
		}
		if at, reason := f.end(); at != 0 {
			t.Fatalf("it has ended at %v for %s, and should at %v for %s", at, reason, ends, why)
		}
		switch rand.N(6) {
		case 0:
			f.use(wire.OpPing)() // which is none
		case 1:
			f.use(wire.OpStat)()
			if len(uses) == 0 {
				unused = f.awake()
			}
		case 2:
			uses = append(uses, f.use(wire.OpExec))
		case 3:
			if len(uses) > 0 {
				uses[0]()
				uses = uses[1:]
				unused = f.awake()
			}
		case 4:
			next := f.now() + upTo(24*time.Hour)
			if err := f.extend(int64(next)); err != nil {
				t.Fatal(err)
			}
			deadline = max(deadline, next)
		case 5:
			f.sleep(rand.N(2 * time.Hour))
		}
	}
	return ""
}

// A use that comes between the end of the idle time and what it leads to is one.
func TestUsedAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLife(t, 0, time.Hour)
		defer f.stop()
		f.life.mu.Lock() // somebody is at an extension, say
		time.Sleep(time.Hour)
		f.use(wire.OpExec)()
		f.life.mu.Unlock()
		synctest.Wait()
		if at, _ := f.end(); at != 0 {
			t.Error("it has ended when it had just been used")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if at, why := f.end(); at != 2*time.Hour || why != wire.EndIdle {
			t.Error("it has not ended when it was idle")
		}
		if err := f.extend(1); !errors.Is(err, errOver) {
			t.Errorf("an extension when it was over: %v", err)
		}
	})
	f := newFakeLife(t, 0, 0)
	if err := f.extend(1); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("an extension of a life without end: %v", err)
	}
}
