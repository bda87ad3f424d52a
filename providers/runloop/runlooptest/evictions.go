package runlooptest

import (
	"fmt"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// eviction is the announcement that a devbox will be taken back.
type eviction struct {
	d *devbox
	runloopapi.EvictionEvent
}

func (e *Emulator) routeEvictions() {
	e.add("GET /v1/devboxes/evictions/watch", route{op: "devboxes.watch_evictions", stream: true, do: func(c *call) error {
		e.watchEvictions(c)
		return nil
	}})
}

// Evict announces to all who watch evictions that a devbox will be taken back, and
// shuts it down when grace is over.
func (e *Emulator) Evict(devboxID string, grace time.Duration) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.devboxes.get("devbox", devboxID)
	if err != nil {
		return fmt.Errorf("runlooptest: evict: %w", err)
	}
	if d.status.Final() {
		return fmt.Errorf("runlooptest: evict: devbox %q is %s", d.id, d.status)
	}
	e.evictions = append(e.evictions, eviction{d, runloopapi.EvictionEvent{
		DevboxID: d.id, Deadline: runloopapi.MillisOf(time.Now().Add(grace)),
	}})
	if d.evict != nil {
		d.evict.Stop()
	}
	d.evict = time.AfterFunc(grace, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if !e.closed {
			e.end(d, runloopapi.ShutdownTTLExpired)
		}
	})
	e.notify()
	return nil
}

// watchEvictions streams the evictions that are pending, and those to come, until
// the client or the emulator has gone.
func (e *Emulator) watchEvictions(c *call) {
	ev := c.events()
	for next, first := 0, true; ; first = false {
		var batch []runloopapi.EvictionEvent
		_, err := e.await(c.r.Context(), heartbeat, func() bool {
			for ; next < len(e.evictions); next++ {
				if v := e.evictions[next]; !first || !v.d.status.Final() { // of the past, only what is pending
					batch = append(batch, v.EvictionEvent)
				}
			}
			return len(batch) > 0
		})
		if err != nil {
			return
		}
		for _, event := range batch {
			if ev.send(event) != nil {
				return
			}
		}
		if len(batch) == 0 && ev.beat() != nil {
			return
		}
	}
}
