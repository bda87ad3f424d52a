package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// login signs in and returns the session's cookie, nil if refused.
func login(t *testing.T, srv *httptest.Server, user, password string) *http.Cookie {
	t.Helper()
	form := strings.NewReader(url.Values{"user": {user}, "password": {password}}.Encode())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/login", form)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, c := range resp.Cookies() {
		if c.HttpOnly && c.SameSite == http.SameSiteLaxMode {
			return c
		}
	}
	return nil
}

// post makes a request with a session, as a page of an origin does.
func post(t *testing.T, srv *httptest.Server, session *http.Cookie, path, origin, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if req.Header.Set("Origin", origin); session != nil {
		req.AddCookie(session)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func call(t *testing.T, srv *httptest.Server, session *http.Cookie, body string) (int, *compute.Response) {
	t.Helper()
	resp := post(t, srv, session, "/api/compute", srv.URL, body)
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
	srv := httptest.NewServer(routes(c, map[string]string{"ann": "ann's", "bob": "bob's"}, false))
	defer srv.Close()
	ann, bob := login(t, srv, "ann", "ann's"), login(t, srv, "bob", "bob's")
	if ann == nil || bob == nil || login(t, srv, "ann", "guess") != nil || login(t, srv, "eve", "") != nil {
		t.Fatal("the wrong people are in")
	}
	status, created := call(t, srv, ann, `{"action":"compute.sandbox.create"}`)
	if status != http.StatusOK {
		t.Fatal(status, created.Error)
	}
	for _, tt := range []struct {
		name    string
		session *http.Cookie
		request string
		status  int
		check   func(*compute.Response) bool
	}{
		{"no session", nil, `"getInfo"`, 401, nil},
		{"another's", bob, `"runCommand","command":"id"`, 404, nil},
		{"another's end", bob, `"destroy"`, 200, nil},
		{"run", ann, `"runCommand","command":"echo","args":["hi"]`, 200, func(r *compute.Response) bool { return r.Result.Stdout == "hi\n" }},
		{"write", ann, `"filesystem.writeFile","path":"/a","content":"x"`, 200, nil},
		{"read", ann, `"filesystem.readFile","path":"/a"`, 200, func(r *compute.Response) bool { return *r.FileContent == "x" }},
		{"destroy", ann, `"destroy"`, 200, nil},
		{"gone", ann, `"getInfo"`, 404, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := `{"sandboxId":"` + created.SandboxID + `","action":` + strings.Replace(tt.request, `"`, `"compute.sandbox.`, 1) + `}`
			status, answer := call(t, srv, tt.session, body)
			if status != tt.status || tt.check != nil && !tt.check(answer) {
				t.Errorf("status %d, want %d: %+v", status, tt.status, answer)
			}
		})
	}
}

// TestForgery has another site's page use ann's cookie, and ann sign out.
func TestForgery(t *testing.T) {
	c := stub.New(stub.Config{})
	defer c.Close()
	srv := httptest.NewServer(routes(c, map[string]string{"ann": "ann's"}, false))
	defer srv.Close()
	ann := login(t, srv, "ann", "ann's")
	const create = `{"action":"compute.sandbox.create"}`
	for _, tt := range []struct {
		path, origin, body string
		status             int
	}{
		{"/api/compute", "https://evil.example", create, http.StatusForbidden},
		{"/api/compute", "null", create, http.StatusForbidden},
		{"/logout", "https://evil.example", "", http.StatusForbidden},
		{"/api/compute", srv.URL, create, http.StatusOK},
		{"/logout", srv.URL, "", http.StatusNoContent},
		{"/api/compute", srv.URL, create, http.StatusUnauthorized},
	} {
		resp := post(t, srv, ann, tt.path, tt.origin, tt.body)
		_ = resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("%s from %s: status %d, want %d", tt.path, tt.origin, resp.StatusCode, tt.status)
		}
	}
}
