package runloop_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/runloop/runlooptest"
	"github.com/computekit/compute/providers/stub"
)

// The key comes from the environment's RUNLOOP_API_KEY.
func Example() {
	c, err := runloop.New(runloop.Config{Lifetime: 30 * time.Minute})
	if err != nil {
		log.Print(err)
		return
	}
	defer compute.Close(c)
	err = compute.WithSandbox(context.Background(), c, nil, func(ctx context.Context, sb compute.Sandbox) error {
		out, err := compute.Output(ctx, sb, compute.Shell("uname -s"))
		fmt.Print(out)
		return err
	})
	if err != nil {
		log.Print(err)
	}
}

// Settings that only Runloop knows travel in Extra.
func ExampleCreateOptions() {
	opts := &compute.CreateSandboxOptions{
		Name: "agent",
		Extra: []compute.ProviderOptions{runloop.CreateOptions{
			Secrets: map[string]string{"GITHUB_TOKEN": "my-github-token"},
			Launch: runloopapi.LaunchParameters{
				LaunchCommands: []string{"npm ci"},
				AfterIdle:      &runloopapi.IdlePolicy{IdleSeconds: 600, OnIdle: runloopapi.IdleSuspend},
			},
			Mounts: []runloopapi.Mount{{File: &runloopapi.FileMount{Target: "/home/user/.npmrc", Content: "fund=false"}}},
		}},
	}
	fmt.Println(opts.Validate())
	// Output: <nil>
}

// The way down to what only Runloop has, here in front of an emulator.
func ExampleSandbox_Devbox() {
	emulator, err := runlooptest.New(runlooptest.WithBackend(stub.New(stub.Config{})))
	if err != nil {
		log.Print(err)
		return
	}
	defer emulator.Close()
	server := httptest.NewServer(emulator)
	defer server.Close()
	c, err := runloop.New(runloop.Config{APIKey: emulator.APIKey(), BaseURL: server.URL})
	if err != nil {
		log.Print(err)
		return
	}
	defer compute.Close(c)

	err = compute.WithSandbox(context.Background(), c, nil, func(ctx context.Context, sb compute.Sandbox) error {
		box, _ := compute.As[*runloop.Sandbox](sb)
		view, err := box.Devbox().Info(ctx)
		if err == nil {
			fmt.Println(view.Status, view.InitiatorType)
		}
		return err
	})
	if err != nil {
		log.Print(err)
	}
	// Output: running api
}
