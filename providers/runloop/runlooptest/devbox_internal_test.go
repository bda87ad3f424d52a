package runlooptest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/stub"
)

// newStub and newLocal return servers in front of a provider that must be empty
// when the test has ended.
func newStub(t *testing.T, opts ...Option) *Server {
	return newOn(t, stub.New(stub.Config{}), opts...)
}

func newLocal(t *testing.T, opts ...Option) *Server {
	t.Helper()
	c, err := openLocal()
	if err != nil {
		if strings.Contains(os.Getenv("COMPUTE_TEST_REQUIRE"), "local") {
			t.Fatal(err)
		}
		t.Skip("this machine cannot isolate: ", err)
	}
	return newOn(t, c, opts...)
}

func newOn(t *testing.T, c compute.Compute, opts ...Option) *Server {
	t.Cleanup(func() {
		ctx := context.Background()
		for info, err := range c.ListSandboxes(ctx, nil) {
			require.NoError(t, err)
			t.Errorf("sandbox %s was left behind", info.ID)
		}
		for s, err := range c.ListSnapshots(ctx, nil) {
			require.NoError(t, err)
			t.Errorf("snapshot %s was left behind", s.ID)
		}
		for v, err := range c.ListTemplates(ctx, nil) {
			require.NoError(t, err)
			t.Errorf("template %s was left behind", v.ID)
		}
	})
	s := NewServer(t, append([]Option{WithBackend(c)}, opts...)...)
	s.check(t)
	return s
}

// onBoth runs a test in front of both providers.
func onBoth(t *testing.T, f func(t *testing.T, s *Server)) {
	t.Run("stub", func(t *testing.T) { f(t, newStub(t)) })
	t.Run("local", func(t *testing.T) { f(t, newLocal(t)) })
}

// call makes a request that must be answered with a status, and decodes the
// answer.
func call1[T any](t *testing.T, s *Server, want int, method, path, body string) T {
	t.Helper()
	status, data := s.do(t, method, path, body)
	require.Equal(t, want, status, "%s %s: %s", method, path, data)
	var v T
	require.NoError(t, json.Unmarshal([]byte(data), &v), data)
	return v
}

func post[T any](t *testing.T, s *Server, path, body string) T {
	t.Helper()
	return call1[T](t, s, 200, "POST", "/v1"+path, body)
}

func get[T any](t *testing.T, s *Server, path string) T {
	t.Helper()
	return call1[T](t, s, 200, "GET", "/v1"+path, "")
}

// refused makes a request that must be refused, and returns the message.
func refused(t *testing.T, s *Server, want int, method, path, body string) string {
	t.Helper()
	return call1[struct{ Message string }](t, s, want, method, "/v1"+path, body).Message
}

// newRunning returns a devbox that runs.
func newRunning(t *testing.T, s *Server, params string) runloopapi.DevboxView {
	t.Helper()
	v := post[runloopapi.DevboxView](t, s, "/devboxes/create_and_await_running", params)
	require.Equal(t, runloopapi.DevboxRunning, v.Status, "%+v", v)
	return v
}

// waitFor waits until a devbox is in a state.
func waitFor(t *testing.T, s *Server, id string, status runloopapi.DevboxStatus) runloopapi.DevboxView {
	t.Helper()
	return post[runloopapi.DevboxView](t, s, "/devboxes/"+id+"/wait_for_status", fmt.Sprintf(`{"statuses":[%q]}`, status))
}

