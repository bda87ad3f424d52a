package runloopapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// newClient returns a client of a server that knows what the examples need.
func newClient() (*runloopapi.Client, func()) {
	answers := map[string]string{
		"POST /v1/devboxes":                  `{"id":"dbx_1","status":"running"}`,
		"POST /v1/devboxes/dbx_1/shutdown":   `{"id":"dbx_1","status":"shutdown"}`,
		"POST /v1/devboxes/dbx_1/keep_alive": `{}`,
		"GET /v1/devboxes": `{"devboxes":[{"id":"dbx_1","status":"running"},{"id":"dbx_2","status":"suspended"}],
			"has_more":false}`,
		"POST /v1/devboxes/dbx_1/execute": `{"execution_id":"e","status":"completed","exit_status":3,
			"stdout":"hello\n","stderr":""}`,
		"POST /v1/devboxes/dbx_1/execute_async": `{"execution_id":"e","status":"running"}`,
		"POST /v1/devboxes/dbx_1/executions/e/wait_for_status": `{"execution_id":"e","status":"completed","exit_status":0,
			"stdout":"one\ntwo\n","stderr":""}`,
		"GET /v1/devboxes/dbx_1/executions/e": `{"execution_id":"e","status":"completed","exit_status":0,
			"stdout":"one\ntwo\n","stderr":""}`,
		"GET /v1/devboxes/dbx_1/executions/e/stream_stdout_updates": "data: {\"output\":\"one\\n\",\"offset\":4}\n\n" +
			"data: {\"output\":\"two\\n\",\"offset\":8}\n\n",
		"POST /v1/devboxes/dbx_1/upload_file":     `{}`,
		"POST /v1/blueprints":                     `{"id":"bpt_1","status":"queued"}`,
		"GET /v1/blueprints/bpt_1":                `{"id":"bpt_1","name":"app","status":"build_complete"}`,
		"GET /v1/blueprints/bpt_1/logs":           `{"logs":[{"level":"info","message":"COPY . /app"}]}`,
		"POST /v1/objects":                        `{"id":"obj_1","state":"UPLOADING","upload_url":"SERVER/upload"}`,
		"PUT /upload":                             "",
		"POST /v1/objects/obj_1/complete":         `{"id":"obj_1","state":"READ_ONLY"}`,
		"POST /v1/scenarios/start_run":            `{"id":"scr_1","devbox_id":"dbx_1","state":"running"}`,
		"POST /v1/devboxes/dbx_1/wait_for_status": `{"id":"dbx_1","status":"running"}`,
		"GET /v1/scenarios/runs/scr_1": `{"id":"scr_1","devbox_id":"dbx_1","state":"scored",
			"scoring_contract_result":{"score":0.75,"scoring_function_results":[]}}`,
		"POST /v1/scenarios/runs/scr_1/score": `{"id":"scr_1","state":"scoring"}`,
		"POST /v1/scenarios/runs/scr_1/complete": `{"id":"scr_1","state":"completed",
			"scoring_contract_result":{"score":0.75,"scoring_function_results":[]}}`,
		"GET /v1/axons/axn_1/subscribe/sse": "data: {\"sequence\":1,\"event_type\":\"note\",\"payload\":\"begun\"}\n\n" +
			"data: {\"sequence\":2,\"event_type\":\"done\",\"payload\":\"\"}\n\n",
		"POST /v1/devboxes/dbx_1/download_file":        "bytes",
		"POST /v1/devboxes/dbx_1/snapshot_disk_async":  `{"id":"snp_1"}`,
		"GET /v1/devboxes/disk_snapshots/snp_1/status": `{"status":"complete","snapshot":{"id":"snp_1"}}`,
		"GET /v1/devboxes/dbx_1":                       `{"id":"dbx_1","status":"running","tunnel":{"tunnel_key":"k7","auth_mode":"open"}}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			body = `{"message":"no such devbox"}`
		}
		_, _ = io.WriteString(w, strings.ReplaceAll(body, "SERVER", "http://"+r.Host))
	}))
	c, err := runloopapi.New(
		runloopapi.WithAPIKey("ak_example"), runloopapi.WithBaseURL(server.URL),
		runloopapi.WithTunnelDomain("https://tunnel.runloop.ai"),
	)
	if err != nil {
		log.Fatal(err)
	}
	return c, func() {
		_ = c.Close()
		server.Close()
	}
}

func Example() {
	c, done := newClient() // runloopapi.New()
	defer done()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	err := c.WithDevbox(ctx, nil, func(ctx context.Context, d *runloopapi.Devbox) error {
		r, err := d.Exec(ctx, "echo hello; exit 3", nil)
		if err != nil {
			return err
		}
		out, err := r.Stdout(ctx)
		fmt.Print(out)
		fmt.Println("exit code", r.ExitCode())
		return err
	})
	fmt.Println(err)
	// Output:
	// hello
	// exit code 3
	// <nil>
}

func ExampleClient_NewDevbox() {
	c, done := newClient()
	defer done()
	ctx := context.Background()

	d, err := c.NewDevbox(ctx, &runloopapi.DevboxCreateParams{
		Name:                 "builder",
		EnvironmentVariables: map[string]string{"CI": "1"},
		LaunchParameters:     &runloopapi.LaunchParameters{KeepAliveSeconds: 600},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	fmt.Println(d.ID)
	// Output: dbx_1
}

func ExampleDevbox_Exec() {
	c, done := newClient()
	defer done()

	r, err := c.Devbox("dbx_1").Exec(context.Background(), "seq 2", &runloopapi.ExecParams{
		Output: runloopapi.Output{Stdout: os.Stdout}, // while it runs
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Success())
	// Output:
	// one
	// two
	// true
}

func ExampleDevbox_Start() {
	c, done := newClient()
	defer done()
	ctx := context.Background()

	e, err := c.Devbox("dbx_1").Start(ctx, "make", nil)
	if err != nil {
		log.Fatal(err)
	}
	for chunk, err := range e.Stdout(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q up to byte %d\n", chunk.Output, chunk.Offset)
	}
	r, err := e.Wait(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.ExitCode())
	// Output:
	// "one\n" up to byte 4
	// "two\n" up to byte 8
	// 0
}

// The directory and the user of one command.
func ExampleExecParams() {
	c, done := newClient()
	defer done()

	r, err := c.Devbox("dbx_1").Exec(context.Background(), "make install", &runloopapi.ExecParams{Dir: "/app", User: "root"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.ExitCode())
	// Output: 3
}

// A shell keeps its directory and variables from command to command.
func ExampleDevbox_Shell() {
	c, done := newClient()
	defer done()
	ctx := context.Background()

	shell := c.Devbox("dbx_1").Shell("build")
	for _, command := range []string{"cd /app", "export CI=1", "make"} {
		r, err := shell.Exec(ctx, command, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(command, r.ExitCode())
	}
	// Output:
	// cd /app 3
	// export CI=1 3
	// make 3
}

func ExampleInDir() {
	fmt.Println(runloopapi.InDir("/app", "make; make install"))
	// Output: __dir=$PWD; cd -- '/app' && eval 'make; make install'; __code=$?; cd -- "$__dir"; (exit $__code)
}

func ExampleDevbox_Upload() {
	c, done := newClient()
	defer done()
	ctx := context.Background()
	d := c.Devbox("dbx_1")

	if err := d.Upload(ctx, "data/input.bin", strings.NewReader("bytes")); err != nil {
		log.Fatal(err)
	}
	f, err := d.Download(ctx, "data/input.bin")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	_, _ = io.Copy(os.Stdout, f)
	// Output: bytes
}

func ExampleDevbox_Snapshot() {
	c, done := newClient()
	defer done()
	ctx := context.Background()

	s, err := c.Devbox("dbx_1").Snapshot(ctx, &runloopapi.SnapshotCreateParams{Name: "before the upgrade"})
	if err != nil {
		log.Fatal(err)
	}
	d, err := s.NewDevbox(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	fmt.Println(s.ID, d.ID)
	// Output: snp_1 dbx_1
}

func ExampleDevbox_TunnelURL() {
	c, done := newClient()
	defer done()

	u, err := c.Devbox("dbx_1").TunnelURL(context.Background(), 8080)
	fmt.Println(u, err)
	// Output: https://8080-k7.tunnel.runloop.ai <nil>
}

func ExampleDevboxService_List() {
	c, done := newClient()
	defer done()

	for d, err := range c.Devboxes.List(context.Background(), nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(d.ID, d.Status)
	}
	// Output:
	// dbx_1 running
	// dbx_2 suspended
}

func ExampleError() {
	c, done := newClient()
	defer done()

	_, err := c.Devboxes.Get(context.Background(), "dbx_9")
	if errors.Is(err, runloopapi.ErrNotFound) {
		fmt.Println(err)
	}
	// Output: runloop: GET /v1/devboxes/dbx_9: 404 no such devbox
}

func ExampleWithRequestTimeout() {
	c, done := newClient()
	defer done()

	err := c.Devboxes.KeepAlive(context.Background(), "dbx_1",
		runloopapi.WithRequestTimeout(5*time.Second), runloopapi.WithRequestRetries(1))
	fmt.Println(err)
	// Output: <nil>
}
