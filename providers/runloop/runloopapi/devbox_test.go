package runloopapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lifeServer has one devbox, that reaches the states of script one after the other, a second each.
type lifeServer struct {
	script  []DevboxStatus
	missing bool // create_and_await_running is not there

	created  int
	shutdown int
	calls    []string
	begun    time.Time
}

// lifeLock guards the servers' fields; they are copied.
var lifeLock sync.Mutex

func (s *lifeServer) status() DevboxStatus {
	lifeLock.Lock()
	defer lifeLock.Unlock()
	if s.shutdown > 0 {
		return DevboxShutdown
	}
	return s.script[min(int(time.Since(s.begun)/time.Second), len(s.script)-1)]
}

func (s *lifeServer) view() string {
	view := DevboxView{ID: "dbx_1", Status: s.status()}
	if view.Status == DevboxFailure {
		view.FailureReason = DevboxOutOfMemory
	}
	return toJSON(view)
}

func (s *lifeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.answered(w, r) {
		return
	}
	if strings.HasSuffix(r.URL.Path, "/wait_for_status") {
		s.wait(w, r)
		return
	}
	writeJSON(w, http.StatusOK, s.view())
}

// answered notes a request, and reports whether that was its answer too.
func (s *lifeServer) answered(w http.ResponseWriter, r *http.Request) bool {
	lifeLock.Lock()
	defer lifeLock.Unlock()
	s.calls = append(s.calls, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/v1/devboxes"))
	_, action, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/devboxes/"), "/")
	switch {
	case strings.HasSuffix(r.URL.Path, "/create_and_await_running") && s.missing:
		writeJSON(w, http.StatusNotFound, `{"message":"no such route"}`)
		return true
	case r.URL.Path == "/v1/devboxes", strings.HasSuffix(r.URL.Path, "/create_and_await_running"):
		s.created++
		s.begun = time.Now()
	case action == "shutdown":
		s.shutdown++
	case action == "suspend", action == "resume":
		s.begun = time.Now()
	}
	return false
}

func (s *lifeServer) wait(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	for range 30 {
		if strings.Contains(string(body), `"`+string(s.status())+`"`) {
			writeJSON(w, http.StatusOK, s.view())
			return
		}
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
			return
		}
	}
	writeJSON(w, http.StatusRequestTimeout, `{"message":"not yet"}`)
}

// slowly is n seconds of a state, and then others.
func slowly(n int, state DevboxStatus, then ...DevboxStatus) []DevboxStatus {
	script := make([]DevboxStatus, n, n+len(then))
	for i := range script {
		script[i] = state
	}
	return append(script, then...)
}

func TestCreateAndAwaitRunning(t *testing.T) {
	for _, test := range []struct {
		name   string
		server lifeServer
		calls  []string
		want   DevboxStatus // of the error
	}{
		{"in one request", lifeServer{script: slowly(0, "", DevboxRunning)}, []string{"POST /create_and_await_running"}, ""},
		{"in two", lifeServer{script: slowly(9, DevboxQueued, DevboxRunning)},
			[]string{"POST /create_and_await_running", "POST /dbx_1/wait_for_status"}, ""},
		{"old service", lifeServer{missing: true, script: slowly(70, DevboxProvisioning, DevboxInitializing, DevboxRunning)},
			[]string{"POST /create_and_await_running", "POST ", "POST /dbx_1/wait_for_status", "POST /dbx_1/wait_for_status",
				"POST /dbx_1/wait_for_status"}, ""},
		{"failure", lifeServer{script: slowly(3, DevboxProvisioning, DevboxFailure)},
			[]string{"POST /create_and_await_running", "POST /dbx_1/wait_for_status"}, DevboxFailure},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := test.server
				c := newBubbleClient(t, &s)
				view, err := c.Devboxes.CreateAndAwaitRunning(t.Context(), nil)
				require.NotNil(t, view)
				assert.Equal(t, "dbx_1", view.ID)
				assert.Equal(t, test.calls, s.calls)
				assert.Equal(t, 1, s.created)
				if test.want == "" {
					require.NoError(t, err)
					assert.Equal(t, DevboxRunning, view.Status)
					return
				}
				var state *DevboxStateError
				require.ErrorAs(t, err, &state)
				assert.ErrorIs(t, err, ErrState)
				assert.Equal(t, test.want, state.Devbox.Status)
				assert.EqualError(t, err, "runloop: devbox dbx_1 is failure (out_of_memory), not running")
			})
		})
	}
	t.Run("an old service is asked once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := lifeServer{missing: true, script: slowly(0, "", DevboxRunning)}
			c := newBubbleClient(t, &s)
			for range 2 {
				_, err := c.Devboxes.CreateAndAwaitRunning(t.Context(), nil)
				require.NoError(t, err)
			}
			assert.Equal(t, []string{"POST /create_and_await_running", "POST ", "POST "}, s.calls)
		})
	})
	t.Run("what is missing is something else", func(t *testing.T) {
		r := &recorder{next: answer(404, `{"message":"no such blueprint"}`)}
		c := newTestClient(t, r)
		for range 2 {
			_, err := c.Devboxes.CreateAndAwaitRunning(t.Context(), &DevboxCreateParams{BlueprintID: "x"})
			assert.ErrorIs(t, err, ErrNotFound)
		}
		assert.Equal(t, 4, r.count(), "the endpoint is not taken for missing")
	})
}

