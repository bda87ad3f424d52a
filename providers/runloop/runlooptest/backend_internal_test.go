package runlooptest

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/stub"
)

// plain is a provider with no abilities but those that all must have.
type plain struct{ compute.Compute }

type plainSandbox struct{ compute.Sandbox }

type plainFiles struct{ compute.Filesystem }

func (p plain) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	sb, err := p.Compute.CreateSandbox(ctx, opts)
	if err != nil {
		return nil, err
	}
	return plainSandbox{sb}, nil
}

func (s plainSandbox) Filesystem() compute.Filesystem { return plainFiles{s.Sandbox.Filesystem()} }

func TestABackendWithoutAbilities(t *testing.T) {
	s := newOn(t, plain{stub.New(stub.Config{})})
	v := newRunning(t, s, `{"mounts":[{"type":"file_mount","target":"f","content":"x"}]}`)
	base := "/devboxes/" + v.ID
	assert.Equal(t, "x", *run(t, s, v.ID, "cat f", "").Stdout)
	path := start(t, s, v.ID, `{"command":"sleep 1000"}`)
	assert.EqualValues(t, 137, *post[runloopapi.ExecutionView](t, s, path+"/kill", "").ExitStatus)
	ct, body := form(t, "path", "up", "file", "loaded")
	status, _ := s.do(t, "POST", "/v1"+base+"/upload_file", body, "Content-Type", ct)
	assert.Equal(t, 200, status)
	assert.Equal(t, "loaded", *run(t, s, v.ID, "cat up", "").Stdout)

	assert.Contains(t, refused(t, s, 501, "POST", base+"/suspend", ""), "cannot be suspended")
	assert.Contains(t, refused(t, s, 501, "POST", base+"/create_ssh_key", ""), "ssh")
	status, answer := s.do(t, "GET", "/pty/x", "", "Authorization", "Bearer "+post[runloopapi.PTYTunnelView](t, s, base+"/create_pty_tunnel", "").AuthToken)
	assert.Equal(t, 501, status, answer)
	shell := run(t, s, v.ID, "true", "named")
	assert.EqualValues(t, 126, *shell.ExitStatus)
	assert.Contains(t, *shell.Stderr, "could not be run")
}

// broken is a provider whose operations fail.
type broken struct{ compute.Compute }

func (broken) CreateSandbox(context.Context, *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	return nil, &compute.Error{Op: "create sandbox", Kind: compute.ErrQuota}
}

func (broken) ListSandboxes(context.Context, *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	return func(func(*compute.SandboxInfo, error) bool) {}
}

func TestABackendThatFails(t *testing.T) {
	s := newOn(t, broken{stub.New(stub.Config{})})
	v := post[runloopapi.DevboxView](t, s, "/devboxes/create_and_await_running", "")
	assert.Equal(t, runloopapi.DevboxFailure, v.Status)
	assert.Contains(t, v.StateTransitions[len(v.StateTransitions)-1].FailureReason, "quota exceeded")
}

func TestManyAtOnce(t *testing.T) {
	s := newStub(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			v := post[runloopapi.DevboxView](t, s, "/devboxes/create_and_await_running", "")
			var commands sync.WaitGroup
			for j := range 5 {
				commands.Go(func() {
					x := post[runloopapi.ExecutionView](t, s, "/devboxes/"+v.ID+"/execute", fmt.Sprintf(`{"command":"echo %d-%d"}`, i, j))
					assert.Equal(t, fmt.Sprintf("%d-%d\n", i, j), *x.Stdout)
				})
			}
			commands.Wait()
			post[runloopapi.DevboxListView](t, s, "/devboxes/"+v.ID+"/shutdown", "")
			get[runloopapi.DevboxListView](t, s, "/devboxes?limit=3")
		})
	}
	all.Wait()
}

// Whatever goes on, Close ends it and leaves nothing: newOn looks.
func TestCloseInTheMiddle(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		v := newRunning(t, s, `{"entrypoint":"sleep 1000"}`)
		post[runloopapi.DevboxView](t, s, "/devboxes", `{"launch_parameters":{"launch_commands":["sleep 1000"]}}`)
		post[runloopapi.BlueprintView](t, s, "/blueprints", `{"name":"slow","system_setup_commands":["sleep 1000"]}`)
		path := start(t, s, v.ID, `{"command":"echo begun; exec sleep 1000","attach_stdin":true}`)
		resp, err := s.send(t.Context(), "GET", "/v1"+path+"/stream_stdout_updates", "")
		require.NoError(t, err)
		defer resp.Body.Close()
		held := make(chan int)
		go func() {
			resp, err := s.send(context.Background(), "POST", "/v1"+path+"/wait_for_status", `{"statuses":["completed"]}`)
			if !assert.NoError(t, err) {
				held <- 0
				return
			}
			resp.Body.Close()
			held <- resp.StatusCode
		}()
		post[runloopapi.SnapshotView](t, s, "/devboxes/"+v.ID+"/snapshot_disk_async", "")
		for s.Counts()["executions.wait_for_status"] == 0 {
			time.Sleep(time.Millisecond)
		}
		require.NoError(t, s.Close())
		assert.Contains(t, []int{200, 503}, <-held) // it has completed, or the emulator has gone
		status, _ := s.do(t, "GET", "/v1/devboxes", "")
		assert.Equal(t, 503, status)
	})
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(WithBackend(stub.New(stub.Config{})), WithLatency(time.Second))
		require.NoError(t, err)
		defer func() { assert.NoError(t, e.Close()) }()
		begin := time.Now()
		r := httptest.NewRequest(http.MethodGet, "http://emulator/v1/devboxes", strings.NewReader(""))
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		assert.Equal(t, 401, w.Code)
		assert.Equal(t, time.Second, time.Since(begin))
		assert.Equal(t, "http://emulator", e.BaseURL())
	})
}

func TestErrorsOfTheBackend(t *testing.T) {
	for err, want := range map[error]int{
		&compute.Error{Kind: compute.ErrNotFound}:    404,
		&compute.Error{Kind: compute.ErrConflict}:    409,
		&compute.Error{Kind: compute.ErrQuota}:       429,
		&compute.Error{Kind: compute.ErrUnavailable}: 502,
		context.Canceled:              503,
		&http.MaxBytesError{Limit: 3}: 413,
		assert.AnError:                500,
	} {
		assert.Equal(t, want, asAPIError(fmt.Errorf("wrapped: %w", err)).status, "%v", err)
	}
}

func TestClientOptions(t *testing.T) {
	for _, opts := range [][]Option{nil, {WithTLS()}} {
		s := newStub(t, opts...)
		c, err := runloopapi.New(s.ClientOptions()...)
		require.NoError(t, err)
		v, err := c.Devboxes.Create(t.Context(), &runloopapi.DevboxCreateParams{Name: "typed"})
		require.NoError(t, err)
		assert.Equal(t, "typed", v.Name)
		require.NoError(t, c.Close())
	}
}
