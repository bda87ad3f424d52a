package compute_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// try is a way to ask for an action.
type try struct{ method, action, accept string }

// everyTry asks for all that the protocol's description has.
func everyTry(t *testing.T) (tries []try) {
	for method, names := range described(t) {
		for _, action := range names {
			if method != http.MethodPost {
				tries = append(tries, try{method, action, "*/*"})
				continue
			}
			tries = append(tries, try{method, action, "application/json"}, try{method, action, "text/event-stream"})
		}
	}
	require.Len(t, tries, 2*len(compute.ActionNames())+len(compute.RawActions()), "the document has all that the handler does")
	return tries
}

// audited is what records have of a request that was asked.
type audited struct {
	Owner, Action, SandboxID string
	Status                   int
}

func (f *far) record(heard chan compute.AuditRecord) audited {
	f.t.Helper()
	select {
	case rec := <-heard:
		require.False(f.t, rec.Time.IsZero() || rec.Remote == "" || rec.Duration <= 0)
		require.Equal(f.t, rec.Status < 400, rec.Code == "" && rec.Err == nil, "%+v", rec)
		return audited{rec.Owner, rec.Action, rec.SandboxID, rec.Status}
	case <-time.After(10 * time.Second):
		f.t.Fatal("a request without a record")
		return audited{}
	}
}

// Every action has one record, whatever comes of it, with who has asked for what
// of which sandbox, and the status of the answer. An action that is added is
// among them.
func TestHandlerAuditOfEveryAction(t *testing.T) {
	for _, try := range everyTry(t) {
		t.Run(try.method+" "+try.action+" "+try.accept, func(t *testing.T) {
			t.Parallel()
			refusal := error(nil)
			opts := tenancy
			opts.Limits.Rate, opts.Limits.Burst = 1e-9, 1_000_000
			opts.Authorize = func(r *http.Request, _ *compute.Request) error {
				if r.Header.Get("Authorization") == "panic" {
					panic("s3cret")
				}
				return refusal
			}
			heard := records(&opts)
			f := newFarOver(t, stub.New(stub.Config{}), opts, nil)
			alice := f.as("alice")
			hers := alice.settle()
			for range 6 { // what she has
				f.record(heard)
			}
			const action = "compute.sandbox.create"
			sandbox := func(of world) string { // as the answer echoes it
				if try.action == action {
					return ""
				}
				return of.sandbox
			}
			for _, refused := range []struct {
				owner, recorded string
				refusal         error
				status          int
			}{
				{"alice", "", compute.ErrUnauthorized, 401}, {"alice", "", compute.ErrForbidden, 403}, {"alice", "", errSecret, 403},
				{"nobody", "", nil, 403}, {"alice", "", compute.ErrQuota, 429}, {"panic", "", nil, 500},
			} {
				refusal = refused.refusal
				got := f.as(refused.owner).outcome(try.method, try.action, hers, try.accept)
				require.Equal(t, refused.status, got.status)
				require.Equal(t, audited{refused.recorded, try.action, sandbox(hers), refused.status}, f.record(heard))
			}
			refusal = nil
			bob := f.as("bob").outcome(try.method, try.action, hers, try.accept) // mostly not found
			if rec := f.record(heard); !strings.HasSuffix(try.action, ".create") || try.action == action {
				require.Equal(t, "bob", rec.Owner)
				require.Equal(t, []any{try.action, sandbox(hers)}, []any{rec.Action, rec.SandboxID})
				if bob.body != "events" {
					require.Equal(t, bob.status, rec.Status)
				}
			}

			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			status := alice.status(ctx, try.method, try.action, hers, try.accept)
			cancel() // what has no end
			rec := f.record(heard)
			require.Equal(t, []any{"alice", try.action}, []any{rec.Owner, rec.Action})
			if try.action == action {
				require.NotEmpty(t, rec.SandboxID, "the new one")
			} else {
				require.Equal(t, hers.sandbox, rec.SandboxID)
			}
			if status >= 400 || status == http.StatusPartialContent {
				require.Equal(t, status, rec.Status)
			}
			require.Empty(t, heard, "a request has more than one record")
		})
	}
}

// What is not an action has a record too.
func TestHandlerAuditOfBadRequests(t *testing.T) {
	opts := tenancy
	opts.Allow.Actions, opts.MaxBody = []string{"compute.sandbox.list"}, 1000
	heard := records(&opts)
	f := newFarOver(t, stub.New(stub.Config{}), opts, nil)
	for _, tt := range []struct {
		method, query, body string
		header              []string
		want                audited
	}{
		{"POST", "", "{", nil, audited{Status: 400}},
		{"POST", "", strings.Repeat(" ", 2000), nil, audited{Status: 413}},
		{"POST", "", `{"action":"nope","sandboxId":"x"}`, nil, audited{"", "nope", "x", 403}},
		{"POST", "", list, []string{"Origin", "https://evil.example"}, audited{Status: 403}},
		{"DELETE", "", "", nil, audited{Status: 405}},
		{"GET", "?action=nope", "", nil, audited{Status: 405}},
		{"POST", "", list, nil, audited{"alice", "compute.sandbox.list", "", 200}},
		{"POST", "", `{"action":"compute.sandbox.create"}`, nil, audited{"alice", "compute.sandbox.create", "", 403}},
	} {
		if tt.want.Action == "nope" {
			tt.want.Owner = "alice"
		}
		resp := f.as("alice").send(tt.method, tt.query, strings.NewReader(tt.body), tt.header...)
		require.Equal(t, tt.want.Status, resp.status)
		require.Equal(t, tt.want, f.record(heard))
	}
	require.Empty(t, heard)
}

