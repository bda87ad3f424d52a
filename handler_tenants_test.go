package compute_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// tenancy makes each token a tenant.
var tenancy = compute.HandlerOptions{
	Authorize: compute.AllowAll,
	OpenAPI:   true,
	Owner: func(r *http.Request, _ *compute.Request) (string, error) {
		if r.Header.Get("Authorization") == "nobody" {
			return "", errors.New("s3cret")
		}
		return r.Header.Get("Authorization"), nil
	},
}

// world is what a tenant has, or what nobody has.
type world struct{ sandbox, process, template, snapshot, volume string }

var nowhere = world{"no-sandbox", "no-process", "no-template", "no-snapshot", "no-volume"}

const hersAlone = "s3cret of alice"

func (f *far) settle() (w world) {
	w.sandbox = f.do(compute.Request{Action: "compute.sandbox.create", UndoKey: "hers", Options: compute.RequestOptions{Name: hersAlone}}).SandboxID
	w.process = f.do(compute.Request{Action: "compute.sandbox.terminal.create", SandboxID: w.sandbox,
		TerminalOptions: compute.TerminalOptions{Command: "cat # " + hersAlone}}).Terminal.TerminalID
	f.do(compute.Request{Action: "compute.sandbox.filesystem.writeFile", SandboxID: w.sandbox, Path: "/tmp/f", Content: new(hersAlone)})
	w.template = f.do(compute.Request{Action: "compute.template.create", Options: compute.RequestOptions{Name: "hers", Metadata: map[string]string{"k": hersAlone}}}).Template.ID
	w.snapshot = f.do(compute.Request{Action: "compute.snapshot.create", SandboxID: w.sandbox, Options: compute.RequestOptions{Name: hersAlone}}).Snapshot.ID
	w.volume = f.do(compute.Request{Action: "compute.volume.create", Options: compute.RequestOptions{Name: hersAlone}}).Volume.ID
	return w
}

// request asks for the action with every field that any action needs.
func (w world) request(action string) compute.Request {
	req := compute.Request{Action: action, SandboxID: w.sandbox, ProcessID: w.process, TerminalID: w.process,
		ID: w.template, Shell: "sh", Signal: compute.SIGWINCH, Cols: 5, Rows: 5, Data: compute.Data("x"), Code: "1", Command: "echo hi",
		Path: "/tmp/f", NewPath: "/tmp/g", Old: "alice", New: "bob", Content: new("new"), Port: 80, Status: []compute.Status{compute.StatusRunning},
		Options: compute.RequestOptions{Name: "n", Timeout: 60_000}}
	switch {
	case action == "compute.undo":
		req.UndoKey = "hers"
	case action == "compute.cancel":
		req.CancelKey = "none"
	case strings.HasPrefix(action, "compute.snapshot."), strings.HasSuffix(action, ".rollback"):
		req.ID = w.snapshot
	case strings.HasPrefix(action, "compute.volume."):
		req.ID = w.volume
	case action == "compute.sandbox.create":
		req.Options.TemplateID = w.template
	case strings.HasSuffix(action, ".wait"), strings.HasSuffix(action, ".output"):
		req.Options.Timeout = 50
	case strings.HasSuffix(action, "dir"), strings.HasSuffix(action, ".watch"), strings.Contains(action, ".archive."):
		req.Path = "/tmp"
	}
	return req
}

func (w world) query(action string) string {
	req, err := json.Marshal(w.request(action))
	if err != nil {
		panic(err)
	}
	return "?" + url.Values{"action": {action}, "request": {string(req)}}.Encode()
}

// as makes an answer about one world one about another.
func (w world) as(o world, answer string) string {
	return strings.NewReplacer(w.sandbox, o.sandbox, w.process, o.process, w.template, o.template,
		w.snapshot, o.snapshot, w.volume, o.volume).Replace(answer)
}

// outcome is all that a client sees of an answer.
type outcome struct {
	status int
	body   string
}

