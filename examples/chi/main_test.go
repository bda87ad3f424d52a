package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// call makes a request as whoever has a token.
func call(t *testing.T, srv *httptest.Server, token, body string) (int, *compute.Response) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/api/compute", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer := &compute.Response{}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// TestRoutes is one story: ann has a sandbox, and bob wants it.
func TestRoutes(t *testing.T) {
	c := stub.New(stub.Config{})
	defer c.Close()
	srv := httptest.NewServer(routes(c, map[string]string{"ann's": "ann", "bob's": "bob"}))
	defer srv.Close()
	status, created := call(t, srv, "ann's", `{"action":"compute.sandbox.create"}`)
	if status != http.StatusOK {
		t.Fatal(status, created.Error)
	}
	for _, tt := range []struct {
		name, token, request string
		status               int
		check                func(*compute.Response) bool
	}{
		{"no token", "", `"getInfo"`, 401, nil},
		{"another's", "bob's", `"runCommand","command":"id"`, 404, nil},
		{"another's end", "bob's", `"destroy"`, 200, nil},
		{"run", "ann's", `"runCommand","command":"echo","args":["hi"]`, 200, func(r *compute.Response) bool { return r.Result.Stdout == "hi\n" }},
		{"write", "ann's", `"filesystem.writeFile","path":"/a","content":"x"`, 200, nil},
		{"read", "ann's", `"filesystem.readFile","path":"/a"`, 200, func(r *compute.Response) bool { return *r.FileContent == "x" }},
		{"destroy", "ann's", `"destroy"`, 200, nil},
		{"gone", "ann's", `"getInfo"`, 404, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := `{"sandboxId":"` + created.SandboxID + `","action":` + strings.Replace(tt.request, `"`, `"compute.sandbox.`, 1) + `}`
			status, answer := call(t, srv, tt.token, body)
			if status != tt.status || tt.check != nil && !tt.check(answer) {
				t.Errorf("status %d, want %d: %+v", status, tt.status, answer)
			}
		})
	}
}
