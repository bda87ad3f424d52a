package compute

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OpenAPI returns the description of the handler's protocol as an OpenAPI 3.1
// document in JSON. It is made from the types and the table of actions that the
// handler itself uses. [HandlerOptions.OpenAPI] has the handler give it out.
func OpenAPI() []byte {
	g := &schemas{made: map[string]any{}}
	request, response := g.of(reflect.TypeFor[Request]()), g.of(reflect.TypeFor[Response]())
	action := g.made["Request"].(object)["properties"].(object)["action"].(object)
	action["enum"] = slices.Sorted(maps.Keys(actions))
	g.made["Request"].(object)["required"] = []string{"action"} // the rest depends on it

	answer := func(about string) object {
		return object{"description": about, "content": object{"application/json": object{"schema": response}}}
	}
	done := answer("Done, unless success is false.")
	done["content"].(object)["text/event-stream"] = object{"schema": object{"type": "string"}}
	doc := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "compute", "version": "1",
			"description": "Sandboxes over HTTP: every operation is a POST to one URL, and its action says which.",
		},
		"paths": object{"/": rawOperations(object{"post": object{
			"operationId": "call",
			"requestBody": object{"required": true, "content": object{"application/json": object{"schema": request}}},
			"responses":   object{"200": done, "default": answer("Refused or failed; error and code say why.")},
		}}, response)},
		"components": object{"schemas": g.made},
	}
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic(err) // it is maps, lists and strings
	}
	return append(data, '\n')
}

// describeProtocol answers with the document.
func describeProtocol(_ context.Context, x *exchange) error {
	doc := x.raw.h.openAPI()
	header := x.raw.header("application/json")
	header.Set("Content-Length", strconv.Itoa(len(doc)))
	x.raw.begun = true
	if x.raw.r.Method == http.MethodHead {
		return nil
	}
	_, err := x.raw.Write(doc)
	return err
}

// rawOperations adds the methods whose bodies are bytes, not JSON: their requests
// are in the URL.
func rawOperations(path, response object) object {
	bytes, text := object{"application/octet-stream": object{}}, object{"schema": object{"type": "string"}}
	answers := map[string]object{
		http.MethodGet: {"application/octet-stream": object{}, "application/x-tar": object{}, "application/json": object{}, "text/event-stream": text},
		http.MethodPut: {"application/json": object{"schema": response}},
	}
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		var names []string
		for name, act := range rawActions {
			if act.method == method {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		op := object{
			"operationId": strings.ToLower(method),
			"parameters": []object{
				{"name": "action", "in": "query", "required": true, "schema": object{"type": "string", "enum": names}},
				{"name": "request", "in": "query", "description": "The rest of the request, in JSON.", "schema": object{"type": "string"}},
			},
			"responses": object{
				"200":     object{"description": "Done.", "content": answers[method]},
				"default": object{"description": "Refused or failed.", "content": object{"application/json": object{"schema": response}}},
			},
		}
		if method == http.MethodPut {
			op["requestBody"] = object{"content": bytes}
		}
		path[strings.ToLower(method)] = op
	}
	return path
}

type object = map[string]any

// schemas makes JSON schemas of Go types as package json writes them. Structs
// with a name are made once and referred to.
type schemas struct{ made map[string]any }

func (g *schemas) of(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[Data](): // see there
		number := object{"type": "integer", "minimum": 0, "maximum": 255}
		return object{"type": []string{"string", "array", "object"}, "items": number, "additionalProperties": number}
	case t == reflect.TypeFor[Mode]():
		return object{"type": []string{"integer", "string"}}
	case reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()), reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
		return object{} // what it likes
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return object{"type": "string", "contentEncoding": "base64"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.of(t.Elem())
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": g.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": g.of(t.Elem())}
	case reflect.Struct:
		return g.structOf(t)
	}
	return object{} // an interface: anything
}

func (g *schemas) structOf(t reflect.Type) object {
	if t.Name() == "" {
		return g.fields(t)
	}
	if _, begun := g.made[t.Name()]; !begun {
		g.made[t.Name()] = object{} // so that a type may contain itself
		g.made[t.Name()] = g.fields(t)
	}
	return object{"$ref": "#/components/schemas/" + t.Name()}
}

// fields lists a struct's fields and those of what it embeds. Of two with one
// name the outer counts.
func (g *schemas) fields(t reflect.Type) object {
	props, required := object{}, []string{}
	var add func(t reflect.Type, always bool)
	add = func(t reflect.Type, always bool) {
		var embedded []reflect.StructField
		for f := range t.Fields() {
			name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case name == "-" && opts == "", !f.IsExported() && !f.Anonymous:
				continue
			case f.Anonymous && name == "":
				embedded = append(embedded, f)
				continue
			case name == "":
				name = f.Name
			}
			if _, outer := props[name]; outer {
				continue
			}
			props[name] = g.of(f.Type)
			if always && !strings.Contains(opts, "omit") {
				required = append(required, name)
			}
		}
		for _, f := range embedded {
			if f.Type.Kind() == reflect.Pointer {
				add(f.Type.Elem(), false)
			} else {
				add(f.Type, always)
			}
		}
	}
	add(t, true)
	s := object{"type": "object", "properties": props}
	if len(required) > 0 {
		slices.Sort(required)
		s["required"] = required
	}
	return s
}
