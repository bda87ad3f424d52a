package remote_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// lateCompute has sandboxes whose commands print something when their contexts
// have ended.
type lateCompute struct{ compute.Compute }

func (c lateCompute) Unwrap() compute.Compute { return c.Compute }

func (c lateCompute) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	sb, err := c.Compute.GetSandbox(ctx, id)
	return lateSandbox{sb}, err
}

type lateSandbox struct{ compute.Sandbox }

func (s lateSandbox) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	_, _ = io.WriteString(cmd.Stdout, "first ")
	<-ctx.Done()
	time.Sleep(50 * time.Millisecond)
	_, _ = io.WriteString(cmd.Stdout, "last")
	return &compute.Result{ExitCode: -1}, ctx.Err()
}

// What a command says when it is cut comes too, if the far end can be asked to
// cut it. Otherwise nobody waits for it.
func TestCutCommands(t *testing.T) {
	refuse := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		body, err := io.ReadAll(r.Body)
		if err != nil || strings.Contains(string(body), "compute.cancel") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		next.ServeHTTP(w, r)
	}
	for name, test := range map[string]struct {
		stdin  io.Reader
		fault  func(http.ResponseWriter, *http.Request, http.Handler)
		output string
	}{
		"asked":             {nil, nil, "first last"},
		"asked, with input": {strings.NewReader("input"), nil, "first last"},
		"not to be asked":   {nil, refuse, "first "},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := behindProxy(t, lateCompute{newStub(t)})
			sb, err := c.CreateSandbox(t.Context(), nil)
			require.NoError(t, err)
			if test.fault != nil {
				p.inject(100, test.fault)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var out strings.Builder
			begun := time.Now()
			res, err := sb.RunCommand(ctx, &compute.Command{Script: "x", Stdin: test.stdin, Stderr: io.Discard,
				Stdout: writerFunc(func(b []byte) (int, error) { cancel(); return out.Write(b) })})
			require.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, -1, res.ExitCode)
			assert.Equal(t, test.output, out.String())
			assert.Less(t, time.Since(begun), 2*time.Second)
		})
	}
}
