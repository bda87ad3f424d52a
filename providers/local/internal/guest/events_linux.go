package guest

import (
	"sync"
	"time"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// events are told to those who watch.
type events struct {
	mu       sync.Mutex
	watchers map[chan wire.Event]*bool // whether an event was lost
}

// maxWatchers bounds how many may watch at once, backlog how many events wait
// for a slow one.
const (
	maxWatchers = 64
	backlog     = 256
)

func (e *events) emit(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for ch, lost := range e.watchers {
		select {
		case ch <- wire.Event{Time: time.Now().UnixNano(), Text: text, Lost: *lost}:
			*lost = false
		default:
			*lost = true
		}
	}
}

func (e *events) subscribe() chan wire.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.watchers) >= maxWatchers {
		return nil
	}
	if e.watchers == nil {
		e.watchers = map[chan wire.Event]*bool{}
	}
	ch := make(chan wire.Event, backlog)
	e.watchers[ch] = new(bool)
	return ch
}

func (e *events) unsubscribe(ch chan wire.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.watchers, ch)
}

// watchEvents sends an empty reply when it has begun, and then each event.
func (s *server) watchEvents(c wire.Conn, _ *wire.Request) {
	ch := s.limits.events.subscribe()
	if ch == nil {
		reply(c, errTooManyWatch)
		return
	}
	defer s.limits.events.unsubscribe(ch)
	gone := hangup(c)
	if c.Send(&wire.Reply{}) != nil {
		return
	}
	for {
		select {
		case e := <-ch:
			if c.Send(&wire.Reply{Event: e}) != nil {
				return
			}
		case <-gone:
			return
		}
	}
}
