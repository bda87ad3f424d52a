package runlooptest

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

func publish(t *testing.T, s *Server, id, payload string) runloopapi.AxonPublishView {
	t.Helper()
	body, err := json.Marshal(runloopapi.AxonPublishParams{Source: "test", EventType: "tick", Origin: runloopapi.OriginExternal, Payload: payload})
	require.NoError(t, err)
	return post[runloopapi.AxonPublishView](t, s, "/axons/"+id+"/publish", string(body))
}

func TestAxons(t *testing.T) {
	s := newStub(t)
	a := post[runloopapi.AxonView](t, s, "/axons", `{"name":"stream-1","metadata":{"k":"v"}}`)
	post[runloopapi.AxonView](t, s, "/axons", `{}`)
	assert.True(t, strings.HasPrefix(a.ID, "axn_"))
	assert.Equal(t, map[string]string{"k": "v"}, post[runloopapi.AxonView](t, s, "/axons/"+a.ID, `{}`).Metadata)
	assert.Equal(t, map[string]string{"k": "w"}, post[runloopapi.AxonView](t, s, "/axons/"+a.ID, `{"metadata":{"k":"w"}}`).Metadata)
	for query, n := range map[string]int{"": 2, "?name=stream": 1, "?name=tream": 0, "?search=TREAM": 1, "?id=" + a.ID: 1, "?metadata[k]=w": 1, "?metadata[k][in]=a,w": 1, "?metadata[k]=v": 0} {
		assert.Len(t, get[runloopapi.AxonListView](t, s, "/axons"+query).Axons, n, query)
	}
	for i := range 3 {
		assert.Equal(t, int64(i+1), publish(t, s, a.ID, fmt.Sprint(i)).Sequence)
	}
	page := get[runloopapi.AxonEventListView](t, s, "/axons/"+a.ID+"/events?limit=2")
	require.Len(t, page.Events, 2)
	assert.Equal(t, int64(3), page.Events[0].Sequence, "the newest first")
	assert.True(t, page.HasMore)
	page = get[runloopapi.AxonEventListView](t, s, "/axons/"+a.ID+"/events?starting_after=2")
	require.Len(t, page.Events, 1)
	assert.Equal(t, "0", page.Events[0].Payload)

	for _, body := range []string{`{"origin":"SYSTEM_EVENT","source":"a","event_type":"b","payload":""}`, `{"source":"a","event_type":"b"}`,
		`{"origin":"USER_EVENT","event_type":"b"}`} {
		refused(t, s, 400, "POST", "/axons/"+a.ID+"/publish", body)
	}
	refused(t, s, 400, "GET", "/axons/"+a.ID+"/subscribe/sse?after_sequence=-1", "")
	refused(t, s, 404, "GET", "/axons/"+newID(prefixAxon)+"/subscribe/sse", "")
	call1[none](t, s, 200, "DELETE", "/v1/axons/"+a.ID, "")
	refused(t, s, 404, "GET", "/axons/"+a.ID, "")
	refused(t, s, 404, "DELETE", "/axons/"+a.ID, "")
	refused(t, s, 404, "POST", "/axons/"+a.ID+"/publish", `{"origin":"USER_EVENT","source":"a","event_type":"b"}`)
}

func TestSubscriptions(t *testing.T) {
	s := newStub(t, WithStreamIdle(100*time.Millisecond)) // so that the client has to subscribe again
	c := newClient(t, s)
	a, err := c.NewAxon(t.Context(), nil)
	require.NoError(t, err)
	hard := "line\nbreak \u2028 \"quote\" \\ é 🙂"
	publish(t, s, a.ID, "skipped")
	publish(t, s, a.ID, hard)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	var last int64 = 1
	for ev, err := range a.Subscribe(ctx, 1) {
		require.NoError(t, err)
		assert.Equal(t, last+1, ev.Sequence, "each once and in order")
		last = ev.Sequence
		if got = append(got, ev.Payload); len(got) == 4 {
			break
		}
		time.AfterFunc(250*time.Millisecond, func() { publish(t, s, a.ID, fmt.Sprint("after ", last)) })
	}
	assert.Equal(t, []string{hard, "after 2", "after 3", "after 4"}, got)
	assert.Greater(t, s.Counts()["axons.subscribe"], 1, "the idle stream has ended")
}