func (f *far) outcome(method, action string, w world, accept string) outcome {
	query, body := "", io.Reader(nil)
	if method == http.MethodPost {
		data, err := json.Marshal(w.request(action))
		require.NoError(f.t, err)
		body = bytes.NewReader(data)
	} else {
		query = w.query(action)
	}
	if method == http.MethodPut {
		body = bytes.NewReader(make([]byte, 1024)) // an empty archive, too
	}
	resp := f.send(method, query, body, "Accept", accept)
	if resp.header.Get("Content-Type") == "text/event-stream" && !strings.Contains(action, ".process.") {
		return outcome{resp.status, "events"} // which have no end
	}
	data, err := io.ReadAll(resp.body)
	require.NoError(f.t, err)
	return outcome{resp.status, string(data)}
}

// fingerprint is Alice's world as she sees it.
func (f *far) fingerprint(w world) string {
	var all []string
	for _, req := range []compute.Request{
		{Action: "compute.sandbox.list"}, {Action: "compute.sandbox.getInfo", SandboxID: w.sandbox},
		{Action: "compute.sandbox.process.list", SandboxID: w.sandbox}, {Action: "compute.sandbox.filesystem.readdir", SandboxID: w.sandbox, Path: "/tmp"},
		{Action: "compute.sandbox.filesystem.readFile", SandboxID: w.sandbox, Path: "/tmp/f"}, {Action: "compute.sandbox.url.list", SandboxID: w.sandbox},
		{Action: "compute.template.list"}, {Action: "compute.snapshot.list"}, {Action: "compute.volume.list"},
	} {
		data, err := json.Marshal(f.do(req))
		require.NoError(f.t, err)
		all = append(all, string(data))
	}
	return strings.Join(all, "\n")
}

// described returns the actions of each method by the OpenAPI document.
func described(t *testing.T) map[string][]string {
	type schema struct{ Enum []string }
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name   string
				Schema schema
			}
		}
		Components struct {
			Schemas map[string]struct{ Properties map[string]schema }
		}
	}
	require.NoError(t, json.Unmarshal(compute.OpenAPI(), &doc))
	names := map[string][]string{http.MethodPost: doc.Components.Schemas["Request"].Properties["action"].Enum}
	for method, op := range doc.Paths["/"] {
		for _, p := range op.Parameters {
			if p.Name == "action" {
				names[strings.ToUpper(method)] = p.Schema.Enum
			}
		}
	}
	return names
}

// TestTenants lets a second tenant try every action there is on what the first
// has. Each must be answered like the same on what nobody has, after as many
// calls of the provider, and change nothing. An action that is added without
// scoping fails here.
func TestTenants(t *testing.T) {
	tries := everyTry(t)
	own := []string{"compute.template.create", "compute.volume.create"} // these name nothing of others
	for _, try := range tries {
		t.Run(try.method+" "+try.action+" "+try.accept, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			c := compute.Intercept(stub.New(stub.Config{}), func(ctx context.Context, _ compute.Op, next func(context.Context) error) error {
				calls.Add(1)
				return next(ctx)
			})
			f := newFarOver(t, c, tenancy, nil)
			alice, bob := f.as("alice"), f.as("bob")
			hers := alice.settle()
			before := alice.fingerprint(hers)

			calls.Store(0)
			real := bob.outcome(try.method, try.action, hers, try.accept)
			work := calls.Swap(0)
			none := bob.outcome(try.method, try.action, nowhere, try.accept)
			require.NotContains(t, real.body, hersAlone)
			require.NotContains(t, real.body, "compute.owner")
			if !slices.Contains(own, try.action) {
				require.Equal(t, nowhere.as(hers, none.body), real.body)
				require.Equal(t, none.status, real.status)
				require.Equal(t, calls.Load(), work, "the work tells what there is")
			}
			require.Equal(t, before, alice.fingerprint(hers))

			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if try.action == "compute.cancel" { // of which TestCancel has good ones
				return
			}
			require.NotContains(t, []int{400, 403, 404, 405, 500}, alice.status(ctx, try.method, try.action, hers, try.accept),
				"the request was not a good one")
		})
	}
}