func TestNewDevbox(t *testing.T) {
	t.Run("runs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := lifeServer{script: slowly(3, DevboxProvisioning, DevboxRunning)}
			d, err := newBubbleClient(t, &s).NewDevbox(t.Context(), nil)
			require.NoError(t, err)
			assert.Equal(t, "dbx_1", d.ID)
			assert.Zero(t, s.shutdown)
			require.NoError(t, d.Close())
			assert.Equal(t, 1, s.shutdown)
		})
	})
	t.Run("fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := lifeServer{script: slowly(3, DevboxProvisioning, DevboxFailure)}
			_, err := newBubbleClient(t, &s).NewDevbox(t.Context(), nil)
			assert.ErrorIs(t, err, ErrState)
			assert.Equal(t, 1, s.shutdown)
		})
	})
	t.Run("the context ends while it starts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := lifeServer{script: slowly(60, DevboxProvisioning)}
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			start := time.Now()
			_, err := newBubbleClient(t, &s).NewDevbox(ctx, nil)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, 1, s.shutdown)
			assert.Equal(t, 40*time.Second, time.Since(start))
		})
	})
	t.Run("the context ends while it is made", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := lifeServer{script: slowly(60, DevboxProvisioning)}
			c := newBubbleClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(5 * time.Second)
				s.ServeHTTP(w, r)
			}))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := c.NewDevbox(ctx, nil)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, 1, s.created)
			assert.Equal(t, 1, s.shutdown, "what was made unheard is shut down")
		})
	})
	t.Run("the context has ended", func(t *testing.T) {
		r := &recorder{next: answer(200, `{}`)}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := newTestClient(t, r).NewDevbox(ctx, nil)
		assert.ErrorIs(t, err, context.Canceled)
		assert.Zero(t, r.count())
	})
	t.Run("it cannot be shut down", func(t *testing.T) {
		c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/shutdown") {
				writeJSON(w, http.StatusForbidden, `{"message":"no"}`)
				return
			}
			writeJSON(w, http.StatusOK, `{"id":"dbx_1","status":"failure"}`)
		}))
		_, err := c.NewDevbox(t.Context(), nil)
		assert.ErrorIs(t, err, ErrState)
		assert.ErrorIs(t, err, ErrForbidden)
		assert.ErrorContains(t, err, "devbox dbx_1 may still run")
	})
}

func TestWithDevbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lifeServer{script: slowly(1, DevboxProvisioning, DevboxRunning)}
		wrong := errors.New("wrong")
		ctx, cancel := context.WithCancel(t.Context())
		err := newBubbleClient(t, &s).WithDevbox(ctx, nil, func(_ context.Context, d *Devbox) error {
			assert.Equal(t, "dbx_1", d.ID)
			cancel()
			return wrong
		})
		assert.ErrorIs(t, err, wrong)
		assert.Equal(t, 1, s.shutdown)
	})
}

func TestSuspendAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lifeServer{script: slowly(40, DevboxSuspending, DevboxSuspended)}
		d := newBubbleClient(t, &s).Devbox("dbx_1")
		s.begun = time.Now()
		require.NoError(t, d.Suspend(t.Context()))
		s.script = slowly(4, DevboxResuming, DevboxProvisioning, DevboxRunning)
		require.NoError(t, d.Resume(t.Context()))
		assert.Equal(t, DevboxRunning, s.status())
		s.script = slowly(2, DevboxRunning, DevboxShutdown)
		assert.ErrorIs(t, d.Suspend(t.Context()), ErrState)
		view, err := d.Wait(t.Context(), DevboxShutdown)
		require.NoError(t, err)
		assert.Equal(t, DevboxShutdown, view.Status)
	})
}