func TestStreamsEnd(t *testing.T) {
	s := newStub(t, WithStreamIdle(20*time.Millisecond))
	a := post[runloopapi.AxonView](t, s, "/axons", `{}`)
	status, body := s.do(t, "GET", "/v1/axons/"+a.ID+"/subscribe/sse", "")
	assert.Equal(t, 200, status)
	assert.Equal(t, "event: error\ndata: {\"code\":408,\"message\":\"idle\"}\n\n", body)

	s = newStub(t)
	a = post[runloopapi.AxonView](t, s, "/axons", `{}`)
	publish(t, s, a.ID, "x")
	resp, err := s.send(t.Context(), "GET", "/v1/axons/"+a.ID+"/subscribe/sse", "")
	require.NoError(t, err)
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	line, err := r.ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, line, `"payload":"x"`)
	call1[none](t, s, 200, "DELETE", "/v1/axons/"+a.ID, "")
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, "\n", string(rest), "a deleted axon ends it in good order")
}

func TestSQLWithoutADatabase(t *testing.T) {
	s := newStub(t)
	a := post[runloopapi.AxonView](t, s, "/axons", `{}`)
	assert.Contains(t, refused(t, s, 501, "POST", "/axons/"+a.ID+"/sql/query", `{"sql":"SELECT 1"}`), "WithSQL")
}

// ledger is a database driver that notes what it is asked and answers with what
// is planned.
type ledger struct {
	mu      sync.Mutex
	asked   []string
	changes int64
	closed  int
	rows    [][]driver.Value
}

func (l *ledger) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, fmt.Sprintf(format, args...))
}

func (l *ledger) Connect(context.Context) (driver.Conn, error) { return l, nil }
func (l *ledger) Driver() driver.Driver                        { return nil }
func (l *ledger) Prepare(string) (driver.Stmt, error)          { return nil, errors.New("not needed") }
func (l *ledger) Begin() (driver.Tx, error)                    { l.note("BEGIN"); return l, nil }
func (l *ledger) Commit() error                                { l.note("COMMIT"); return nil }
func (l *ledger) Rollback() error                              { l.note("ROLLBACK"); return nil }
func (l *ledger) Close() error                                 { l.closed++; return nil }

func (l *ledger) QueryContext(_ context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if query == "SELECT total_changes()" {
		return &ledgerRows{names: []string{"n"}, rows: [][]driver.Value{{l.changes}}}, nil
	}
	text := query
	for _, a := range args {
		text += fmt.Sprintf(" %T(%v)", a.Value, a.Value)
	}
	l.note("%s", text)
	if strings.HasPrefix(query, "BAD") {
		return nil, errors.New("near BAD: syntax error")
	}
	if strings.HasPrefix(query, "INSERT") {
		l.changes += 2
		return &ledgerRows{}, nil
	}
	return &ledgerRows{names: []string{"a", "b"}, rows: l.rows}, nil
}

type ledgerRows struct {
	names []string
	rows  [][]driver.Value
}

func (r *ledgerRows) Columns() []string { return r.names }
func (r *ledgerRows) Close() error      { return nil }
func (r *ledgerRows) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	copy(dest, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}
func (r *ledgerRows) ColumnTypeDatabaseTypeName(i int) string { return []string{"integer", "blob"}[i] }

