package runloopapi

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"time"
)

// WatchEvictions is the announcements that the service will take devboxes of the flex tier back: first those that are pending,
// then new ones as they come, for all devboxes of the account. It is one connection, and ends when the
// server ends it; an error is the last thing that the sequence yields. [Devbox.OnEvict] does not end.
func (s *DevboxService) WatchEvictions(ctx context.Context, opts ...RequestOption) iter.Seq2[*EvictionEvent, error] {
	return func(yield func(*EvictionEvent, error) bool) {
		stopped := false
		each := func(e *EvictionEvent) bool {
			stopped = !yield(e, nil)
			return !stopped
		}
		_, err := resumeOnce(ctx, s.client, "/v1/devboxes/evictions/watch", nil, opts, &patience{c: s.client, what: "watch for evictions"}, each)
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}

// OnEvict calls f once, in a goroutine of its own, when the service announces that it will take the devbox back, and then forgets
// it. All devboxes of a client share one connection, which is made again whenever it is lost. The returned
// function forgets f, without waiting for a call of it that has begun. [Client.Close] forgets all, and waits; f must not call it.
func (d *Devbox) OnEvict(f func(*EvictionEvent)) (forget func()) {
	return d.client.evictions.add(d.ID, f)
}

const (
	firstReconnect = 500 * time.Millisecond
	lastReconnect  = 30 * time.Second
)

// evictions watches for evictions while there is somebody to tell.
type evictions struct {
	client *Client

	mu     sync.Mutex
	wg     sync.WaitGroup // of the watch and the calls; nothing is added once closed is set
	closed bool
	next   int
	calls  map[string]map[int]func(*EvictionEvent) // by devbox
	cancel context.CancelFunc                      // ends the watch; nil when there is none
}

func (m *evictions) add(id string, f func(*EvictionEvent)) (forget func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return func() {}
	}
	if m.calls == nil {
		m.calls = make(map[string]map[int]func(*EvictionEvent))
	}
	if m.calls[id] == nil {
		m.calls[id] = make(map[int]func(*EvictionEvent))
	}
	m.next++
	key := m.next
	m.calls[id][key] = f
	if m.cancel == nil {
		var ctx context.Context
		ctx, m.cancel = context.WithCancel(context.Background())
		m.wg.Go(func() { m.watch(ctx) })
	}
	return func() { m.remove(id, key) }
}

func (m *evictions) remove(id string, key int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.calls[id], key)
	m.rest(id)
}

// rest forgets a devbox nobody asks for, and ends the watch when that was the last one. m.mu is held.
func (m *evictions) rest(id string) {
	if len(m.calls[id]) == 0 {
		delete(m.calls, id)
	}
	if len(m.calls) == 0 && m.cancel != nil {
		m.cancel()
		m.cancel = nil
	}
}

func (m *evictions) close() {
	m.mu.Lock()
	m.closed, m.calls = true, nil
	m.rest("")
	m.mu.Unlock()
	m.wg.Wait()
}

// watch reads the announcements until ctx ends.
func (m *evictions) watch(ctx context.Context) {
	delay := firstReconnect
	for ctx.Err() == nil {
		var failed error
		for event, err := range m.client.Devboxes.WatchEvictions(ctx) {
			if failed = err; err == nil {
				m.tell(ctx, event)
				delay = firstReconnect
			}
		}
		if failed == nil {
			delay = firstReconnect
		} else if l := m.client.conf.logger; l != nil && ctx.Err() == nil {
			l.LogAttrs(ctx, slog.LevelDebug, "runloop eviction watch", slog.Any("error", failed))
		}
		if sleep(ctx, delay) != nil {
			return
		}
		delay = min(2*delay, lastReconnect)
	}
}

// tell calls those who wait for an event, unless the watch has been ended.
func (m *evictions) tell(ctx context.Context, event *EvictionEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	for _, f := range m.calls[event.DevboxID] {
		m.wg.Go(func() { f(event) })
	}
	delete(m.calls, event.DevboxID)
	m.rest(event.DevboxID)
}
