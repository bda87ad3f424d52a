package runlooptest

import (
	"iter"
	"net/http"
	"slices"
)

// table holds the records of one kind by identifier and in the order in which
// they were added. Emulator.mu guards it. The zero table is empty.
type table[T any] struct {
	at      map[string]int
	entries []entry[T]
}

type entry[T any] struct {
	id     string
	record *T // nil once it was removed: a listing can go on from there
}

// add adds a record as the newest.
func (t *table[T]) add(id string, record *T) {
	if t.at == nil {
		t.at = map[string]int{}
	}
	t.at[id] = len(t.entries)
	t.entries = append(t.entries, entry[T]{id, record})
}

// get returns a record; the error is a 404 that names the kind, as "devbox".
func (t *table[T]) get(kind, id string) (*T, error) {
	if i, ok := t.at[id]; ok && t.entries[i].record != nil {
		return t.entries[i].record, nil
	}
	return nil, fail(http.StatusNotFound, "%s %q not found", kind, id)
}

// remove forgets a record.
func (t *table[T]) remove(id string) {
	if i, ok := t.at[id]; ok {
		t.entries[i].record = nil
	}
}

// newest yields all records, the newest first.
func (t *table[T]) newest() iter.Seq2[string, *T] { return t.before(len(t.entries)) }

// before yields the records that were added before the one at index end, the
// newest first.
func (t *table[T]) before(end int) iter.Seq2[string, *T] {
	return func(yield func(string, *T) bool) {
		for _, e := range slices.Backward(t.entries[:end]) {
			if e.record != nil && !yield(e.id, e.record) {
				return
			}
		}
	}
}