func TestSQL(t *testing.T) {
	l := &ledger{rows: [][]driver.Value{{int64(1) << 62, []byte("bytes")}, {nil, "text"}}}
	s := newStub(t, WithSQL(func() (*sql.DB, error) { return sql.OpenDB(l), nil }))
	a := newClient(t, s).Axon(post[runloopapi.AxonView](t, s, "/axons", `{}`).ID)
	result, err := a.Query(t.Context(), "SELECT ?", 1, 1.5, "a", true, nil, int64(1)<<62)
	require.NoError(t, err)
	assert.Equal(t, []string{"SELECT ? int64(1) float64(1.5) string(a) bool(true) <nil>(<nil>) int64(4611686018427387904)"}, l.asked)
	assert.Equal(t, []runloopapi.SQLColumn{{Name: "a", Type: "INTEGER"}, {Name: "b", Type: "BLOB"}}, result.Columns)
	assert.Equal(t, []runloopapi.SQLRow{{json.Number("4611686018427387904"), "Ynl0ZXM="}, {nil, "text"}}, result.Rows)
	assert.Zero(t, result.Meta.Changes)

	result, err = a.Query(t.Context(), "INSERT")
	require.NoError(t, err)
	assert.Equal(t, int64(2), result.Meta.Changes)
	assert.Empty(t, result.Rows)

	l.asked = nil
	steps, err := a.Batch(t.Context(), runloopapi.SQLStatement{SQL: "INSERT"}, runloopapi.SQLStatement{SQL: "SELECT"})
	require.NoError(t, err)
	require.Len(t, steps, 2)
	assert.NotNil(t, steps[0].Success)
	assert.Equal(t, []string{"BEGIN", "INSERT", "SELECT", "COMMIT"}, l.asked)

	l.asked = nil
	steps, err = a.Batch(t.Context(), runloopapi.SQLStatement{SQL: "INSERT"}, runloopapi.SQLStatement{SQL: "BAD"}, runloopapi.SQLStatement{SQL: "SELECT"})
	require.NoError(t, err)
	assert.Equal(t, []string{"BEGIN", "INSERT", "BAD", "ROLLBACK"}, l.asked)
	assert.Contains(t, steps[1].Error.Message, "syntax")
	assert.Contains(t, steps[2].Error.Message, "not run")

	for range maxSQLRows {
		l.rows = append(l.rows, []driver.Value{int64(1), "x"})
	}
	result, err = a.Query(t.Context(), "SELECT")
	require.NoError(t, err)
	assert.Len(t, result.Rows, maxSQLRows)
	assert.True(t, result.Meta.RowsReadLimitReached)

	_, err = a.Query(t.Context(), "BAD")
	assert.ErrorIs(t, err, runloopapi.ErrBadRequest)
	_, err = a.Query(t.Context(), "SELECT ?", []int{1})
	assert.ErrorIs(t, err, runloopapi.ErrBadRequest)
	_, err = a.Batch(t.Context())
	assert.ErrorIs(t, err, runloopapi.ErrBadRequest)
	require.NoError(t, a.Delete(t.Context()))
	assert.Equal(t, 2, l.closed, "the connection and the database")
}

func TestSQLStaysInItsStore(t *testing.T) {
	for text, bad := range map[string]bool{
		"ATTACH '/etc/passwd' AS x":                       true,
		"select 1; aTTach database 'x' as y":              true,
		"/* hidden */ VACUUM INTO '/tmp/x'":               true,
		"select 'a''b'; attach 'x' as y":                  true,
		"SELECT load_extension('x')":                      true,
		"select \"a\"\"b\" -- '\n; attach 'x' as y":       true,
		"select 'attach', \"attach\", [attach], `attach`": false,
		"select 1 -- attach":                              false,
		"select 1 /* attach */":                           false,
		"select attachment from t":                        false,
	} {
		err := (&sqlStatement{SQL: text}).check()
		assert.Equal(t, bad, err != nil, text)
	}
}

func TestAgents(t *testing.T) {
	s := newStub(t)
	old := post[runloopapi.AgentView](t, s, "/agents", `{"name":"a","version":"1.0"}`)
	v := post[runloopapi.AgentView](t, s, "/agents", `{"name":"a","version":"2.0","source":{"type":"npm","npm":{"package_name":"x"}}}`)
	assert.True(t, strings.HasPrefix(v.ID, "agt_"))
	assert.False(t, v.IsPublic)
	require.NoError(t, s.MakePublic(old.ID))
	for query, n := range map[string]int{"": 2, "?name=a": 2, "?name=b": 0, "?version=1.0": 1, "?version=latest": 1, "?is_public=true": 1,
		"?is_public=false": 1, "?search=" + v.ID: 1, "/list_public": 1, "/list_public?version=2.0": 0} {
		assert.Len(t, get[runloopapi.AgentListView](t, s, "/agents"+query).Agents, n, query)
	}
	for body, message := range map[string]string{
		`{}`:                                   "name",
		`{"name":"a","source":{"type":"svn"}}`: "svn",
		`{"name":"a","source":{"type":"npm"}}`: "package_name",
		`{"name":"a","source":{"type":"pip","npm":{"package_name":"x"}}}`:           "pip.package_name",
		`{"name":"a","source":{"type":"git","git":{"repository":"r","ref":"-x"}}}`:  "ref",
		`{"name":"a","source":{"type":"object","object":{"object_id":"nonsense"}}}`: "malformed",
	} {
		assert.Contains(t, refused(t, s, 400, "POST", "/agents", body), message)
	}
	box := post[runloopapi.DevboxView](t, s, "/devboxes/create_and_await_running",
		fmt.Sprintf(`{"mounts":[{"type":"agent_mount","agent_id":%q,"agent_name":null}]}`, v.ID))
	assert.Equal(t, runloopapi.DevboxFailure, box.Status)
	assert.Contains(t, fmt.Sprint(box.StateTransitions), "package registry")
	post[none](t, s, "/agents/"+v.ID+"/delete", "")
	refused(t, s, 404, "POST", "/agents/"+v.ID+"/delete", "")
	refused(t, s, 404, "GET", "/agents/"+v.ID, "")
}

