package compute_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// Whatever a client had open when its connections are cut, nothing of it stays
// on the server, and its terminal lives on.
func TestHandlerLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	c := stub.New(stub.Config{})
	ended := make(chan compute.AuditRecord, 100)
	srv := httptest.NewServer(compute.NewHandler(c, compute.HandlerOptions{Authorize: compute.AllowAll,
		Audit: func(_ context.Context, rec compute.AuditRecord) { ended <- rec }}))
	f := &far{Server: srv, t: t}
	id := f.create()
	terminal := f.do(compute.Request{Action: "compute.sandbox.terminal.create", SandboxID: id,
		TerminalOptions: compute.TerminalOptions{Command: "cat"}}).Terminal.TerminalID
	ctx, cancel := context.WithCancel(t.Context())
	for _, query := range []string{"terminal.stream", "terminal.stream"} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet,
			srv.URL+"?"+url.Values{"action": {query}, "sandboxId": {id}, "terminalId": {terminal}}.Encode(), nil)
		require.NoError(t, err)
		resp, err := f.Client().Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
	}
	conn, _, err := websocket.Dial(ctx, srv.URL+"?"+url.Values{"action": {"terminal.connect"}, "sandboxId": {id}, "terminalId": {terminal}}.Encode(), nil) //nolint:bodyclose // it is the connection
	require.NoError(t, err)
	require.NoError(t, conn.Write(ctx, websocket.MessageBinary, []byte("x\n")))
	_, _, err = conn.Read(ctx)
	require.NoError(t, err)
	cancel()
	_ = conn.CloseNow()
	actions := map[string]int{}
	for actions["compute.sandbox.terminal.stream"]+actions["compute.sandbox.terminal.connect"] < 3 {
		select {
		case rec := <-ended:
			actions[rec.Action]++
		case <-time.After(20 * time.Second):
			t.Fatal("a request goes on without its client", actions)
		}
	}
	require.Equal(t, "running", f.do(compute.Request{Action: "compute.sandbox.terminal.getById", SandboxID: id, TerminalID: terminal}).Terminal.Status)
	srv.Close()
	require.NoError(t, c.DestroySandbox(t.Context(), id))
	require.NoError(t, compute.Close(c))
}