// The time that it takes does not tell either, whatever is asked: here the
// provider is slow to describe what there is, each operation by a time of its
// own, and quick to say that there is nothing.
func TestTenantsInTime(t *testing.T) {
	for _, try := range everyTry(t) {
		if try.action == "compute.undo" || try.action == "compute.cancel" { // a key names nothing of the provider's
			continue
		}
		t.Run(try.method+" "+try.action+" "+try.accept, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hers world
				c := compute.Intercept(stub.New(stub.Config{}), func(ctx context.Context, op compute.Op, next func(context.Context) error) error {
					err := next(ctx)
					if time.Sleep(time.Millisecond); err == nil {
						time.Sleep(time.Duration(len(op.Name)) * 7 * time.Millisecond)
					}
					return err
				})
				defer func() { require.NoError(t, compute.Close(c)) }()
				h := compute.NewHandler(c, tenancy)
				ask := func(owner, method, action, accept string, w world) (*httptest.ResponseRecorder, time.Duration) {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					r := httptest.NewRequestWithContext(ctx, method, "/"+w.query(action), bytes.NewReader(make([]byte, 1024)))
					if method == http.MethodPost {
						r = httptest.NewRequestWithContext(ctx, method, "/", strings.NewReader(jsonOf(w.request(action))))
					}
					r.Header.Set("Authorization", owner)
					r.Header.Set("Accept", accept)
					out := httptest.NewRecorder()
					begun := time.Now()
					func() {
						defer func() { _ = recover() }() // a download that breaks off
						h.ServeHTTP(out, r)
					}()
					return out, time.Since(begun)
				}
				answer := func(body string) (resp compute.Response) {
					w := post(h, body, "Authorization", "alice")
					require.Equal(t, http.StatusOK, w.Code, w.Body)
					require.NoError(t, json.Unmarshal(w.Body.Bytes(), &resp))
					return resp
				}
				hers.sandbox = answer(`{"action":"compute.sandbox.create"}`).SandboxID
				hers.process = answer(jsonOf(compute.Request{Action: "compute.sandbox.terminal.create", SandboxID: hers.sandbox,
					TerminalOptions: compute.TerminalOptions{Command: "cat"}})).Terminal.TerminalID
				hers.template = answer(`{"action":"compute.template.create","options":{"name":"hers"}}`).Template.ID
				hers.snapshot = answer(jsonOf(compute.Request{Action: "compute.snapshot.create", SandboxID: hers.sandbox})).Snapshot.ID
				hers.volume = answer(`{"action":"compute.volume.create","options":{"name":"hers"}}`).Volume.ID
				for action, id := range map[string]string{"template.get": hers.template, "snapshot.get": hers.snapshot, "volume.get": hers.volume} {
					answer(jsonOf(compute.Request{Action: "compute." + action, ID: id})) // she uses what she has
				}
				_, none := ask("bob", try.method, try.action, try.accept, nowhere)
				out, real := ask("bob", try.method, try.action, try.accept, hers)
				_, again := ask("bob", try.method, try.action, try.accept, nowhere)
				require.Equal(t, none, real, out.Body)
				require.Equal(t, none, again)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		h := compute.NewHandler(stub.New(stub.Config{}), tenancy)
		require.Equal(t, http.StatusOK, post(h, `{"action":"compute.sandbox.create"}`, "Authorization", "alice").Code)
		begun := time.Now()
		require.Equal(t, http.StatusOK, post(h, `{"action":"compute.sandbox.getInfo","sandboxId":"sbx_0001"}`, "Authorization", "alice").Code)
		require.Less(t, time.Since(begun), 50*time.Millisecond, "one's own")
	})
}