func TestAgentMounts(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		c := newClient(t, s)
		o, err := c.UploadText(t.Context(), &runloopapi.ObjectCreateParams{Name: "agent.sh"}, "echo I am the agent")
		require.NoError(t, err)
		post[runloopapi.AgentView](t, s, "/agents", fmt.Sprintf(
			`{"name":"mine","source":{"type":"object","object":{"object_id":%q,"agent_setup":["echo ready > set-up","pwd >> set-up"]}}}`, o.ID))
		v := newRunning(t, s, `{"mounts":[{"type":"agent_mount","agent_id":null,"agent_name":"mine","agent_path":"bin/agent.sh"}]}`)
		assert.Equal(t, "I am the agent\nready\n/home/user\n", *run(t, s, v.ID, "sh bin/agent.sh; cat set-up", "").Stdout)
		counts := get[runloopapi.AgentDevboxCountsView](t, s, "/agents/devbox_counts")
		assert.Equal(t, map[string]int32{"mine": 1}, counts.Counts)
		assert.Equal(t, int32(1), counts.TotalCount)
		post[runloopapi.DevboxView](t, s, "/devboxes/"+v.ID+"/shutdown", "")
		assert.Zero(t, get[runloopapi.AgentDevboxCountsView](t, s, "/agents/devbox_counts").TotalCount)

		failed := post[runloopapi.DevboxView](t, s, "/devboxes/create_and_await_running", `{"mounts":[{"type":"agent_mount","agent_id":null,"agent_name":"other"}]}`)
		assert.Contains(t, fmt.Sprint(failed.StateTransitions), `no agent`)
	})
}

func TestAgentsFromGit(t *testing.T) {
	s := newLocal(t)
	post[runloopapi.AgentView](t, s, "/agents", `{"name":"g","source":{"type":"git","git":{"repository":"file:///srv/repo","ref":"v1","agent_setup":["cat f > out"]}}}`)
	box := newRunning(t, s, `{}`)
	script := `set -e; git init -q /srv/repo; cd /srv/repo; git config user.email a@b; git config user.name n; echo one > f; git add f; git commit -qm 1; git tag v1; echo two > f; git commit -qam 2`
	require.Zero(t, *run(t, s, box.ID, script, "").ExitStatus)
	snap := post[runloopapi.SnapshotView](t, s, "/devboxes/"+box.ID+"/snapshot_disk", "{}")
	box = newRunning(t, s, fmt.Sprintf(`{"snapshot_id":%q,"mounts":[{"type":"agent_mount","agent_id":null,"agent_name":"g","agent_path":"~/agent","auth_token":"t"}]}`, snap.ID))
	assert.Equal(t, "one\n", *run(t, s, box.ID, "cat agent/out", "").Stdout)
}

func TestBrokerMountsAreRefused(t *testing.T) {
	s := newStub(t)
	a := post[runloopapi.AxonView](t, s, "/axons", `{}`)
	v := post[runloopapi.DevboxView](t, s, "/devboxes/create_and_await_running", fmt.Sprintf(`{"mounts":[{"type":"broker_mount","axon_id":%q}]}`, a.ID))
	assert.Equal(t, runloopapi.DevboxFailure, v.Status)
	assert.Contains(t, fmt.Sprint(v.StateTransitions), "broker mounts")
}

