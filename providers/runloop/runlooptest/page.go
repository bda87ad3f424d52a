package runlooptest

import (
	"encoding/json"
	"net/http"
	"strconv"
)

const (
	defaultLimit = 20
	maxLimit     = 5000
)

// page is one page of a listing: {"<key>": items, "has_more": ..., "total_count": ...}.
type page[V any] struct {
	key   string
	items []V
	more  bool
	total *int // nil leaves it out
}

// MarshalJSON implements json.Marshaler.
func (p *page[V]) MarshalJSON() ([]byte, error) {
	if p.items == nil {
		p.items = []V{}
	}
	m := map[string]any{p.key: p.items, "has_more": p.more}
	if p.total != nil {
		m["total_count"] = *p.total
	}
	return json.Marshal(m)
}

// list returns the page of a table that the query asks for (limit,
// starting_after, include_total_count), the newest record first. Of the records
// it takes those that match, nil being all. match and view are called with
// Emulator.mu held.
func list[T, V any](c *call, key string, t *table[T], match func(*T) bool, view func(*T) V) (*page[V], error) {
	limit, err := c.queryInt("limit", defaultLimit)
	if err != nil {
		return nil, err
	}
	if limit < 1 || limit > maxLimit {
		return nil, fail(http.StatusBadRequest, "limit must be from 1 to %d", maxLimit)
	}
	count, err := c.queryBool("include_total_count", true)
	if err != nil {
		return nil, err
	}
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	end := len(t.entries)
	if after := c.query.Get("starting_after"); after != "" {
		at, ok := t.at[after]
		if !ok {
			return nil, fail(http.StatusBadRequest, "starting_after: there is no %q in this list", after)
		}
		end = at
	}
	p := &page[V]{key: key}
	for _, record := range t.before(end) {
		if match != nil && !match(record) {
			continue
		}
		if p.more = int64(len(p.items)) == limit; p.more {
			break
		}
		p.items = append(p.items, view(record))
	}
	if count {
		p.total = new(int)
		for _, record := range t.newest() {
			if match == nil || match(record) {
				*p.total++
			}
		}
	}
	return p, nil
}

// queryInt returns an integer of the query.
func (c *call) queryInt(name string, otherwise int64) (int64, error) {
	s := c.query.Get(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fail(http.StatusBadRequest, "%s must be a whole number", name)
	}
	return n, nil
}

// queryBool returns a boolean of the query.
func (c *call) queryBool(name string, otherwise bool) (bool, error) {
	s := c.query.Get(name)
	if s == "" {
		return otherwise, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, fail(http.StatusBadRequest, "%s must be true or false", name)
	}
	return b, nil
}
