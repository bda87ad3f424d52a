package remote_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/remote"
	"github.com/computekit/compute/providers/stub"
)

// A server offers its sandboxes to those who have a token, and a client uses
// them as if they were its own.
func Example() {
	handler := compute.NewHandler(stub.New(stub.Config{}), compute.HandlerOptions{
		Authorize: func(r *http.Request, _ *compute.Request) error {
			if r.Header.Get("Authorization") != "Bearer token-of-alice" {
				return compute.ErrUnauthorized
			}
			return nil
		},
	})
	server := httptest.NewServer(handler)
	defer server.Close()

	ctx := context.Background()
	c, err := remote.New(ctx, remote.Config{
		URL: server.URL,
		Header: func(_ context.Context, header http.Header) error {
			header.Set("Authorization", "Bearer token-of-alice")
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer compute.Close(c)

	err = compute.WithSandbox(ctx, c, nil, func(ctx context.Context, sb compute.Sandbox) error {
		res, err := sb.RunCommand(ctx, compute.Shell("echo hello from afar; exit 3"))
		if err != nil {
			return err
		}
		fmt.Print(res.Stdout)
		return res.Err()
	})
	if exit, ok := errors.AsType[*compute.ExitError](err); ok {
		fmt.Println("exit code", exit.ExitCode)
	}
	// Output:
	// hello from afar
	// exit code 3
}