func TestMCP(t *testing.T) {
	s := newStub(t)
	var auth, called string
	answer := `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"search_code","x":1},{"name":"delete_repo"},{"name":"get_file"}],"nextCursor":"c"}}`
	endpoint := newHandler(t, func(w http.ResponseWriter, r *http.Request) {
		auth = r.Header.Get("Authorization")
		body, _ := io.ReadAll(r.Body)
		called = string(body)
		if strings.Contains(r.Header.Get("Accept"), "event-stream") {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: message\ndata: %s\n\n: comment\n\n", answer)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, answer)
	})
	post[runloopapi.SecretView](t, s, "/secrets", `{"name":"cred","value":"s3cret"}`)
	conf := post[runloopapi.MCPConfigView](t, s, "/mcp-configs", fmt.Sprintf(`{"name":"github-readonly","endpoint":%q,"allowed_tools":["github.search_*","get_file"]}`, endpoint))
	assert.Equal(t, runloopapi.AuthBearer, conf.AuthMechanism.Type)
	box := newRunning(t, s, `{"mcp":{"GH":{"mcp_config":"github-readonly","secret":"cred"}}}`)
	assert.Equal(t, conf.ID, box.MCPSpecs["GH"].MCPConfigID)
	out := strings.Fields(*run(t, s, box.ID, `echo "$RL_MCP_URL $GH"`, "").Stdout)
	require.Len(t, out, 2)
	assert.True(t, strings.HasSuffix(out[0], "/mcp"))
	token := post[runloopapi.MCPTokenView](t, s, "/devboxes/"+box.ID+"/create_mcp_token", `{"mcp_config":"github-readonly","secret":"cred"}`)
	assert.Equal(t, out[1], token.Token)
	assert.Equal(t, conf.AllowedTools, token.AllowedTools)

	rpc := func(body string, header ...string) (int, string) {
		called = ""
		status, _, answer := fetch(t, s, "POST", out[0], body, append(header, "Authorization", "Bearer "+out[1])...)
		return status, answer
	}
	status, _, _ := fetch(t, s, "POST", out[0], `{}`)
	assert.Equal(t, 401, status)
	want := `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"search_code","x":1},{"name":"get_file"}],"nextCursor":"c"}}`
	status, body := rpc(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	assert.Equal(t, 200, status)
	assert.JSONEq(t, want, body)
	assert.Equal(t, "Bearer s3cret", auth)
	_, body = rpc(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "Accept", "text/event-stream")
	event, rest, _ := strings.Cut(strings.TrimPrefix(body, "event: message\ndata: "), "\n")
	assert.JSONEq(t, want, event)
	assert.Equal(t, "\n: comment\n\n", rest)

	_, body = rpc(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"delete_repo"}}`)
	assert.JSONEq(t, `{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"the tool \"delete_repo\" is not allowed"}}`, body)
	assert.Empty(t, called, "the endpoint is not asked")
	rpc(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"github.search_code","arguments":{"q":9007199254740993}}}`)
	assert.JSONEq(t, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search_code","arguments":{"q":9007199254740993}}}`, called)
	for _, bad := range []string{`[{"method":"tools/call","params":{"name":"delete_repo"}}]`, `{"id":1`, `{"id":1,"method":5}`} {
		_, body = rpc(bad)
		assert.Contains(t, body, `"error"`)
		assert.Empty(t, called)
	}

	assert.Contains(t, refused(t, s, 400, "POST", "/mcp-configs/"+conf.ID+"/delete", "{}"), box.ID)
	assert.Contains(t, refused(t, s, 400, "POST", "/mcp-configs", `{"name":"x","endpoint":"https://a","allowed_tools":[]}`), "allowed_tools")
	assert.Contains(t, refused(t, s, 400, "POST", "/mcp-configs", `{"name":"x","endpoint":"https://a","allowed_tools":["[a"]}`), "[a")
	assert.Contains(t, refused(t, s, 400, "POST", "/mcp-configs", `{"name":"github-readonly","endpoint":"https://a","allowed_tools":["*"]}`), "already")
	up := post[runloopapi.MCPConfigView](t, s, "/mcp-configs/"+conf.ID, `{"allowed_tools":["*"],"description":"d"}`)
	assert.Equal(t, conf.Name, up.Name)
	status, body = rpc(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	assert.Equal(t, 200, status)
	assert.JSONEq(t, answer, body, "all tools are allowed now")
	assert.Len(t, get[runloopapi.MCPConfigListView](t, s, "/mcp-configs?name=github").MCPConfigs, 1)
	assert.Empty(t, get[runloopapi.MCPConfigListView](t, s, "/mcp-configs?name=readonly").MCPConfigs, "a name begins so")
	post[runloopapi.DevboxView](t, s, "/devboxes/"+box.ID+"/shutdown", "")
	status, _ = rpc(`{}`)
	assert.Equal(t, 401, status)
	post[runloopapi.MCPConfigView](t, s, "/mcp-configs/"+conf.ID+"/delete", "{}")
	refused(t, s, 404, "GET", "/mcp-configs/"+conf.ID, "")
}