func TestSnapshots(t *testing.T) {
	for _, test := range []struct {
		name, last string
		err        error
	}{
		{"complete", `{"status":"complete","snapshot":{"id":"snp_1","size_bytes":7}}`, nil},
		{"failed", `{"status":"error","error_message":"disk on fire"}`, ErrState},
		{"deleted", `{"status":"deleted"}`, ErrState},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				status := inTurn(answer(200, `{"status":"in_progress"}`), answer(200, `{"status":"in_progress"}`), answer(200, test.last))
				r := &recorder{next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodGet {
						status.ServeHTTP(w, r)
						return
					}
					writeJSON(w, http.StatusOK, `{"id":"snp_1"}`)
				})}
				start := time.Now()
				d := newBubbleClient(t, r).Devbox("dbx_1")
				s, err := d.Snapshot(t.Context(), &SnapshotCreateParams{Name: "n"})
				assert.ErrorIs(t, err, test.err)
				require.NotNil(t, s)
				assert.Equal(t, "snp_1", s.ID)
				assert.Equal(t, 2*time.Second, time.Since(start), "asked once a second")
				assert.Equal(t, "/v1/devboxes/dbx_1/snapshot_disk_async", r.seen[0].URL.Path)
				assert.Equal(t, "/v1/devboxes/disk_snapshots/snp_1/status", r.seen[1].URL.Path)
				if test.err != nil {
					assert.ErrorContains(t, err, "snp_1")
				}
				require.NoError(t, s.Delete(t.Context()))
			})
		})
	}
}

func TestTunnelURL(t *testing.T) {
	for _, test := range []struct {
		name, base, domain, key string
		port                    int
		want, err               string
	}{
		{"hosted", "https://api.runloop.ai", "", "k1", 8080, "https://8080-k1.tunnel.runloop.ai", ""},
		{"other domain", "https://api.runloop.pro:443/x", "", "k1", 80, "https://80-k1.tunnel.runloop.pro", ""},
		{"no api. in front", "https://runloop.test", "", "k1", 80, "https://80-k1.tunnel.runloop.test", ""},
		{"option", "http://127.0.0.1:9", "http://t.localhost:7/p", "k1", 80, "http://80-k1.t.localhost:7/p", ""},
		{"address", "http://127.0.0.1:9", "", "k1", 80, "", "WithTunnelDomain"},
		{"port", "https://api.runloop.ai", "", "k1", 0, "", "not a port"},
		{"large port", "https://api.runloop.ai", "", "k1", 65536, "", "not a port"},
		{"hostile key", "https://api.runloop.ai", "", "evil.test/", 80, "", "host name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := New(WithAPIKey("k"), WithBaseURL(test.base), WithTunnelDomain(test.domain))
			require.NoError(t, err)
			u, err := c.TunnelURL(test.key, test.port)
			if test.err != "" {
				assert.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, u.String())
		})
	}
	t.Run("of a devbox", func(t *testing.T) {
		c := newTestClient(t, inTurn(
			answer(200, `{"id":"x","tunnel":{"tunnel_key":"abc","auth_mode":"open"}}`), answer(200, `{"id":"x","tunnel":null}`),
		), WithTunnelDomain("http://t.test"))
		u, err := c.Devbox("x").TunnelURL(t.Context(), 3000)
		require.NoError(t, err)
		assert.Equal(t, "http://3000-abc.t.test", u.String())
		_, err = c.Devbox("x").TunnelURL(t.Context(), 3000)
		assert.ErrorIs(t, err, ErrNoTunnel)
	})
}

func TestFiles(t *testing.T) {
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case strings.HasSuffix(r.URL.Path, "/read_file_contents"):
			assert.Equal(t, "text/plain", r.Header.Get("Accept"))
			assert.JSONEq(t, `{"file_path":"~/a"}`, string(body))
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, "\"text\"\n")
		case strings.Contains(string(body), "forbidden"):
			writeJSON(w, http.StatusOK, `{"devbox_id":"x","exit_status":1,"stderr":"read-only file system"}`)
		default:
			assert.JSONEq(t, `{"file_path":"~/a","contents":"äö\n"}`, string(body))
			writeJSON(w, http.StatusOK, `{"devbox_id":"x","exit_status":0}`)
		}
	}))
	d := c.Devbox("x")
	text, err := d.ReadFile(t.Context(), "~/a")
	require.NoError(t, err)
	assert.Equal(t, "\"text\"\n", text)
	require.NoError(t, d.WriteFile(t.Context(), "~/a", "äö\n"))
	assert.ErrorContains(t, d.WriteFile(t.Context(), "forbidden", ""), "read-only file system")
}
