package runloop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// forgetful is a service that makes devboxes and does not say so.
type forgetful struct {
	answer func(w http.ResponseWriter, id string) // to a create
	list   func(w http.ResponseWriter, n int)     // the first answers to a list; nil is none

	mu      sync.Mutex
	boxes   []box
	creates int
	lists   int
}

type box struct {
	ID       string            `json:"id"`
	Status   string            `json:"status"`
	Metadata map[string]string `json:"metadata"`
	Created  int64             `json:"create_time_ms"`
}

type boxes struct {
	Devboxes []box `json:"devboxes"`
	HasMore  bool  `json:"has_more"`
}

func (f *forgetful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/devboxes/create_and_await_running":
		var in struct{ Metadata map[string]string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		f.creates++
		id := fmt.Sprintf("dbx_%030d", f.creates)
		f.boxes = append(f.boxes, box{id, "running", in.Metadata, time.Now().UnixMilli()})
		f.answer(w, id)
	case "GET /v1/devboxes":
		if f.lists++; f.list != nil {
			f.list(w, f.lists)
			return
		}
		if err := json.NewEncoder(w).Encode(boxes{Devboxes: f.boxes}); err != nil {
			panic(err)
		}
	default:
		fmt.Fprint(w, "{}")
	}
}

func newForgetful(t *testing.T, f *forgetful, cfg runloop.Config) *runloop.Provider {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	client, err := runloopapi.New(runloopapi.WithAPIKey("ak_1"), runloopapi.WithBaseURL(server.URL), runloopapi.WithRetries(0))
	require.NoError(t, err)
	cfg.Client = client
	p, err := runloop.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, p.Close())
		assert.NoError(t, client.Close())
	})
	return p
}

// An answer that cannot be understood is as good as a lost one: the devbox that it
// was about is found.
func TestCreateWithGarbage(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON": "<html>", "other JSON": `[1]`, "no ID": `{"status":"running"}`, "wrong type": `{"id":7}`, "null": "null", "nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			f := &forgetful{answer: func(w http.ResponseWriter, _ string) { fmt.Fprint(w, body) }}
			sb, err := newForgetful(t, f, runloop.Config{}).CreateSandbox(t.Context(), nil)
			require.NoError(t, err)
			assert.Equal(t, f.boxes[0].ID, sb.ID())
			assert.Equal(t, 1, f.creates)
		})
	}
}

// While it cannot be found out whether a devbox was made, no other is made.
func TestCreateIsNotRepeatedBlindly(t *testing.T) {
	f := &forgetful{
		answer: func(http.ResponseWriter, string) { panic(http.ErrAbortHandler) },
		list:   func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusServiceUnavailable) },
	}
	_, err := newForgetful(t, f, runloop.Config{}).CreateSandbox(t.Context(), nil)
	require.ErrorIs(t, err, runloopapi.ErrConnection)
	assert.ErrorContains(t, err, "compute.create=", "what may be left can be found")
	assert.Equal(t, 1, f.creates)
}

// Whoever logs a configuration does not log the key.
func TestConfigHidesItsKey(t *testing.T) {
	cfg := runloop.Config{APIKey: "ak_secret", BaseURL: "https://example.com"}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", cfg, "pointer", &cfg)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", cfg, "pointer", &cfg)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&log, verb+" "+verb+" "+verb+"\n", cfg, &cfg, struct{ C runloop.Config }{cfg})
	}
	assert.NotContains(t, log.String(), "secret")
	assert.NotContains(t, log.String(), fmt.Sprintf("%x", "secret"))
	assert.Contains(t, log.String(), "https://example.com")
}

// A template's field may hold a snapshot's ID, as in ComputeSDK's interface.
func TestTemplateThatIsASnapshot(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sb, err := e.CreateSandbox(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, sb.Filesystem().WriteFile(ctx, "kept", []byte("yes"), 0o600))
	snap, err := e.CreateSnapshot(ctx, sb.ID(), nil)
	require.NoError(t, err)
	again, err := e.CreateSandbox(ctx, &compute.CreateSandboxOptions{Template: snap.ID})
	require.NoError(t, err)
	data, err := again.Filesystem().ReadFile(ctx, "kept")
	require.NoError(t, err)
	assert.Equal(t, "yes", string(data))
	_, err = e.CreateSandbox(ctx, &compute.CreateSandboxOptions{Template: snap.ID[:len(snap.ID)-3] + "abc"})
	require.ErrorIs(t, err, compute.ErrNotFound)
}