// status asks without waiting for the end of the answer.
func (f *far) status(ctx context.Context, method, action string, w world, accept string) int {
	query, body := w.query(action), []byte(nil)
	switch method {
	case http.MethodPost:
		query = ""
		var err error
		body, err = json.Marshal(w.request(action))
		require.NoError(f.t, err)
	case http.MethodPut:
		body = make([]byte, 1024)
	}
	r, err := http.NewRequestWithContext(ctx, method, f.URL+query, bytes.NewReader(body))
	require.NoError(f.t, err)
	r.Header.Set("Authorization", f.token)
	r.Header.Set("Accept", accept)
	resp, err := f.Client().Do(r)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0 // it has begun to wait
	}
	require.NoError(f.t, err)
	defer resp.Body.Close()
	return resp.StatusCode
}

// What a tenant makes cannot be of what is another's.
func TestTenantsOptions(t *testing.T) {
	f := newFar(t, tenancy, nil)
	alice, bob := f.as("alice"), f.as("bob")
	hers := alice.settle()
	his := bob.create()
	mounts := func(id string) []compute.Mount { return []compute.Mount{{Volume: id, Path: "/v"}} }
	for name, make := range map[string]func(w world) compute.Request{
		"template": func(w world) compute.Request {
			return compute.Request{Action: "compute.sandbox.create", Options: compute.RequestOptions{TemplateID: w.template}}
		},
		"snapshot": func(w world) compute.Request {
			return compute.Request{Action: "compute.sandbox.create", Options: compute.RequestOptions{SnapshotID: w.snapshot}}
		},
		"volume": func(w world) compute.Request {
			return compute.Request{Action: "compute.sandbox.create", Options: compute.RequestOptions{Mounts: mounts(w.volume)}}
		},
		"rollback": func(w world) compute.Request {
			return compute.Request{Action: "compute.sandbox.rollback", SandboxID: his, ID: w.snapshot}
		},
	} {
		t.Run(name, func(t *testing.T) {
			real, status := bob.ask(make(hers))
			none, _ := bob.ask(make(nowhere))
			require.Equal(t, http.StatusNotFound, status)
			require.Equal(t, nowhere.as(hers, none.Error), real.Error)
			if name != "rollback" {
				alice.do(make(hers))
			}
		})
	}
	byName := compute.Request{Action: "compute.template.get", ID: "hers"}
	_, status := bob.ask(byName)
	require.Equal(t, http.StatusNotFound, status)
	require.Equal(t, hers.template, alice.do(byName).Template.ID)
	bobs := bob.do(compute.Request{Action: "compute.template.create", Options: compute.RequestOptions{Name: "hers"}}).Template.ID
	require.Equal(t, hers.template, alice.do(byName).Template.ID, "another's newer one of the name is not hers")
	require.Equal(t, bobs, bob.do(byName).Template.ID)
}

// The key under which tenants are kept is nobody's to use.
func TestTenantsReservedKey(t *testing.T) {
	f := newFar(t, tenancy, nil).as("bob")
	id := f.create()
	mine := compute.RequestOptions{Name: "n", Metadata: map[string]string{"compute.owner": "alice"}}
	for _, action := range []string{"compute.sandbox.create", "compute.sandbox.list", "compute.sandbox.updateMetadata",
		"compute.template.create", "compute.template.list", "compute.snapshot.create", "compute.snapshot.list"} {
		resp, status := f.ask(compute.Request{Action: action, SandboxID: id, Options: mine})
		require.Equal(t, []any{http.StatusBadRequest, "invalid"}, []any{status, resp.Code}, action)
	}
	f.do(compute.Request{Action: "compute.sandbox.updateMetadata", SandboxID: id, Options: compute.RequestOptions{Metadata: map[string]string{"a": "b"}}})
	info := f.do(compute.Request{Action: "compute.sandbox.getInfo", SandboxID: id}).Info
	require.Equal(t, map[string]string{"a": "b"}, info.Metadata)
	require.Len(t, f.do(compute.Request{Action: "compute.sandbox.list"}).Sandboxes, 1, "it is still his")
	resp, status := f.as("nobody").ask(compute.Request{Action: "compute.sandbox.list"})
	require.Equal(t, []any{http.StatusForbidden, "refused"}, []any{status, resp.Error})
}

