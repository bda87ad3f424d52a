package runloopapi

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// evictionServer announces what is sent to events, until cut is closed.
type evictionServer struct {
	mu     sync.Mutex
	events chan string
	cut    chan struct{}
	conns  int
	open   atomic.Int32
}

func (s *evictionServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.conns++
	lost := s.cut
	s.mu.Unlock()
	s.open.Add(1)
	defer s.open.Add(-1)
	flush(w, ": hello\n\n")
	for {
		select {
		case id := <-s.events:
			flush(w, fmt.Sprintf("data: {\"devbox_id\":%q,\"eviction_deadline_ms\":1000}\n\n", id))
		case <-lost:
			cut()
		case <-r.Context().Done():
			return
		}
	}
}

func TestOnEvict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &evictionServer{events: make(chan string), cut: make(chan struct{})}
		c := newBubbleClient(t, s)
		var got sync.Map
		register := func(id, name string) func() {
			return c.Devbox(id).OnEvict(func(e *EvictionEvent) {
				n, _ := got.LoadOrStore(name, new(atomic.Int32))
				n.(*atomic.Int32).Add(1)
				assert.Equal(t, id, e.DevboxID)
				assert.Equal(t, time.Unix(1, 0).UTC(), e.Deadline.Time())
			})
		}
		count := func(name string) int {
			n, ok := got.Load(name)
			if !ok {
				return 0
			}
			return int(n.(*atomic.Int32).Load())
		}
		register("a", "a1")
		forget := register("a", "a2")
		register("b", "b")
		forgotten := register("c", "c")
		synctest.Wait()
		assert.Equal(t, 1, s.conns, "all share one connection")
		forget()
		forgotten()
		for _, id := range []string{"c", "a", "a", "unknown"} {
			s.events <- id
		}
		synctest.Wait()
		assert.Equal(t, []int{1, 0, 0, 0}, []int{count("a1"), count("a2"), count("b"), count("c")})

		s.mu.Lock() // a lost connection is made again
		lost := s.cut
		s.cut = make(chan struct{})
		s.mu.Unlock()
		close(lost)
		time.Sleep(firstReconnect + time.Millisecond)
		synctest.Wait()
		assert.Equal(t, 2, s.conns)
		s.events <- "b"
		synctest.Wait()
		assert.Equal(t, 1, count("b"))
		assert.Zero(t, s.open.Load(), "the last one told, nobody listens")

		forget = register("d", "d")
		synctest.Wait()
		assert.Equal(t, int32(1), s.open.Load())
		forget()
		synctest.Wait()
		assert.Zero(t, s.open.Load())
		forget()

		register("e", "e")
		synctest.Wait()
		require.NoError(t, c.Close())
		register("e", "late")
		synctest.Wait()
		assert.Zero(t, s.open.Load(), "Close ends the watch")
	})
}

func TestCloseWaitsForEvictionCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &evictionServer{events: make(chan string), cut: make(chan struct{})}
		c := newBubbleClient(t, s)
		done := false
		c.Devbox("a").OnEvict(func(*EvictionEvent) {
			time.Sleep(time.Minute)
			done = true
		})
		s.events <- "a"
		synctest.Wait()
		require.NoError(t, c.Close())
		assert.True(t, done)
	})
}

func TestEvictionsOfABrokenService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{next: answer(http.StatusServiceUnavailable, `{}`)}
		c := newBubbleClient(t, r)
		c.Devbox("a").OnEvict(func(*EvictionEvent) { assert.Fail(t, "nothing was announced") })
		time.Sleep(5 * time.Minute)
		assert.InDelta(t, 15, r.count(), 2, "pauses grow to half a minute")
		for _, err := range c.Devboxes.WatchEvictions(t.Context()) {
			assert.ErrorIs(t, err, ErrServer)
		}
	})
}
