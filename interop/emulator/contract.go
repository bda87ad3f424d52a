package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"
)

// contract is the vendor's OpenAPI document, with what is newer laid over it, and
// what traffic there was that it does not know.
type contract struct {
	doc *openapi3.T

	mu     sync.Mutex
	called map[string]int // by operation, "METHOD /path"
	faults map[string]int // what was wrong, and how often
}

// operation is one operation of a contract.
type operation struct {
	name string // "METHOD /path"
	*openapi3.Operation
}

// loadContract reads a document and what is laid over it.
func loadContract(vendor, newer string) (*contract, error) {
	under, err := readYAML(vendor)
	if err != nil {
		return nil, err
	}
	over, err := readYAML(newer)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(overlay(under, over))
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		return nil, err
	}
	return &contract{doc: doc, called: map[string]int{}, faults: map[string]int{}}, nil
}

func readYAML(name string) (doc map[string]any, err error) {
	data, err := os.ReadFile(name) //nolint:gosec // the file that the caller has named
	if err != nil {
		return nil, err
	}
	return doc, yaml.Unmarshal(data, &doc)
}

// overlay lays over on under: maps are merged, lists appended, all else replaced.
func overlay(under, over any) any {
	switch over := over.(type) {
	case map[string]any:
		if base, ok := under.(map[string]any); ok {
			merged := maps.Clone(base)
			for name, value := range over {
				merged[name] = overlay(base[name], value)
			}
			return merged
		}
	case []any:
		if base, ok := under.([]any); ok {
			return slices.Concat(base, over)
		}
	}
	return over
}

// operations returns all operations, by name.
func (c *contract) operations() map[string]operation {
	all := map[string]operation{}
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			all[method+" "+path] = operation{method + " " + path, op}
		}
	}
	return all
}

// find returns the operation that a request is for. Of the paths that match, the
// one with the fewest parameters wins.
func (c *contract) find(method, path string) (operation, bool) {
	segments := strings.Split(path, "/")
	var found operation
	fewest := len(segments)
	for pattern, item := range c.doc.Paths.Map() {
		op := item.GetOperation(method)
		if n, ok := match(strings.Split(pattern, "/"), segments); ok && op != nil && n < fewest {
			found, fewest = operation{method + " " + pattern, op}, n
		}
	}
	return found, found.Operation != nil
}

// match returns how many parameters of a pattern a path fills.
func match(pattern, path []string) (parameters int, ok bool) {
	if len(pattern) != len(path) {
		return 0, false
	}
	for i, p := range pattern {
		if strings.HasPrefix(p, "{") {
			parameters++
		} else if p != path[i] {
			return 0, false
		}
	}
	return parameters, true
}

// checkQuery holds a query against the parameters of the operation.
func (o operation) checkQuery(query url.Values) error {
	for name, values := range query {
		schema := o.parameter(name)
		if schema == nil {
			return fmt.Errorf("query parameter %q is not known", name)
		}
		for _, value := range values {
			if err := schema.VisitJSON(typed(schema, value)); err != nil {
				return fmt.Errorf("query parameter %q: %w", name, err)
			}
		}
	}
	return nil
}

// parameter returns the schema of a query parameter. Of metadata[key] the key is any.
func (o operation) parameter(name string) *openapi3.Schema {
	if rest, ok := strings.CutPrefix(name, "metadata["); ok {
		_, rest, _ = strings.Cut(rest, "]")
		name = "metadata[key]" + rest
	}
	for _, ref := range o.Parameters {
		if ref.Value.In == openapi3.ParameterInQuery && ref.Value.Name == name {
			return ref.Value.Schema.Value
		}
	}
	return nil
}

// typed is the JSON value that the text of a parameter stands for.
func typed(schema *openapi3.Schema, text string) any {
	if schema.Type.Is(openapi3.TypeBoolean) {
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	}
	if schema.Type.Is(openapi3.TypeInteger) || schema.Type.Is(openapi3.TypeNumber) {
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
	}
	return text
}

// checkBody holds the JSON of a request against the operation.
func (o operation) checkBody(data []byte) error {
	if o.RequestBody == nil {
		if len(data) > 0 && string(data) != "{}" {
			return fmt.Errorf("there is a body where none is known: %s", shorten(data))
		}
		return nil
	}
	media := o.RequestBody.Value.Content.Get("application/json")
	if media == nil || media.Schema == nil || len(data) == 0 {
		return nil
	}
	return checkJSON(media.Schema.Value, data, openapi3.VisitAsRequest())
}

// checkAnswer holds an answer of status 200 against the operation.
func (o operation) checkAnswer(mediaType string, data []byte) error {
	ok := o.Responses.Status(http.StatusOK)
	if ok == nil {
		return errors.New("there is no answer with status 200")
	}
	media := ok.Value.Content[mediaType]
	if media == nil && len(ok.Value.Content) > 0 && mediaType != "text/event-stream" {
		return fmt.Errorf("the answer is %s, not %s", mediaType, slices.Sorted(maps.Keys(ok.Value.Content)))
	}
	if media == nil { // streams are described as JSON, if at all
		media = ok.Value.Content["application/json"]
	}
	if media == nil || media.Schema == nil {
		return nil
	}
	switch mediaType {
	case "application/json":
		return checkJSON(media.Schema.Value, data, openapi3.VisitAsResponse())
	case "text/event-stream":
		for _, event := range events(data) {
			if err := checkJSON(media.Schema.Value, event, openapi3.VisitAsResponse()); err != nil {
				return err
			}
		}
	}
	return nil
}

// events returns the data of the events that a stream has whole, but errors.
func events(stream []byte) (all [][]byte) {
	blocks := strings.Split(string(stream), "\n\n")
	for _, block := range blocks[:len(blocks)-1] {
		if strings.Contains(block, "event: error") {
			continue
		}
		for line := range strings.SplitSeq(block, "\n") {
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				all = append(all, []byte(data))
			}
		}
	}
	return all
}

func checkJSON(schema *openapi3.Schema, data []byte, opts ...openapi3.SchemaValidationOption) error {
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return fmt.Errorf("%w: %s", err, shorten(data))
	}
	err := schema.VisitJSON(value, opts...)
	if e := (*openapi3.SchemaError)(nil); errors.As(err, &e) {
		return fmt.Errorf("at /%s: %s", strings.Join(e.JSONPointer(), "/"), e.Reason)
	}
	return err
}

func shorten(data []byte) string {
	if len(data) > 200 {
		return string(data[:200]) + "..."
	}
	return string(data)
}