// run runs a command to its end.
func run(t *testing.T, s *Server, id, command, shell string) runloopapi.ExecutionView {
	t.Helper()
	v := post[runloopapi.ExecutionView](t, s, "/devboxes/"+id+"/execute",
		fmt.Sprintf(`{"command":%s,"shell_name":%q}`, quoted(command), shell))
	require.Equal(t, runloopapi.ExecutionCompleted, v.Status)
	return v
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func statuses(v runloopapi.DevboxView) (all []string) {
	for _, tr := range v.StateTransitions {
		all = append(all, string(tr.Status))
	}
	return all
}

func TestDevboxLife(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		v := post[runloopapi.DevboxView](t, s, "/devboxes", `{"name":"one","metadata":{"a":"b"}}`)
		assert.Equal(t, runloopapi.DevboxProvisioning, v.Status)
		assert.Equal(t, "one", v.Name)
		assert.NoError(t, checkID(prefixDevbox, v.ID))
		assert.Nil(t, v.EndTime)

		v = waitFor(t, s, v.ID, runloopapi.DevboxRunning)
		assert.Equal(t, []string{"provisioning", "initializing", "running"}, statuses(v))

		v = post[runloopapi.DevboxView](t, s, "/devboxes/"+v.ID, `{"name":"two"}`)
		assert.Equal(t, "two", v.Name)
		assert.Equal(t, map[string]string{"a": "b"}, v.Metadata, "unchanged")
		v = post[runloopapi.DevboxView](t, s, "/devboxes/"+v.ID, `{"metadata":{}}`)
		assert.Empty(t, v.Metadata)
		assert.Equal(t, v, get[runloopapi.DevboxView](t, s, "/devboxes/"+v.ID))

		got := run(t, s, v.ID, "pwd; echo $HOME; echo err >&2; exit 3", "")
		assert.Equal(t, "/home/user\n/home/user\n", *got.Stdout)
		assert.Equal(t, "err\n", *got.Stderr)
		assert.EqualValues(t, 3, *got.ExitStatus)

		assert.Contains(t, refused(t, s, 400, "POST", "/devboxes/"+v.ID+"/resume", ""), "not suspended")
		post[runloopapi.SendStdinView](t, s, "/devboxes/"+v.ID+"/write_file_contents", `{"file_path":"kept","contents":"x"}`)
		v = post[runloopapi.DevboxView](t, s, "/devboxes/"+v.ID+"/suspend", "")
		assert.Equal(t, runloopapi.DevboxSuspending, v.Status)
		waitFor(t, s, v.ID, runloopapi.DevboxSuspended)
		assert.Contains(t, refused(t, s, 400, "POST", "/devboxes/"+v.ID+"/suspend", ""), "not running")
		assert.Contains(t, refused(t, s, 400, "POST", "/devboxes/"+v.ID+"/execute_async", `{"command":"true"}`), "suspended, not running")
		v = post[runloopapi.DevboxView](t, s, "/devboxes/"+v.ID+"/resume", "")
		assert.Equal(t, runloopapi.DevboxProvisioning, v.Status)
		waitFor(t, s, v.ID, runloopapi.DevboxRunning)
		assert.Equal(t, "x", *run(t, s, v.ID, "cat kept", "").Stdout)

		for range 2 {
			v = post[runloopapi.DevboxView](t, s, "/devboxes/"+v.ID+"/shutdown", "")
			assert.Equal(t, runloopapi.DevboxShutdown, v.Status)
			assert.Equal(t, runloopapi.ShutdownByAPI, v.ShutdownReason)
			require.NotNil(t, v.EndTime)
		}
		refused(t, s, 400, "POST", "/devboxes/"+v.ID+"/keep_alive", "")
		u := get[runloopapi.DevboxUsageView](t, s, "/devboxes/"+v.ID+"/usage")
		assert.Equal(t, "shutdown", u.Status)
		assert.Equal(t, v.EndTime, u.EndTime)
	})
}

func TestShutdownWhileProvisioning(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		for range 5 {
			v := post[runloopapi.DevboxView](t, s, "/devboxes", `{"launch_parameters":{"launch_commands":["sleep 100"]}}`)
			v = post[runloopapi.DevboxView](t, s, "/devboxes/"+v.ID+"/shutdown", "")
			assert.Equal(t, "shutdown", statuses(v)[len(v.StateTransitions)-1])
			time.Sleep(time.Millisecond) // another moment of its start each time
		}
	})
}

