package runloopapi_test

import (
	"fmt"
	"maps"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// generator makes values that conform to a schema. No two of its numbers and strings are the same.
type generator struct {
	n       int  // chooses among alternatives
	minimal bool // leaves out what is optional
	nulls   bool // null where that is allowed
	last    int
}

func (g *generator) value(s *openapi3.Schema) any {
	g.last++
	switch {
	case g.nulls && s.Nullable:
		return nil
	case len(s.Enum) > 0:
		return s.Enum[(g.n+g.last)%len(s.Enum)]
	case len(s.OneOf) > 0:
		return g.value(s.OneOf[g.n%len(s.OneOf)].Value)
	case s.Type.Is(openapi3.TypeObject):
		return g.object(s)
	case s.Type.Is(openapi3.TypeArray):
		return g.array(s.Items.Value)
	case s.Type.Is(openapi3.TypeInteger):
		if s.Format == "int64" {
			return 1<<40 + g.last
		}
		return 1000 + g.last
	case s.Type.Is(openapi3.TypeNumber):
		return float64(g.last) + 0.5
	case s.Type.Is(openapi3.TypeBoolean):
		return true
	case s.Type.Is(openapi3.TypeString):
		return fmt.Sprintf("text %d", g.last)
	}
	if s.Type != nil && s.Type.Includes(openapi3.TypeString) { // among others
		return fmt.Sprintf("text %d", g.last)
	}
	panic(fmt.Sprintf("a schema of type %v", s.Type))
}

func (g *generator) object(s *openapi3.Schema) any {
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		required := slices.Contains(s.Required, name)
		if required || !g.minimal {
			out[name] = g.value(s.Properties[name].Value)
		}
	}
	if extra := s.AdditionalProperties.Schema; extra != nil && !g.minimal {
		out["some key"] = g.value(extra.Value)
	}
	if len(s.Properties) == 0 && s.AdditionalProperties.Schema == nil && s.AdditionalProperties.Has == nil {
		out["any"] = "thing" // an object that is anything
	}
	return out
}

// array has one item, or one of each kind.
func (g *generator) array(items *openapi3.Schema) any {
	if g.minimal {
		return []any{}
	}
	if len(items.OneOf) == 0 {
		return []any{g.value(items)}
	}
	out := []any{}
	for _, kind := range items.OneOf {
		out = append(out, g.value(kind.Value))
	}
	return out
}

// missing returns the paths of the properties of a schema that value, which conforms to it, does not have.
func missing(s *openapi3.Schema, value any, at string) []string {
	var paths []string
	switch value := value.(type) {
	case map[string]any:
		if len(s.OneOf) > 0 {
			for _, kind := range s.OneOf {
				if kind.Value.VisitJSON(value) == nil {
					return missing(kind.Value, value, at)
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			child, ok := value[name]
			if !ok {
				paths = append(paths, at+"."+name)
				continue
			}
			paths = append(paths, missing(s.Properties[name].Value, child, at+"."+name)...)
		}
		if extra := s.AdditionalProperties.Schema; extra != nil {
			for _, child := range value {
				paths = append(paths, missing(extra.Value, child, at+"{}")...)
			}
		}
	case []any:
		for _, child := range value {
			paths = append(paths, missing(s.Items.Value, child, at+"[]")...)
		}
	}
	return paths
}

// lost returns the paths of what is in want and not, or otherwise, in got. A null is as good as nothing.
func lost(want, got any, at string) []string {
	var paths []string
	switch want := want.(type) {
	case nil:
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			return []string{at}
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			paths = append(paths, lost(want[name], got[name], at+"."+name)...)
		}
	case []any:
		got, _ := got.([]any)
		if len(got) != len(want) {
			return []string{at}
		}
		for i := range want {
			paths = append(paths, lost(want[i], got[i], fmt.Sprintf("%s[%d]", at, i))...)
		}
	default:
		if want != got {
			return []string{fmt.Sprintf("%s: %v, not %v", at, got, want)}
		}
	}
	return paths
}
