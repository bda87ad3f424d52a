package runlooptest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// metadataFilter returns what a query asks of metadata: metadata[key] is the
// value, and metadata[key][in] any of several, separated by commas or given
// each with a parameter of its own.
func metadataFilter(q url.Values) (func(map[string]string) bool, error) {
	want := map[string][]string{}
	for name, values := range q {
		key, ok := strings.CutPrefix(name, "metadata[")
		if !ok {
			continue
		}
		key, in := strings.CutSuffix(key, "][in]")
		if !in {
			if key, ok = strings.CutSuffix(key, "]"); !ok {
				return nil, fail(http.StatusBadRequest, "the parameter %q has no ]", name)
			}
		}
		for _, v := range values {
			if in {
				want[key] = append(want[key], strings.Split(v, ",")...)
			} else {
				want[key] = append(want[key], v)
			}
		}
	}
	return func(m map[string]string) bool {
		for key, values := range want {
			if v, ok := m[key]; !ok || !slices.Contains(values, v) {
				return false
			}
		}
		return true
	}, nil
}

// routeMetadata adds the operations that list the keys and values of the
// metadata that the records of a table have. of is called with e.mu held.
func routeMetadata[T any](e *Emulator, base, op string, t *table[T], of func(*T) map[string]string) {
	handle(e, "GET "+base+"/metadata/keys", op+".metadata_keys", func(*call, *none) (map[string][]string, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		keys := []string{}
		for _, record := range t.newest() {
			for k := range of(record) {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		return map[string][]string{"keys": slices.Compact(keys)}, nil
	})
	handle(e, "GET "+base+"/metadata/keys/{key}/values", op+".metadata_values", func(c *call, _ *none) (map[string]any, error) {
		key := c.r.PathValue("key")
		e.mu.Lock()
		defer e.mu.Unlock()
		values := []string{}
		for _, record := range t.newest() {
			if v, ok := of(record)[key]; ok {
				values = append(values, v)
			}
		}
		slices.Sort(values)
		return map[string]any{"key": key, "values": slices.Compact(values)}, nil
	})
}