// A conversation over WebSocket is a request like others.
func TestHandlerAuditOfWebSockets(t *testing.T) {
	opts := tenancy
	heard := records(&opts)
	f := newFarOver(t, stub.New(stub.Config{}), opts, nil).as("alice")
	hers := f.settle()
	for range 6 { // what she has
		f.record(heard)
	}
	conn := f.dial(url.Values{"action": {"terminal.connect"}, "sandboxId": {hers.sandbox}, "terminalId": {hers.process}})
	require.Empty(t, heard, "not before its end")
	f.do(compute.Request{Action: "compute.sandbox.terminal.kill", SandboxID: hers.sandbox, TerminalID: hers.process})
	for _, _, err := conn.Read(t.Context()); err == nil; {
		_, _, err = conn.Read(t.Context())
	}
	var got []audited
	for range 2 {
		got = append(got, f.record(heard))
	}
	slices.SortFunc(got, func(a, b audited) int { return strings.Compare(a.Action, b.Action) })
	require.Equal(t, []audited{{"alice", "compute.sandbox.terminal.connect", hers.sandbox, 101}, {"alice", "compute.sandbox.terminal.kill", hers.sandbox, 200}}, got)
	_ = conn.Close(websocket.StatusNormalClosure, "")
}

// A proxy's records say who has asked for which port, also by a link.
func TestProxyAudit(t *testing.T) {
	heard := make(chan compute.AuditRecord, 100)
	p := newProxied(t, compute.ProxyOptions{Owner: user, OwnerKey: "user", LinkKey: []byte(strings.Repeat("k", 32)),
		Ports: func(port int) bool { return port != 22 },
		Authorize: func(_ *http.Request, req *compute.ProxyRequest) error {
			if req.Owner == "bug" {
				panic("s3cret")
			}
			return nil
		},
		Audit: func(_ context.Context, rec compute.AuditRecord) { heard <- rec; panic("s3cret") },
	}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			conn, err := websocket.Accept(w, r, nil)
			if err == nil {
				_ = conn.Close(websocket.StatusNormalClosure, "")
			}
			return
		}
		w.WriteHeader(http.StatusTeapot)
	}), false)
	mine, err := p.proxy.URL(p.sb.ID(), 3000)
	require.NoError(t, err)
	other, err := p.proxy.URL(p.sb.ID(), 22)
	require.NoError(t, err)
	silent, err := p.proxy.URL(p.sb.ID(), 3001)
	require.NoError(t, err)
	link, err := p.proxy.Link("ann", p.sb.ID(), 3000, time.Hour)
	require.NoError(t, err)
	id := p.sb.ID()
	for _, tt := range []struct {
		name, url, token string
		want             compute.AuditRecord
	}{
		{"passed on", mine, "ann", compute.AuditRecord{Owner: "ann", SandboxID: id, Port: 3000, Status: 418}},
		{"by a link", link, "", compute.AuditRecord{Owner: "ann", SandboxID: id, Port: 3000, Link: true, Status: 418}},
		{"another's", mine, "bob", compute.AuditRecord{Owner: "bob", SandboxID: id, Port: 3000, Status: 404, Code: "not_found"}},
		{"nobody", mine, "", compute.AuditRecord{SandboxID: id, Port: 3000, Status: 401, Code: "unauthorized"}},
		{"panic", mine, "bug", compute.AuditRecord{Owner: "bug", SandboxID: id, Port: 3000, Status: 500, Code: "internal"}},
		{"port not served", other, "ann", compute.AuditRecord{SandboxID: id, Port: 22, Status: 403}},
		{"nobody listens", silent, "ann", compute.AuditRecord{Owner: "ann", SandboxID: id, Port: 3001, Status: 502, Code: "connection_refused"}},
		{"no such place", "http://example.net/", "ann", compute.AuditRecord{Status: 404}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, _ := p.do(t, "GET", tt.url, "", "Authorization: "+tt.token)
			require.Equal(t, tt.want.Status, resp.StatusCode)
			rec := <-heard
			require.True(t, rec.Duration > 0 && !rec.Time.IsZero() && rec.Remote != "")
			rec.Time, rec.Duration, rec.Remote, rec.Err = time.Time{}, 0, "", nil
			tt.want.Action = "proxy"
			require.Equal(t, tt.want, rec)
		})
	}
	conn, _, err := websocket.Dial(t.Context(), mine, &websocket.DialOptions{HTTPClient: p.client, HTTPHeader: http.Header{"Authorization": {"ann"}}}) //nolint:bodyclose // it is the connection
	require.NoError(t, err)
	_, _, err = conn.Read(t.Context())
	require.Error(t, err)
	require.Equal(t, 101, (<-heard).Status)
	require.Empty(t, heard)
}