// A provider that does not filter does not give tenants away.
func TestTenantsWithoutFilter(t *testing.T) {
	h := compute.NewHandler(newHandlerFake(), tenancy)
	for action, want := range map[string]string{"sandbox": `"sandboxes":[]`, "snapshot": `"snapshots":[]`, "template": `"templates":[]`} {
		require.Contains(t, post(h, `{"action":"compute.`+action+`.list"}`, "Authorization", "a").Body.String(), want)
	}
}

// A key undoes what was created under it, once, and nothing that was only
// looked at.
func TestHandlerUndo(t *testing.T) {
	f := newFar(t, compute.HandlerOptions{}, nil)
	kept := f.create()
	f.do(compute.Request{Action: "compute.sandbox.create", UndoKey: "a"})
	f.do(compute.Request{Action: "compute.undo", UndoKey: "a"})
	list := f.do(compute.Request{Action: "compute.sandbox.list"}).Sandboxes
	require.Len(t, list, 1)
	snapshot := f.do(compute.Request{Action: "compute.snapshot.create", SandboxID: kept}).Snapshot.ID
	f.do(compute.Request{Action: "compute.snapshot.get", ID: snapshot, UndoKey: "b"})
	f.do(compute.Request{Action: "compute.undo", UndoKey: "b"})
	f.do(compute.Request{Action: "compute.snapshot.get", ID: snapshot})
	_, status := f.ask(compute.Request{Action: "compute.sandbox.create", UndoKey: "a"})
	require.Equal(t, http.StatusConflict, status)
}

// A shared template is the application's, whatever tenants call theirs.
func TestTenantsSharedTemplates(t *testing.T) {
	c := stub.New(stub.Config{})
	_, err := c.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "base", Files: map[string]string{"/etc/from": "application"}})
	require.NoError(t, err)
	opts := tenancy
	opts.Allow.Templates = []string{"base"}
	f := newFarOver(t, c, opts, nil)
	f.as("alice").do(compute.Request{Action: "compute.template.create",
		Options: compute.RequestOptions{Name: "base", Files: map[string]string{"/etc/from": "alice"}}})
	id := f.as("bob").do(compute.Request{Action: "compute.sandbox.create", Options: compute.RequestOptions{TemplateID: "base"}}).SandboxID
	got := f.as("bob").do(compute.Request{Action: "compute.sandbox.filesystem.readFile", SandboxID: id, Path: "/etc/from"})
	require.Equal(t, "application", *got.FileContent)
}

// Keys are bounded, and no limit to how much a tenant does: the first are
// forgotten, of nobody but who has too many.
func TestUndoKeysOfTenants(t *testing.T) {
	h := compute.NewHandler(newHandlerFake(), tenancy)
	list := func(owner, key string) int {
		return post(h, `{"action":"compute.sandbox.list","undoKey":"`+key+`"}`, "Authorization", owner).Code
	}
	require.Equal(t, http.StatusOK, list("b", "0"))
	for n := range 10_000 {
		require.Equal(t, http.StatusOK, list("a", fmt.Sprint(n)), "%d", n)
	}
	require.Equal(t, http.StatusConflict, list("a", "9999"), "the last are remembered")
	require.Equal(t, http.StatusOK, list("a", "0"), "the first are not")
	require.Equal(t, http.StatusConflict, list("b", "0"))
	require.Equal(t, http.StatusBadRequest, list("b", strings.Repeat("k", 129)))
}
