package compute

import (
	"context"
	"sync"
	"time"
)

const (
	veilStep = 50 * time.Millisecond
	veilMost = time.Second
	veilKept = time.Minute
)

// veils hide in time whether something is not there or is another's. To learn
// whose a thing is can take a provider much longer than that there is no such
// thing, however often it is asked: not to find something takes as long as it
// took lately to find one, and a whole number of steps.
type veils struct {
	mu sync.Mutex
	of map[string]*veil // by operation
}

// veil is how long it took at most to find something: since then, and in the time
// before.
type veil struct {
	then        time.Time
	now, before time.Duration
}

// at returns the veil of an operation as of now. v.mu is held.
func (v *veils) at(op string) *veil {
	if v.of == nil {
		v.of = map[string]*veil{}
	}
	one := v.of[op]
	if one == nil {
		one = &veil{then: time.Now()}
		v.of[op] = one
	}
	if age := time.Since(one.then); age >= veilKept {
		one.then, one.now, one.before = time.Now(), 0, one.now
		if age >= 2*veilKept {
			one.before = 0
		}
	}
	return one
}

// saw keeps how long it took to find something.
func (v *veils) saw(op string, took time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	one := v.at(op)
	one.now = max(one.now, min(took, veilMost))
}

// wait waits until what began then has taken as long as it is to take.
func (v *veils) wait(ctx context.Context, op string, started time.Time) {
	v.mu.Lock()
	one := v.at(op)
	took := max(time.Since(started), one.now, one.before)
	v.mu.Unlock()
	rest := time.NewTimer(took.Truncate(veilStep) + veilStep - time.Since(started))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
	}
}
