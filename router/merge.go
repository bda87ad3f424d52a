package router

import (
	"errors"
	"iter"
	"sync"
	"time"
)

// listing says how to list values of one kind.
type listing[T any] struct {
	of       func(*member) iter.Seq2[*T, error]
	created  func(*T) time.Time
	routed   func(*member, *T) *T // a copy with the router's IDs
	optional bool                 // a member may be without
}

// head is a member's listing and the first of its values not yet taken.
type head[T any] struct {
	m    *member
	next func() (*T, error, bool)
	v    *T // nil at the end
	err  error
}

func (h *head[T]) advance() {
	v, err, ok := h.next()
	switch {
	case !ok:
		h.v = nil
	case err != nil:
		h.v, h.err = nil, err
	default:
		h.v = v
	}
}

// merge yields the members' values, newest first, taking from each only what is
// needed. A member that fails does not hide the others: the errors come last.
func merge[T any](members []*member, limit int, l listing[T]) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		heads, stop := begin(members, l)
		defer stop()
		for n := 0; limit == 0 || n < limit; n++ {
			h := newest(heads, l)
			if h == nil {
				break
			}
			if !yield(l.routed(h.m, h.v), nil) {
				return
			}
			if n+1 != limit {
				h.advance()
			}
		}
		if err := failures(heads, l); err != nil {
			yield(nil, err)
		}
	}
}

// begin takes the first value of every member, of all at the same time.
func begin[T any](members []*member, l listing[T]) (heads []*head[T], stop func()) {
	var stops []func()
	var wg sync.WaitGroup
	for _, m := range members {
		next, stop := iter.Pull2(l.of(m))
		h := &head[T]{m: m, next: next}
		heads, stops = append(heads, h), append(stops, stop)
		wg.Go(h.advance)
	}
	wg.Wait()
	return heads, func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// newest returns the head with the newest value, the first of equals, or nil.
func newest[T any](heads []*head[T], l listing[T]) (best *head[T]) {
	for _, h := range heads {
		if h.v != nil && (best == nil || l.created(h.v).After(l.created(best.v))) {
			best = h
		}
	}
	return best
}

// failures joins the errors of the heads. Members without the ability count
// only if there are no others.
func failures[T any](heads []*head[T], l listing[T]) error {
	var errs []error
	without := 0
	for _, h := range heads {
		if l.optional && errors.Is(h.err, errors.ErrUnsupported) {
			without++
			continue
		}
		errs = append(errs, h.m.routed(h.err))
	}
	if without == len(heads) {
		return heads[0].err
	}
	return errors.Join(errs...)
}
