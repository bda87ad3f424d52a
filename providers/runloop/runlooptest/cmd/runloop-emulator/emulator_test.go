package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// emulator is the command, serving on the provider local.
type emulator struct {
	t      *testing.T
	url    string
	client *http.Client
}

// start runs the command until the test ends, or skips the test where there are
// no sandboxes.
func start(t *testing.T, args ...string) *emulator {
	t.Setenv("RUNLOOP_API_KEY", "ak_mine")
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- run(ctx, args, w)
		w.Close()
	}()
	e := &emulator{t: t, client: &http.Client{Transport: &http.Transport{}}}
	for lines := bufio.NewScanner(r); e.url == "" && lines.Scan(); {
		_, e.url, _ = strings.Cut(lines.Text(), "RUNLOOP_BASE_URL=")
	}
	if e.url == "" {
		cancel()
		err := <-served
		if os.Getenv("COMPUTE_TEST_REQUIRE") == "local" {
			require.NoError(t, err)
		}
		t.Skip("the provider local cannot be used here: ", err)
	}
	t.Cleanup(func() {
		e.client.CloseIdleConnections()
		cancel()
		assert.NoError(t, <-served)
	})
	return e
}

// post makes a request and decodes the answer.
func (e *emulator) post(path string, body any, out any) {
	e.t.Helper()
	data, err := json.Marshal(body)
	require.NoError(e.t, err)
	e.ask(http.MethodPost, path, bytes.NewReader(data), out)
}

func (e *emulator) ask(method, path string, body io.Reader, out any) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), method, e.url+path, body)
	require.NoError(e.t, err)
	req.Header.Set("Authorization", "Bearer ak_mine")
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.client.Do(req)
	require.NoError(e.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(e.t, err)
	require.Equal(e.t, http.StatusOK, resp.StatusCode, "%s %s: %s", method, path, data)
	require.NoError(e.t, json.Unmarshal(data, out))
}

type object = map[string]any

// run runs a command in a new devbox.
func (e *emulator) run(params object, command string) string {
	e.t.Helper()
	var box struct{ ID string }
	e.post("/v1/devboxes/create_and_await_running", params, &box)
	var res struct {
		Stdout, Stderr string
		Status         int `json:"exit_status"`
	}
	e.post("/v1/devboxes/"+box.ID+"/execute_sync", object{"command": command}, &res)
	require.Zero(e.t, res.Status, res.Stderr)
	return res.Stdout
}

// build builds a blueprint, which must end with a status.
func (e *emulator) build(params object, status string) (id string) {
	e.t.Helper()
	var b struct{ ID, Status string }
	e.post("/v1/blueprints", params, &b)
	require.Eventually(e.t, func() bool {
		e.ask(http.MethodGet, "/v1/blueprints/"+b.ID, http.NoBody, &b)
		return b.Status == "build_complete" || b.Status == "failed"
	}, time.Minute, 20*time.Millisecond)
	require.Equal(e.t, status, b.Status)
	return b.ID
}

func TestLocal(t *testing.T) {
	e := start(t, "-image", "ubuntu:22.04")
	e.post("/v1/secrets", object{"name": "REAL", "value": "hidden-4711"}, &object{})
	e.post("/v1/secrets", object{"name": "KEY", "value": "ak_mine"}, &object{})
	t.Run("gateway", e.testGateway)
	t.Run("images", e.testImages)
	t.Run("secrets", e.testBuildSecrets)
}

// A devbox reaches gateways at the emulator without a flag that says where.
func (e emulator) testGateway(t *testing.T) {
	e.t = t
	var config struct{ ID string }
	e.post("/v1/gateway-configs", object{"name": "self", "endpoint": e.url, "auth_mechanism": object{"type": "bearer"}}, &config)
	gateways := object{"SELF": object{"gateway": config.ID, "secret": "KEY"}}
	ask := `curl -sS --max-time 20 -H "Authorization: Bearer $SELF" "$SELF_URL/v1/secrets"`
	assert.Contains(t, e.run(object{"gateways": gateways}, ask), `"name":"KEY"`)

	var policy struct{ ID string }
	e.post("/v1/network-policies", object{"name": "all", "allow_all": true}, &policy)
	launch := object{"network_policy_id": policy.ID}
	assert.Contains(t, e.run(object{"gateways": gateways, "launch_parameters": launch}, ask), `"name":"KEY"`, "what allows all allows gateways")
}

// Dockerfiles start from Runloop's own images, and from those that were named.
func (e emulator) testImages(t *testing.T) {
	e.t = t
	for _, image := range []string{"ubuntu:22.04", "runloop:runloop/starter-x86_64"} {
		id := e.build(object{"name": "b", "dockerfile": "FROM " + image + "\nRUN echo built > /built\n"}, "build_complete")
		assert.Equal(t, "built\n", e.run(object{"blueprint_id": id}, "cat /built"))
	}
	e.build(object{"name": "b", "dockerfile": "FROM debian\nRUN true\n"}, "failed")
}

// Secrets are there while a blueprint is built, and not in what is built.
func (e emulator) testBuildSecrets(t *testing.T) {
	e.t = t
	base := e.build(object{"name": "b", "secrets": object{"TOKEN": "REAL"}, "dockerfile": `FROM host
ARG UNUSED
ARG TOKEN
RUN test "$TOKEN" = hidden-4711
RUN --mount=type=secret,id=TOKEN test "$(cat /run/secrets/TOKEN)" = hidden-4711 && touch /seen
`}, "build_complete")
	look := `ls /seen; echo "[$TOKEN]"; ls /run/secrets 2>/dev/null; true`
	assert.Equal(t, "/seen\n[]\n", e.run(object{"blueprint_id": base}, look))
	onIt := e.build(object{"name": "c", "base_blueprint_id": base}, "build_complete")
	assert.Equal(t, "/seen\n[]\n", e.run(object{"blueprint_id": onIt}, look))

	var policy struct{ ID string }
	e.post("/v1/network-policies", object{"name": "none"}, &policy)
	e.build(object{"name": "d", "network_policy_id": policy.ID, "dockerfile": "FROM host\nRUN true\n"}, "build_complete")
}

// What an emulator leaves that is killed, the next one gives up.
func TestKilled(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("RUNLOOP_API_KEY", "ak_mine")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), beTheCommand+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	other := &emulator{t: t, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	for lines := bufio.NewScanner(out); other.url == "" && lines.Scan(); {
		_, other.url, _ = strings.Cut(lines.Text(), "RUNLOOP_BASE_URL=")
	}
	if other.url == "" {
		t.Skip("the provider local cannot be used here: ", cmd.Wait())
	}
	other.run(object{}, "true")
	kept, err := filepath.Glob(filepath.Join(os.TempDir(), tempPattern))
	require.NoError(t, err)
	require.Len(t, kept, 1)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.DirExists(t, kept[0])

	start(t)
	assert.NoDirExists(t, kept[0])
}
