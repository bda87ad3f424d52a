package runloopapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// contractServer answers requests as the contract says, and remembers what is wrong with them.
type contractServer struct {
	*contract

	mu      sync.Mutex
	gen     generator
	strict  bool // every property and parameter must be there
	served  map[string]bool
	ids     []string // that the path must have
	faults  []string
	answer  any // the last
	partial map[string][]string
}

func (s *contractServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op, err := s.find(r)
	if err != nil {
		s.fault(w, err)
		return
	}
	s.served[op.name] = true
	if want := s.ids[:min(len(op.ids), len(s.ids))]; !slices.Equal(op.ids, want) {
		s.fault(w, fmt.Errorf("%s: the path has %q, not %q", op.name, op.ids, want))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.fault(w, err)
		return
	}
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	value, err := op.checkBody(mediaType, body)
	if err == nil {
		err = op.checkQuery(r.URL.Query())
	}
	if err == nil && !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
		err = fmt.Errorf("%s: no key", op.name)
	}
	if err != nil {
		s.fault(w, err)
		return
	}
	if s.strict {
		s.notePartial(op, r, value)
	}
	s.reply(w, r, op)
}

func (s *contractServer) fault(w http.ResponseWriter, err error) {
	s.faults = append(s.faults, err.Error())
	http.Error(w, err.Error(), http.StatusBadRequest)
}

// notePartial notes what a request that has all there is does not have. What one request of several has is there.
func (s *contractServer) notePartial(op operation, r *http.Request, body any) {
	var left []string
	for _, param := range op.op.Parameters {
		name := param.Value.Name
		sent := r.URL.Query().Has(name)
		if key, ok := strings.CutPrefix(name, "metadata[key]"); ok {
			sent = r.URL.Query().Has("metadata[some key]" + key)
		}
		if param.Value.In == "query" && !sent {
			left = append(left, "?"+name)
		}
	}
	if schema := op.requestSchema(); schema != nil {
		left = append(left, missing(schema, body, "")...)
	}
	if before, ok := s.partial[op.name]; ok {
		left = slices.DeleteFunc(left, func(path string) bool { return !slices.Contains(before, path) })
	}
	s.partial[op.name] = left
}

func (s *contractServer) reply(w http.ResponseWriter, r *http.Request, op operation) {
	mediaType, schema := op.response()
	if r.Header.Get("Accept") == "text/event-stream" {
		mediaType = "text/event-stream"
	}
	w.Header().Set("Content-Type", mediaType)
	if schema == nil || mediaType != "application/json" && mediaType != "text/event-stream" {
		s.answer = "content of " + op.name
		_, _ = io.WriteString(w, s.answer.(string))
		return
	}
	value := s.gen.value(schema)
	if page, ok := value.(map[string]any); ok && page["has_more"] != nil {
		page["has_more"] = false
	}
	if chunk, ok := value.(map[string]any); ok && chunk["output"] != nil && chunk["offset"] != nil {
		start, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		chunk["offset"] = start + len(chunk["output"].(string)) // the client checks that nothing is missing
	}
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	s.answer = decodeNumbers(data)
	if mediaType == "text/event-stream" {
		_, _ = fmt.Fprintf(w, ": hello\n\ndata: %s\n\n", data)
		return
	}
	_, _ = w.Write(data)
}

func decodeNumbers(data []byte) any {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}