func TestDevboxesThatAreRefused(t *testing.T) {
	s := newStub(t)
	tests := []struct {
		name, params string
		status       int
		message      string
	}{
		{"two sources", `{"blueprint_id":"a","snapshot_id":"b"}`, 400, "only one"},
		{"unknown blueprint", `{"blueprint_name":"a"}`, 400, "no successful build"},
		{"unknown snapshot", `{"snapshot_id":"snp_1"}`, 400, "not found"},
		{"unknown size", `{"launch_parameters":{"resource_size_request":"HUGE"}}`, 400, "HUGE"},
		{"custom size", `{"launch_parameters":{"resource_size_request":"CUSTOM_SIZE","custom_cpu_cores":3,"custom_gb_memory":8}}`, 400, "custom_cpu_cores"},
		{"memory for cpus", `{"launch_parameters":{"resource_size_request":"CUSTOM_SIZE","custom_cpu_cores":2,"custom_gb_memory":2}}`, 400, "GB of memory"},
		{"long keep-alive", `{"launch_parameters":{"keep_alive_time_seconds":172801}}`, 400, "172800"},
		{"idle policy", `{"launch_parameters":{"after_idle":{"idle_time_seconds":0,"on_idle":"shutdown"}}}`, 400, "after_idle"},
		{"two idle policies", `{"launch_parameters":{"after_idle":{"idle_time_seconds":1,"on_idle":"shutdown"},"lifecycle":{"after_idle":{"idle_time_seconds":2,"on_idle":"shutdown"}}}}`, 400, "differ"},
		{"suspend deadline", `{"launch_parameters":{"lifecycle":{"lifecycle_hooks":{"suspend_deadline_ms":60001}}}}`, 400, "60000"},
		{"user", `{"launch_parameters":{"user_parameters":{"username":"a b","uid":1}}}`, 400, "username"},
		{"uid", `{"launch_parameters":{"user_parameters":{"username":"a","uid":-1}}}`, 400, "uid"},
		{"architecture", `{"launch_parameters":{"architecture":"vax"}}`, 400, "vax"},
		{"tier", `{"launch_parameters":{"provisioning_tier":"gold"}}`, 400, "gold"},
		{"services", `{"launch_parameters":{"required_services":["db"]}}`, 501, "services"},
		{"repository connection", `{"repo_connection_id":"x"}`, 501, "repository"},
		{"unknown mount", `{"mounts":[{"type":"moon_mount"}]}`, 400, "moon_mount"},
		{"mount without a path", `{"mounts":[{"type":"file_mount","content":""}]}`, 400, "path"},
		{"code mount", `{"code_mounts":[{"repo_name":"x"}]}`, 400, "repo_owner"},
		{"tunnel", `{"tunnel":{"auth_mode":"closed"}}`, 400, "closed"},
		{"variable", `{"environment_variables":{"a=b":"c"}}`, 400, "Env"},
		{"unknown secret", `{"secrets":{"A":"a"}}`, 400, "no secret"},
		{"unknown policy", `{"launch_parameters":{"network_policy_id":"npol_1"}}`, 400, "network policy"},
		{"unknown gateway", `{"gateways":{"A":{"gateway":"a","secret":"b"}}}`, 400, "no gateway config"},
		{"unknown MCP config", `{"mcp":{"A":{"mcp_config":"a","secret":"b"}}}`, 400, "no MCP config"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Contains(t, refused(t, s, tt.status, "POST", "/devboxes", tt.params), tt.message)
		})
	}
	assert.Empty(t, get[runloopapi.DevboxListView](t, s, "/devboxes").Devboxes)
}

func TestDevboxesThatFail(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		v := post[runloopapi.DevboxView](t, s, "/devboxes/create_and_await_running", `{"launch_parameters":{"launch_commands":["echo starting","exit 3"]}}`)
		assert.Equal(t, runloopapi.DevboxFailure, v.Status)
		assert.Equal(t, runloopapi.DevboxExecutionFailed, v.FailureReason)
		assert.Contains(t, v.StateTransitions[len(v.StateTransitions)-1].FailureReason, "exit status 3")
		assert.NotNil(t, v.EndTime)
		logs := get[runloopapi.DevboxLogsView](t, s, "/devboxes/"+v.ID+"/logs")
		assert.Contains(t, fmt.Sprint(logs), "starting")
	})
}

func TestListsOfDevboxes(t *testing.T) {
	s := newStub(t)
	a := newRunning(t, s, `{"name":"a","metadata":{"k":"1"}}`)
	b := newRunning(t, s, `{"name":"b","metadata":{"k":"2","l":"3"},"launch_parameters":{"provisioning_tier":"flex"}}`)
	assert.Equal(t, "queued", statuses(b)[0])
	post[none](t, s, "/devboxes/"+a.ID+"/shutdown", "")
	ids := func(query string) (ids []string) {
		for _, v := range get[runloopapi.DevboxListView](t, s, "/devboxes?"+query).Devboxes {
			ids = append(ids, v.ID)
		}
		return ids
	}
	assert.Equal(t, []string{b.ID, a.ID}, ids(""))
	assert.Equal(t, []string{b.ID}, ids("status=running"))
	assert.Equal(t, []string{a.ID}, ids("name=a"))
	assert.Equal(t, []string{a.ID}, ids("starting_after="+b.ID))
	assert.Contains(t, refused(t, s, 400, "GET", "/devboxes?status=x", ""), "status")
	assert.Equal(t, map[string][]string{"keys": {"k", "l"}}, get[map[string][]string](t, s, "/devboxes/metadata/keys"))
	assert.Equal(t, map[string]any{"key": "k", "values": []any{"1", "2"}}, get[map[string]any](t, s, "/devboxes/metadata/keys/k/values"))
}

