package engine

import (
	"sync/atomic"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// A budget is what a command may still print.
type budget struct {
	limit int64 // 0 is any number
	used  atomic.Int64
	over  atomic.Bool
}

// take returns how many of n bytes are within the budget, and has the command
// killed when they are not all.
func (b *budget) take(n int, c *call) int {
	if b == nil || b.limit == 0 {
		return n
	}
	excess := b.used.Add(int64(n)) - b.limit
	if excess <= 0 {
		return n
	}
	if b.over.CompareAndSwap(false, true) {
		_ = c.Send(&wire.Request{Op: wire.OpKill})
	}
	return max(n-int(excess), 0)
}

// judge names the limit in the exit of a command that was killed for it.
func (b *budget) judge(exit Exit) Exit {
	if b != nil && b.over.Load() {
		exit.Limit = LimitOutput
	}
	return exit
}
