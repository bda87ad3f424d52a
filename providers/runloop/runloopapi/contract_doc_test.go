package runloopapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// contract is the OpenAPI document, with what is newer laid over it.
type contract struct {
	doc    *openapi3.T
	vendor map[string]bool // the operations of the document alone, "METHOD path"
}

// operation is one operation of a contract, and what a request's path says.
type operation struct {
	name string // "METHOD path"
	op   *openapi3.Operation
	ids  []string
}

// loadContract skips the test when the document is not there: it is not ours to publish.
func loadContract(t *testing.T) *contract {
	t.Helper()
	path := os.Getenv("COMPUTE_RUNLOOP_OPENAPI")
	if path == "" {
		path = filepath.Join("..", "..", "..", "..", "shared", "runloop", "openapi.yml")
	}
	vendor := readYAML(t, path)
	if vendor == nil {
		t.Skipf("no OpenAPI document: COMPUTE_RUNLOOP_OPENAPI is not set, and %s is missing", path)
	}
	c := &contract{vendor: map[string]bool{}}
	for path, item := range vendor["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			c.vendor[strings.ToUpper(method)+" "+path] = true
		}
	}
	merged := merge(vendor, readYAML(t, filepath.Join("testdata", "newer.yml")))
	data, err := json.Marshal(merged)
	require.NoError(t, err)
	c.doc, err = openapi3.NewLoader().LoadFromData(data)
	require.NoError(t, err)
	return c
}

// readYAML returns nil if there is no such file.
func readYAML(t *testing.T, path string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	var doc map[string]any
	require.NoError(t, yaml.Unmarshal(data, &doc))
	return doc
}

// merge lays over on under: maps are merged, lists appended, everything else replaced.
func merge(under, over any) any {
	switch over := over.(type) {
	case map[string]any:
		base, ok := under.(map[string]any)
		if !ok {
			return over
		}
		for name, value := range over {
			base[name] = merge(base[name], value)
		}
		return base
	case []any:
		if base, ok := under.([]any); ok {
			return append(slices.Clone(base), over...)
		}
	}
	return over
}

// find returns the operation that a request is for. Of the paths that match, the one with the fewest parameters wins.
func (c *contract) find(r *http.Request) (operation, error) {
	segments := strings.Split(r.URL.EscapedPath(), "/")
	var found operation
	for path, item := range c.doc.Paths.Map() {
		ids, ok := matchPath(strings.Split(path, "/"), segments)
		op := item.GetOperation(r.Method)
		if !ok || op == nil || found.op != nil && len(ids) >= len(found.ids) {
			continue
		}
		found = operation{name: r.Method + " " + path, op: op, ids: ids}
	}
	if found.op == nil {
		return found, fmt.Errorf("no operation %s %s", r.Method, r.URL.EscapedPath())
	}
	return found, nil
}

func matchPath(pattern, segments []string) (ids []string, ok bool) {
	if len(pattern) != len(segments) {
		return nil, false
	}
	for i, p := range pattern {
		if !strings.HasPrefix(p, "{") {
			if p != segments[i] {
				return nil, false
			}
			continue
		}
		id, err := url.PathUnescape(segments[i])
		if err != nil || id == "" {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}

// checkQuery holds a query against the parameters of an operation.
func (o operation) checkQuery(query url.Values) error {
	for name, values := range query {
		param := o.queryParameter(name)
		if param == nil {
			return fmt.Errorf("%s has no query parameter %q", o.name, name)
		}
		for _, value := range values {
			if err := param.Schema.Value.VisitJSON(typed(param.Schema.Value, value)); err != nil {
				return fmt.Errorf("query parameter %q of %s: %w", name, o.name, err)
			}
		}
	}
	return nil
}

// queryParameter finds a parameter. Of metadata[key] the key is any.
func (o operation) queryParameter(name string) *openapi3.Parameter {
	if rest, ok := strings.CutPrefix(name, "metadata["); ok {
		_, rest, _ = strings.Cut(rest, "]")
		name = "metadata[key]" + rest
	}
	for _, ref := range o.op.Parameters {
		if ref.Value.In == openapi3.ParameterInQuery && ref.Value.Name == name {
			return ref.Value
		}
	}
	return nil
}

// typed is the JSON value that the text of a parameter stands for.
func typed(schema *openapi3.Schema, text string) any {
	switch {
	case schema.Type.Is(openapi3.TypeBoolean):
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	case schema.Type.Is(openapi3.TypeInteger), schema.Type.Is(openapi3.TypeNumber):
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
	}
	return text
}

// checkBody holds the body of a request against the schema of an operation, and returns it decoded.
func (o operation) checkBody(mediaType string, body []byte) (any, error) {
	if o.op.RequestBody == nil {
		if len(body) > 0 {
			return nil, fmt.Errorf("%s takes no body, it got %s", o.name, body)
		}
		return nil, nil
	}
	content := o.op.RequestBody.Value.Content.Get(mediaType)
	if content == nil {
		return nil, fmt.Errorf("%s takes no body of type %q", o.name, mediaType)
	}
	if mediaType != "application/json" {
		return nil, nil // the caller looks at a form
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return nil, fmt.Errorf("body of %s: %w", o.name, err)
	}
	if err := content.Schema.Value.VisitJSON(value, openapi3.VisitAsRequest()); err != nil {
		return nil, fmt.Errorf("body of %s: %w\n%s", o.name, err, body)
	}
	return value, nil
}

// requestSchema is the schema of the JSON that an operation takes, or nil.
func (o operation) requestSchema() *openapi3.Schema {
	if o.op.RequestBody == nil {
		return nil
	}
	content := o.op.RequestBody.Value.Content.Get("application/json")
	if content == nil || content.Schema == nil {
		return nil
	}
	return content.Schema.Value
}

// response is the media type and the schema of an operation's answer.
func (o operation) response() (string, *openapi3.Schema) {
	for mediaType, content := range o.op.Responses.Status(http.StatusOK).Value.Content {
		if content.Schema == nil {
			return mediaType, nil
		}
		return mediaType, content.Schema.Value
	}
	return "", nil
}
