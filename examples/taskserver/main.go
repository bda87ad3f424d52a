// Taskserver starts a web server in a sandbox, waits until it answers, and uses
// its API through the URL of its port.
//
//	go run ./examples/taskserver
//	go run ./examples/taskserver -keep 10m    # and look at it in a browser
//
// The server needs Node and no packages; without Node it says so.
package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/computekit/compute"

	_ "github.com/computekit/compute/providers/local"
)

//go:embed server.js
var server []byte

const port = 8080

func main() {
	keep := flag.Duration("keep", 0, "how long to leave the server running")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, cmp.Or(os.Getenv("COMPUTE_URL"), "local://"), *keep, os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string, keep time.Duration, out io.Writer) (err error) {
	c, err := compute.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, compute.Close(c)) }()
	opts := &compute.CreateSandboxOptions{Ports: []int{port}, Env: map[string]string{"PORT": fmt.Sprint(port)}}
	return compute.WithSandbox(ctx, c, opts, func(ctx context.Context, sb compute.Sandbox) error {
		node, err := sb.RunCommand(ctx, compute.Exec("node", "--version"))
		if err != nil {
			return err
		}
		if node.ExitCode == 127 {
			fmt.Fprintln(out, "the sandbox has no node: nothing to show")
			return nil
		}
		base, err := start(ctx, sb)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "serving at %s with Node %s", base, node.Stdout)
		if err := use(ctx, base, out); err != nil {
			return err
		}
		return linger(ctx, keep)
	})
}

// start runs the server in the background and returns its URL once it answers.
func start(ctx context.Context, sb compute.Sandbox) (string, error) {
	if err := sb.Filesystem().WriteFile(ctx, "/app/server.js", server, 0o644); err != nil {
		return "", err
	}
	p, err := compute.Start(ctx, sb, &compute.Command{Args: []string{"node", "server.js"}, Dir: "/app"})
	if err != nil {
		return "", err
	}
	base, err := sb.GetURL(ctx, port)
	if err != nil {
		return "", err
	}
	return base, answers(ctx, p, base)
}

// answers waits for the server's first answer, as long as it runs.
func answers(ctx context.Context, p compute.Process, base string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		var index any
		err := call(ctx, http.MethodGet, base+"/", nil, &index)
		if err == nil {
			return nil
		}
		info, perr := p.Info(ctx)
		if perr != nil {
			return errors.Join(err, perr)
		}
		if !info.Running {
			res, err := p.Wait(ctx)
			if err != nil {
				return err
			}
			return fmt.Errorf("the server has ended with exit code %d: %s", res.ExitCode, res.Stderr)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

type task struct {
	ID       int    `json:"id,omitempty"`
	Title    string `json:"title"`
	Priority string `json:"priority,omitempty"`
	Done     bool   `json:"done"`
}

// use makes, changes, lists and deletes tasks.
func use(ctx context.Context, base string, out io.Writer) error {
	var made task
	if err := call(ctx, http.MethodPost, base+"/tasks", task{Title: "water the plants", Priority: "high"}, &made); err != nil {
		return err
	}
	fmt.Fprintf(out, "made task %d: %s\n", made.ID, made.Title)
	made.Done = true
	where := fmt.Sprintf("%s/tasks/%d", base, made.ID)
	if err := call(ctx, http.MethodPut, where, made, &made); err != nil {
		return err
	}
	var all []task
	if err := call(ctx, http.MethodGet, base+"/tasks?priority=high", nil, &all); err != nil {
		return err
	}
	for _, t := range all {
		fmt.Fprintf(out, "  %d %-20s done: %v\n", t.ID, t.Title, t.Done)
	}
	if err := call(ctx, http.MethodDelete, where, nil, nil); err != nil {
		return err
	}
	err := call(ctx, http.MethodGet, where, nil, &made)
	fmt.Fprintf(out, "deleted it; asking for it again says %q\n", err)
	err = call(ctx, http.MethodPost, base+"/tasks", task{}, &made)
	fmt.Fprintf(out, "a task without a title says %q\n", err)
	return nil
}

func call(ctx context.Context, method, url string, in, result any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, &body)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(answer)))
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer, result)
}

func linger(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return nil
}
