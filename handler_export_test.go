package compute

import (
	"maps"
	"slices"
)

// ActionNames are the actions of POST requests.
func ActionNames() []string { return slices.Sorted(maps.Keys(actions)) }

// RawActions are the actions of GET and PUT requests with their methods.
func RawActions() map[string]string {
	methods := map[string]string{}
	for name, raw := range rawActions {
		methods[name] = raw.method
	}
	return methods
}
