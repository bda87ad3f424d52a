package compute_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// A request that is cancelled by its key ends, and is answered with what there is
// so far, and only its tenant can do that.
func TestCancel(t *testing.T) {
	for _, accept := range []string{"application/json", "text/event-stream"} {
		t.Run(accept, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newHandlerFake()
				f.metadata = map[string]string{compute.OwnerKey: "alice"}
				begun := make(chan struct{}, 2)
				f.run = func(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
					begun <- struct{}{}
					<-ctx.Done()
					time.Sleep(time.Second) // until what runs has ended
					if cmd.Stdout != nil {
						_, _ = io.WriteString(cmd.Stdout, "so far")
						return &compute.Result{ExitCode: -1}, ctx.Err()
					}
					return &compute.Result{ExitCode: -1, Stdout: "so far"}, ctx.Err()
				}
				h := compute.NewHandler(f, tenancy)
				const run = `{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x","cancelKey":"k"}`
				answer := make(chan *httptest.ResponseRecorder)
				go func() { answer <- post(h, run, "Authorization", "alice", "Accept", accept) }()
				<-begun
				assert.Equal(t, 404, post(h, `{"action":"compute.cancel","cancelKey":"k"}`, "Authorization", "bob").Code)
				assert.Equal(t, 404, post(h, `{"action":"compute.cancel","cancelKey":"l"}`, "Authorization", "alice").Code)
				assert.Equal(t, 400, post(h, `{"action":"compute.cancel"}`, "Authorization", "alice").Code)
				assert.Equal(t, 409, post(h, run, "Authorization", "alice").Code, "two requests with one key")

				asked := time.Now()
				assert.Equal(t, 200, post(h, `{"action":"compute.cancel","cancelKey":"k"}`, "Authorization", "alice").Code)
				assert.Equal(t, time.Second, time.Since(asked), "it has not waited for the end")
				w := <-answer
				if accept == "application/json" {
					assert.Equal(t, 499, w.Code)
					var resp compute.Response
					require.NoError(t, json.Unmarshal(w.Body.Bytes(), &resp))
					assert.Equal(t, "canceled", resp.Code)
					assert.Equal(t, "so far", resp.Result.Stdout)
				} else {
					assert.Contains(t, w.Body.String(), `data: {"text":"so far"}`)
					assert.Contains(t, w.Body.String(), `"code":"canceled"`)
				}
				assert.Equal(t, 404, post(h, `{"action":"compute.cancel","cancelKey":"k"}`, "Authorization", "alice").Code, "it is over")
				assert.Equal(t, 400, post(h, strings.Replace(run, `"k"`, `"`+strings.Repeat("k", 200)+`"`, 1), "Authorization", "alice").Code)

				go func() { answer <- post(h, run, "Authorization", "alice") }() // the key is free
				<-begun
				post(h, `{"action":"compute.cancel","cancelKey":"k"}`, "Authorization", "alice")
				assert.Equal(t, 499, (<-answer).Code)
			})
		})
	}
	resp := compute.HandleRequest(t.Context(), newHandlerFake(), &compute.Request{Action: "compute.cancel", CancelKey: "k"})
	assert.Equal(t, "unsupported", resp.Code)
}
