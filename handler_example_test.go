package compute_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// Mounting the handler takes a line, and the answer to who may do what.
func ExampleNewHandler() {
	mux := http.NewServeMux()
	mux.Handle("/api/compute", compute.NewHandler(stub.New(stub.Config{}), compute.HandlerOptions{
		Authorize: func(r *http.Request, req *compute.Request) error {
			if r.Header.Get("Authorization") != "Bearer token" { // with a real one, compare in constant time
				return compute.ErrUnauthorized
			}
			if req.Action != "compute.sandbox.create" {
				return compute.ErrForbidden
			}
			return nil
		},
	}))
	srv := httptest.NewServer(mux)
	defer srv.Close()

	for _, token := range []string{"token", "guess"} {
		req, _ := http.NewRequest(http.MethodPost, srv.URL+"/api/compute", strings.NewReader(`{"action":"compute.sandbox.create"}`))
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%d %s\n", resp.StatusCode, body)
	}
	// Output:
	// 200 {"success":true,"provider":"stub","sandboxId":"sbx_0001"}
	// 401 {"success":false,"error":"refused","code":"unauthorized","provider":"stub","sandboxId":""}
}

// Without net/http, the same in one function.
func ExampleHandleRequest() {
	ctx, c := context.Background(), stub.New(stub.Config{})
	created := compute.HandleRequest(ctx, c, &compute.Request{Action: "compute.sandbox.create"})
	ran := compute.HandleRequest(ctx, c, &compute.Request{
		Action: "compute.sandbox.runCommand", SandboxID: created.SandboxID, Command: "echo", Args: []string{"hello"},
	})
	fmt.Printf("%d %q\n", ran.Status, ran.Result.Stdout)
	// Output: 200 "hello\n"
}
