package compute

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// TestOpenAPI holds the document to a library, to the table of actions, and to
// what package json makes of the types when every field is set.
func TestOpenAPI(t *testing.T) {
	data := OpenAPI()
	doc, err := openapi3.NewLoader().LoadFromData(data)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
	require.Equal(t, string(data), string(OpenAPI()), "two documents of the same code")

	var names []string
	for _, v := range doc.Components.Schemas["Request"].Value.Properties["action"].Value.Enum {
		names = append(names, v.(string))
	}
	require.Equal(t, slices.Sorted(maps.Keys(actions)), names)

	for name, v := range map[string]any{"Request": &Request{}, "Response": &Response{}} {
		set(reflect.ValueOf(v).Elem(), 0)
		text, err := json.Marshal(v)
		require.NoError(t, err)
		var written any
		require.NoError(t, json.Unmarshal(text, &written))
		compare(t, name, doc.Components.Schemas[name], written)
	}
}

// set gives every field a value that is not zero, as deep as it goes.
func set(v reflect.Value, depth int) {
	if depth > 8 || !v.CanSet() {
		return
	}
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Unix(1, 0)))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		set(v.Elem(), depth+1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		set(v.Index(0), depth+1)
	case reflect.Map:
		elem := reflect.New(v.Type().Elem()).Elem()
		set(elem, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("k").Convert(v.Type().Key()), elem)
	case reflect.Struct:
		for _, f := range v.Fields() {
			set(f, depth+1)
		}
	}
}

// compare checks that a schema has exactly the fields that were written, of the
// types that were written.
func compare(t *testing.T, at string, ref *openapi3.SchemaRef, written any) {
	t.Helper()
	s := ref.Value
	if s.Type == nil {
		return // anything
	}
	is := map[string]func(any) bool{
		"string": isA[string], "boolean": isA[bool], "integer": isA[float64], "number": isA[float64],
		"array": isA[[]any], "object": isA[map[string]any],
	}
	require.True(t, slices.ContainsFunc(s.Type.Slice(), func(kind string) bool { return is[kind](written) }), "%s: %v is no %v", at, written, s.Type)
	switch v := written.(type) {
	case []any:
		for _, item := range v {
			compare(t, at+"[]", s.Items, item)
		}
	case map[string]any:
		if values := s.AdditionalProperties.Schema; values != nil {
			for k, value := range v {
				compare(t, at+"."+k, values, value)
			}
			return
		}
		if strings.Count(at, ".") < 4 { // deeper, a type that contains itself ends
			require.Equal(t, slices.Sorted(maps.Keys(v)), slices.Sorted(maps.Keys(s.Properties)), at)
		}
		for k, value := range v {
			compare(t, at+"."+k, s.Properties[k], value)
		}
	}
}

func isA[T any](v any) bool {
	_, ok := v.(T)
	return ok
}
