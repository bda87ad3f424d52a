package runlooptest

import (
	"maps"
	"net/http"
	"strings"
)

// searched reports whether a search is a part of a name or an identifier, in
// letters of either case. An empty one finds everything.
func searched(search string, in ...string) bool {
	if search == "" {
		return true
	}
	for _, s := range in {
		if strings.Contains(strings.ToLower(s), strings.ToLower(search)) {
			return true
		}
	}
	return false
}

// equal reports whether a value is the one that a query asks for, if it does.
func equal[T ~string](want string, value T) bool { return want == "" || want == string(value) }

// oneOf returns a parameter of the query that must be one of some words or empty.
func oneOf[T ~string](c *call, name string, words ...T) (string, error) {
	value := c.query.Get(name)
	for _, w := range words {
		if value == string(w) {
			return value, nil
		}
	}
	if value != "" {
		return "", fail(http.StatusBadRequest, "%s: there is no %q", name, value)
	}
	return "", nil
}

// plainName reports whether a name is of letters, digits, - and _ only.
func plainName(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

const maxName = 255 // bytes

// checkName reports what is wrong with a name for people.
func checkName(name string) error {
	if strings.TrimSpace(name) == "" || len(name) > maxName {
		return fail(http.StatusBadRequest, "name must not be empty, nor longer than %d bytes", maxName)
	}
	return nil
}

// copyMetadata returns a copy that is never nil.
func copyMetadata(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}

// set replaces *to unless from is nil: the rule for updates.
func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}
