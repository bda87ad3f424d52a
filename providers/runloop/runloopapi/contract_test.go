package runloopapi_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

var update = flag.Bool("update", false, "write the golden files anew")

// notOperations are methods of services that are no operation of their own, and why.
var notOperations = map[string]string{
	"BenchmarkJobService.Await":           "repeats Get",
	"DevboxService.Await":                 "repeats WaitForStatus",
	"DevboxService.AwaitRunning":          "repeats WaitForStatus",
	"DevboxService.AwaitSuspended":        "repeats WaitForStatus",
	"DevboxService.CreateAndAwaitRunning": "goes on until the devbox runs",
	"DevboxService.ExecuteAndAwait":       "Execute, then repeats WaitForStatus",
	"DiskSnapshotService.Await":           "repeats Status",
	"ExecutionService.Await":              "repeats WaitForStatus",
	"ObjectService.Download":              "is of the storage, not of the API",
	"ObjectService.Upload":                "is of the storage, not of the API",
	"PTYService.Attach":                   "is a WebSocket",
}

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

// TestContract calls every method of every service, with every kind of argument and every kind of answer, and holds the requests and
// what becomes of the answers against the OpenAPI document.
func TestContract(t *testing.T) {
	server := &contractServer{
		contract: loadContract(t), served: map[string]bool{}, partial: map[string][]string{},
	}
	client := contractClient(t, server)
	fill := &filler{constants: declaredConstants(t)}
	known := map[string]bool{}
	services := reflect.ValueOf(client).Elem()
	for i := range services.NumField() {
		if !services.Type().Field(i).IsExported() {
			continue
		}
		service := services.Field(i)
		for j := range service.NumMethod() {
			name := service.Type().Elem().Name() + "." + service.Type().Method(j).Name
			known[name] = true
			if notOperations[name] != "" {
				continue
			}
			t.Run(name, func(t *testing.T) {
				for n := range fill.variants() {
					fill.n = n
					server.gen = generator{n: n, minimal: n%3 == 1, nulls: n%3 == 2}
					server.callMethod(t, service.Method(j), fill)
				}
				server.gen = generator{minimal: true}
				server.callRequired(t, service.Method(j), &filler{constants: fill.constants, required: true})
			})
		}
	}
	for name := range notOperations {
		assert.True(t, known[name], "%s is not there any more", name)
	}
	server.checkGolden(t)
}

func contractClient(t *testing.T, handler http.Handler) *runloopapi.Client {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.InsecureSkipVerify = true // also the hosts of tunnels are this server
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := runloopapi.New(
		runloopapi.WithAPIKey("ak_test"), runloopapi.WithBaseURL("https://api.runloop.test"),
		runloopapi.WithHTTPClient(&http.Client{Transport: transport}), runloopapi.WithRetries(0),
	)
	require.NoError(t, err)
	return client
}

// callMethod calls a method with arguments that have all there is.
func (s *contractServer) callMethod(t *testing.T, method reflect.Value, fill *filler) {
	t.Helper()
	args := []reflect.Value{reflect.ValueOf(t.Context())}
	s.ids, s.strict = nil, true
	for i := 1; i < method.Type().NumIn()-1; i++ {
		arg := reflect.New(method.Type().In(i)).Elem()
		fill.fill(arg)
		if arg.Kind() == reflect.String {
			arg.SetString(fmt.Sprintf("an ID/%d?é", i))
			s.ids = append(s.ids, arg.String())
		}
		args = append(args, arg)
	}
	if tunnel := reflect.TypeFor[*runloopapi.PTYTunnelView](); method.Type().NumIn() > 2 && method.Type().In(1) == tunnel {
		s.ids = s.ids[:1]
	}
	s.check(t, method.Call(args))
}

// callRequired calls a method with arguments that have no more than they must. What narrows a list may be nil.
func (s *contractServer) callRequired(t *testing.T, method reflect.Value, fill *filler) {
	t.Helper()
	args := []reflect.Value{reflect.ValueOf(t.Context())}
	s.ids, s.strict = nil, false
	for i := 1; i < method.Type().NumIn()-1; i++ {
		arg := reflect.New(method.Type().In(i)).Elem()
		switch {
		case arg.Kind() == reflect.String:
			arg.SetString(fmt.Sprintf("id%d", i))
			s.ids = append(s.ids, arg.String())
		case arg.Kind() == reflect.Pointer && !strings.Contains(arg.Type().String(), "List"),
			arg.Kind() == reflect.Interface:
			fill.fill(arg)
		}
		args = append(args, arg)
	}
	s.check(t, method.Call(args))
}

// check holds what a method returned against what the server sent.
func (s *contractServer) check(t *testing.T, results []reflect.Value) {
	t.Helper()
	var got any
	var err error
	switch first := results[0]; {
	case first.Kind() == reflect.Func:
		got, err = s.collect(first)
	case len(results) == 1:
		err, _ = first.Interface().(error)
	default:
		err, _ = results[1].Interface().(error)
		got = first.Interface()
	}
	assert.Empty(t, s.faults)
	s.faults = nil
	if !assert.NoError(t, err) || got == nil {
		return
	}
	if body, ok := got.(io.ReadCloser); ok {
		content, err := io.ReadAll(body)
		assert.NoError(t, err)
		assert.NoError(t, body.Close())
		got = string(content)
	}
	data, err := json.Marshal(got)
	require.NoError(t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	want := s.answer
	if results[0].Kind() == reflect.Func {
		want = items(want)
	}
	assert.Empty(t, lost(want, decodeNumbers(data), ""), "these parts of the answer were lost")
}

// collect returns the items of a list, or the first one of a stream.
func (s *contractServer) collect(seq reflect.Value) (any, error) {
	got := []any{}
	for item, failed := range seq.Seq2() {
		if err, _ := failed.Interface().(error); err != nil {
			return nil, err
		}
		got = append(got, item.Interface())
		s.mu.Lock()
		_, list := items(s.answer).([]any)
		s.mu.Unlock()
		if !list {
			return item.Interface(), nil
		}
	}
	return got, nil
}

// items is the list in a page, or v itself if that is none.
func items(v any) any {
	page, ok := v.(map[string]any)
	if !ok || page["has_more"] == nil {
		return v
	}
	for _, value := range page {
		if list, ok := value.([]any); ok {
			return list
		}
	}
	return v
}

// checkGolden compares what the client cannot do with the golden files.
func (s *contractServer) checkGolden(t *testing.T) {
	t.Helper()
	var unserved, unsent []string
	for name := range s.vendor {
		if !s.served[name] {
			unserved = append(unserved, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.partial)) {
		for _, path := range s.partial[name] {
			unsent = append(unsent, name+" "+path)
		}
	}
	slices.Sort(unserved)
	golden(t, "unserved.txt", unserved)
	golden(t, "unsent.txt", unsent)
}

func golden(t *testing.T, name string, lines []string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	text := strings.Join(lines, "\n") + "\n"
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), text, "run the test with -update if this is as it should be")
}