func TestWaitForStatus(t *testing.T) {
	s := newStub(t)
	v := newRunning(t, s, "")
	path := "/devboxes/" + v.ID + "/wait_for_status"
	assert.Contains(t, refused(t, s, 408, "POST", path, `{"statuses":["suspended"],"timeout_seconds":1}`), "running")
	assert.Contains(t, refused(t, s, 400, "POST", path, `{"statuses":["resting"]}`), "resting")
	assert.Contains(t, refused(t, s, 400, "POST", path, `{"statuses":[]}`), "one at least")
	assert.Contains(t, refused(t, s, 400, "POST", path, `{"statuses":["running"],"timeout_seconds":-1}`), "negative")
	refused(t, s, 404, "POST", "/devboxes/"+newID(prefixDevbox)+"/wait_for_status", `{"statuses":["running"]}`)
	refused(t, s, 400, "GET", "/devboxes/dbx_nonexistent12345", "")
}

func TestWhatADevboxStartsWith(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		v := newRunning(t, s, `{
			"environment_variables":{"GREETING":"it's $HOME \"quoted\""},
			"file_mounts":{"/etc/old":"old"},
			"mounts":[{"type":"file_mount","target":"~/new","content":"new"},{"type":"file_mount","target":"rel/file","content":"rel"}],
			"launch_parameters":{"launch_commands":["echo 1 > first","cat first > second"]}}`)
		got := run(t, s, v.ID, `echo "$GREETING"; cat /etc/old ~/new rel/file second`, "")
		assert.Equal(t, "it's $HOME \"quoted\"\noldnewrel1\n", *got.Stdout)
	})
}

func TestUserParameters(t *testing.T) {
	s := newLocal(t)
	v := newRunning(t, s, `{"launch_parameters":{"user_parameters":{"username":"worker","uid":1234}},
		"mounts":[{"type":"file_mount","target":"mine","content":""}]}`)
	got := run(t, s, v.ID, "id -un; id -u; pwd; stat -c %U . mine; echo > written", "")
	assert.Equal(t, "worker\n1234\n/home/worker\nworker\nworker\n", *got.Stdout, *got.Stderr)
	assert.Zero(t, *got.ExitStatus)
	root := newRunning(t, s, `{"launch_parameters":{"user_parameters":{"username":"root","uid":0}}}`)
	assert.Equal(t, "root\n/root\n", *run(t, s, root.ID, "id -un; pwd", "").Stdout)
	bad := post[runloopapi.DevboxView](t, s, "/devboxes/create_and_await_running", `{"launch_parameters":{"user_parameters":{"username":"root","uid":7}}}`)
	assert.Equal(t, runloopapi.DevboxFailure, bad.Status)
}

func TestEntrypoint(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		v := newRunning(t, s, `{"entrypoint":"echo hello; while [ ! -e stop ]; do sleep 0.01; done"}`)
		run(t, s, v.ID, "touch stop", "")
		v = waitFor(t, s, v.ID, runloopapi.DevboxShutdown)
		assert.Equal(t, runloopapi.ShutdownEntrypointExit, v.ShutdownReason)
		assert.Contains(t, fmt.Sprint(get[runloopapi.DevboxLogsView](t, s, "/devboxes/"+v.ID+"/logs")), "hello")
	})
}

func TestSuspendHooks(t *testing.T) {
	s := newLocal(t)
	v := newRunning(t, s, `{"launch_parameters":{"launch_commands":["echo start >> log"],
		"lifecycle":{"lifecycle_hooks":{"suspend_commands":["echo suspend >> log","exit 1"],"suspend_deadline_ms":5000}}}}`)
	x := post[runloopapi.ExecutionView](t, s, "/devboxes/"+v.ID+"/execute_async", `{"command":"sleep 1000"}`)
	post[none](t, s, "/devboxes/"+v.ID+"/suspend", "")
	waitFor(t, s, v.ID, runloopapi.DevboxSuspended)
	x = get[runloopapi.ExecutionView](t, s, "/devboxes/"+v.ID+"/executions/"+x.ExecutionID)
	assert.EqualValues(t, 137, *x.ExitStatus, "no process survives")
	post[none](t, s, "/devboxes/"+v.ID+"/resume", "")
	waitFor(t, s, v.ID, runloopapi.DevboxRunning)
	assert.Equal(t, "start\nsuspend\nstart\n", *run(t, s, v.ID, "cat log", "").Stdout)
}
