package runlooptest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/stub"
)

// bubble runs a test in a bubble, where time passes when all wait, with an
// emulator that is asked without a network. Time in sandboxes passes likewise.
func bubble(t *testing.T, f func(t *testing.T, ask func(method, path, body string) *runloopapi.DevboxView)) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(WithBackend(stub.New(stub.Config{})))
		require.NoError(t, err)
		defer func() { assert.NoError(t, e.Close()) }()
		f(t, func(method, path, body string) *runloopapi.DevboxView {
			r := httptest.NewRequest(method, "http://emulator/v1"+path, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+e.APIKey())
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			v := new(runloopapi.DevboxView)
			if w.Code != http.StatusOK {
				return nil
			}
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), v))
			return v
		})
	})
}

func TestLifetimes(t *testing.T) {
	const create = "/devboxes/create_and_await_running"
	tests := []struct {
		name, params string
		sleeps       []time.Duration // with a keep_alive after each but the last
		poke         string          // what is posted in place of keep_alive
		status       runloopapi.DevboxStatus
		reason       runloopapi.DevboxShutdownReason
	}{
		{"an hour by default, before", `{}`, []time.Duration{59 * time.Minute}, "", "running", ""},
		{"an hour by default, after", `{}`, []time.Duration{61 * time.Minute}, "", "shutdown", "keep_alive_timeout"},
		{"as asked for", `{"launch_parameters":{"keep_alive_time_seconds":60}}`, []time.Duration{61 * time.Second}, "", "shutdown", "keep_alive_timeout"},
		{"kept alive", `{"launch_parameters":{"keep_alive_time_seconds":60}}`, []time.Duration{50 * time.Second, 50 * time.Second}, "", "running", ""},
		{"kept alive, then not", `{"launch_parameters":{"keep_alive_time_seconds":60}}`, []time.Duration{50 * time.Second, 61 * time.Second}, "", "shutdown", "keep_alive_timeout"},
		{"use is no keep-alive", `{"launch_parameters":{"keep_alive_time_seconds":60}}`, []time.Duration{50 * time.Second, 20 * time.Second}, "/execute", "shutdown", "keep_alive_timeout"},
		{"idle", `{"launch_parameters":{"lifecycle":{"after_idle":{"idle_time_seconds":60,"on_idle":"shutdown"}}}}`, []time.Duration{61 * time.Second}, "", "shutdown", "idle"},
		{"idle, the old way, and suspended", `{"launch_parameters":{"after_idle":{"idle_time_seconds":60,"on_idle":"suspend"}}}`, []time.Duration{61 * time.Second}, "", "suspended", ""},
		{"used", `{"launch_parameters":{"after_idle":{"idle_time_seconds":60,"on_idle":"shutdown"}}}`, []time.Duration{50 * time.Second, 50 * time.Second}, "/execute", "running", ""},
		{"looked at", `{"launch_parameters":{"after_idle":{"idle_time_seconds":60,"on_idle":"shutdown"}}}`, []time.Duration{50 * time.Second, 50 * time.Second}, "/wait_for_status", "shutdown", "idle"},
		{"an idle policy goes before keep-alive", `{"launch_parameters":{"keep_alive_time_seconds":10,"after_idle":{"idle_time_seconds":60,"on_idle":"shutdown"}}}`, []time.Duration{50 * time.Second}, "", "running", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, ask func(method, path, body string) *runloopapi.DevboxView) {
				v := ask("POST", create, tt.params)
				require.Equal(t, runloopapi.DevboxRunning, v.Status)
				for i, d := range tt.sleeps {
					time.Sleep(d)
					if i < len(tt.sleeps)-1 {
						poke := tt.poke
						if poke == "" {
							poke = "/keep_alive"
						}
						ask("POST", "/devboxes/"+v.ID+poke, `{"command":"true","statuses":["running"]}`)
					}
				}
				synctest.Wait()
				v = ask("GET", "/devboxes/"+v.ID, "")
				assert.Equal(t, tt.status, v.Status)
				assert.Equal(t, tt.reason, v.ShutdownReason)
			})
		})
	}
}

func TestARunningCommandIsActivity(t *testing.T) {
	bubble(t, func(t *testing.T, ask func(method, path, body string) *runloopapi.DevboxView) {
		v := ask("POST", "/devboxes/create_and_await_running", `{"launch_parameters":{"after_idle":{"idle_time_seconds":60,"on_idle":"shutdown"}}}`)
		ask("POST", "/devboxes/"+v.ID+"/execute_async", `{"command":"sleep 600"}`)
		time.Sleep(10 * time.Minute)
		assert.Equal(t, runloopapi.DevboxRunning, ask("GET", "/devboxes/"+v.ID, "").Status)
		time.Sleep(2 * time.Minute)
		assert.Equal(t, runloopapi.DevboxShutdown, ask("GET", "/devboxes/"+v.ID, "").Status)
	})
}

func TestHoldsEnd(t *testing.T) {
	bubble(t, func(t *testing.T, ask func(method, path, body string) *runloopapi.DevboxView) {
		v := ask("POST", "/devboxes/create_and_await_running", "")
		begin := time.Now()
		assert.Nil(t, ask("POST", "/devboxes/"+v.ID+"/wait_for_status", `{"statuses":["suspended"],"timeout_seconds":3600}`))
		assert.Equal(t, 30*time.Second, time.Since(begin))
		begin = time.Now()
		ask("POST", "/devboxes/"+v.ID+"/execute", `{"command":"sleep 600","optimistic_timeout":600}`)
		assert.Equal(t, 25*time.Second, time.Since(begin))
	})
}

func TestUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(WithBackend(stub.New(stub.Config{})))
		require.NoError(t, err)
		defer func() { assert.NoError(t, e.Close()) }()
		ask := func(method, path, body string, v any) {
			r := httptest.NewRequest(method, "http://emulator/v1"+path, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+e.APIKey())
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			require.Equal(t, 200, w.Code, w.Body)
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), v))
		}
		var v runloopapi.DevboxView
		ask("POST", "/devboxes/create_and_await_running", `{"launch_parameters":{"resource_size_request":"MEDIUM"}}`, &v)
		time.Sleep(100 * time.Second)
		ask("POST", "/devboxes/"+v.ID+"/suspend", "", new(none))
		time.Sleep(900 * time.Second)
		var u runloopapi.DevboxUsageView
		ask("GET", "/devboxes/"+v.ID+"/usage", "", &u)
		assert.Equal(t, runloopapi.DevboxUsageView{
			ID: v.ID, Status: "suspended", StartTime: v.CreateTime, TotalActiveSeconds: 100, TotalElapsedSeconds: 1000,
			VCPUSeconds: 200, MemoryGBSeconds: 400, DiskGBSeconds: 8000,
		}, u)
	})
}

func TestReplaysAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(WithBackend(stub.New(stub.Config{})))
		require.NoError(t, err)
		defer func() { assert.NoError(t, e.Close()) }()
		create := func() string {
			r := httptest.NewRequest(http.MethodPost, "http://emulator/v1/devboxes", nil)
			r.Header.Set("Authorization", "Bearer "+e.APIKey())
			r.Header.Set("X-Request-Id", "k")
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			return w.Body.String()
		}
		first := create()
		time.Sleep(59 * time.Second)
		assert.Equal(t, first, create())
		time.Sleep(2 * time.Second)
		assert.NotEqual(t, first, create())
	})
}
