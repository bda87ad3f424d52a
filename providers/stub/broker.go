package stub

import (
	"sync"
	"sync/atomic"
)

// broker hands events to those who have subscribed. A slow one loses events
// and is told.
type broker[T any] struct {
	mu     sync.Mutex
	subs   map[*subscriber[T]]struct{}
	closed bool
}

type subscriber[T any] struct {
	ch   chan T
	lost atomic.Bool
}

const eventQueue = 256

func (b *broker[T]) subscribe() *subscriber[T] {
	b.mu.Lock()
	defer b.mu.Unlock()
	sub := &subscriber[T]{ch: make(chan T, eventQueue)}
	if b.closed {
		close(sub.ch)
		return sub
	}
	if b.subs == nil {
		b.subs = map[*subscriber[T]]struct{}{}
	}
	b.subs[sub] = struct{}{}
	return sub
}

func (b *broker[T]) unsubscribe(sub *subscriber[T]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subs, sub)
}

func (b *broker[T]) send(v T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for sub := range b.subs {
		select {
		case sub.ch <- v:
		default:
			sub.lost.Store(true)
		}
	}
}

// close ends all subscriptions once what was sent has been received.
func (b *broker[T]) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for sub := range b.subs {
		close(sub.ch)
	}
	b.subs, b.closed = nil, true
}
