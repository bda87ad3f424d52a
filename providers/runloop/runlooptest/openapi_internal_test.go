package runlooptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// contract is the vendor's OpenAPI document with what is newer laid over it, or
// why there is none.
var contract = sync.OnceValues(func() (*openapi3.T, error) {
	name := os.Getenv("COMPUTE_RUNLOOP_OPENAPI")
	if name == "" {
		name = filepath.Join("..", "..", "..", "..", "shared", "runloop", "openapi.yml")
	}
	vendor, err := readYAML(name)
	if err != nil {
		return nil, err
	}
	newer, err := readYAML(filepath.Join("..", "runloopapi", "testdata", "newer.yml"))
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(overlay(vendor, newer))
	if err != nil {
		return nil, err
	}
	return openapi3.NewLoader().LoadFromData(data)
})

func readYAML(name string) (doc map[string]any, err error) {
	data, err := os.ReadFile(name)
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
			for k, v := range over {
				merged[k] = overlay(base[k], v)
			}
			return merged
		}
	case []any:
		if base, ok := under.([]any); ok {
			return append(base[:len(base):len(base)], over...)
		}
	}
	return over
}

// answerSchema returns the schema of a successful answer in JSON, or nil. Of two
// answers the document says something else than all clients: the runs of a
// scenario, which have pages, are no scenario, and values of SQL are not all text.
func answerSchema(doc *openapi3.T, method, path string) *openapi3.Schema {
	segments := strings.Split(path, "/")
	if ok, _ := filepath.Match("/v1/scenarios/"+prefixScenario+"*/runs", path); ok || strings.Contains(path, "/sql/") {
		return nil
	}
	var best *openapi3.Operation
	fewest := len(segments)
	for pattern, item := range doc.Paths.Map() {
		op := item.GetOperation(method)
		if n, ok := matchPattern(strings.Split(pattern, "/"), segments); ok && op != nil && n < fewest {
			best, fewest = op, n
		}
	}
	if best == nil || best.Responses.Status(200) == nil {
		return nil
	}
	media := best.Responses.Status(200).Value.Content.Get("application/json")
	if media == nil || media.Schema == nil {
		return nil
	}
	return media.Schema.Value
}

// matchPattern returns the number of parameters of a pattern that a path matches.
func matchPattern(pattern, path []string) (parameters int, ok bool) {
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

// checked is a transport that holds every successful answer in JSON against the
// contract.
type checked struct {
	http.RoundTripper
	t   testing.TB
	doc *openapi3.T
}

func (c checked) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
		return resp, err
	}
	schema := answerSchema(c.doc, r.Method, r.URL.EscapedPath())
	if schema == nil {
		return resp, nil
	}
	data, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(data), failing{err}))
	if err != nil {
		return resp, nil //nolint:nilerr // it is for who reads the body
	}
	var v any
	if err = json.Unmarshal(data, &v); err == nil {
		err = schema.VisitJSON(v, openapi3.MultiErrors())
	}
	if err != nil {
		c.t.Errorf("%s %s: the answer is not what the OpenAPI document says: %v\n%s", r.Method, r.URL.Path, err, data)
	}
	return resp, nil
}

// failing is the end of a body that could not be read.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

// check makes the client of a server hold answers against the contract, if that is
// there.
func (s *Server) check(t testing.TB) {
	doc, err := contract()
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	require.NoError(t, err)
	s.client.Transport = checked{s.client.Transport, t, doc}
}

func TestContract(t *testing.T) {
	doc, err := contract()
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("answers are not held against the OpenAPI document: ", err)
	}
	require.NoError(t, err)
	require.NotNil(t, answerSchema(doc, http.MethodGet, "/v1/devboxes/dbx_1"))
	require.NotNil(t, answerSchema(doc, http.MethodPost, "/v1/devboxes/create_and_await_running"))
	require.Error(t, answerSchema(doc, http.MethodGet, "/v1/devboxes/dbx_1").VisitJSON(map[string]any{"id": 1}))
}
