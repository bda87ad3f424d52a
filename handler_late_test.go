package compute_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// records keeps what an Audit function hears.
func records(opts *compute.HandlerOptions) chan compute.AuditRecord {
	heard := make(chan compute.AuditRecord, 1000)
	opts.Audit = func(_ context.Context, rec compute.AuditRecord) { heard <- rec }
	return heard
}

const command = `{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x"}`

// A provider that does not look at its context keeps nobody waiting for ever, and
// its operation counts until it is over.
func TestHandlerProvidersThatDoNotEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		accept string
		says   string // before it hangs
		status int
		body   string
	}{
		"in one piece":       {"application/json", "", 504, `"code":"timeout"`},
		"events":             {"text/event-stream", "", 200, ":\n\nevent: result\ndata: {\"success\":false"},
		"events, some there": {"text/event-stream", "output", 200, "event: result\ndata: {\"success\":false,\"error\":\"timed out\",\"code\":\"timeout\""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				leave, late := make(chan struct{}), make(chan error, 1)
				f := newHandlerFake()
				f.run = func(_ context.Context, cmd *compute.Command) (*compute.Result, error) {
					if tt.says != "" {
						_, _ = io.WriteString(cmd.Stdout, tt.says)
					}
					<-leave
					if cmd.Stdout != nil {
						_, err := io.WriteString(cmd.Stdout, "too late")
						late <- err
					}
					return &compute.Result{Stdout: "too late"}, nil
				}
				opts := compute.HandlerOptions{Authorize: compute.AllowAll, Timeout: time.Minute, StreamTimeout: time.Minute,
					Limits: compute.HandlerLimits{Concurrency: 1}}
				heard := records(&opts)
				h := compute.NewHandler(f, opts)
				begun := time.Now()
				w := post(h, command, "Accept", tt.accept)
				require.Equal(t, 70*time.Second, time.Since(begun).Round(time.Second))
				require.Equal(t, tt.status, w.Code)
				require.Contains(t, w.Body.String(), tt.body)
				require.Contains(t, w.Body.String(), tt.says)
				rec := <-heard
				require.Equal(t, []any{"compute.sandbox.runCommand", "s1", 504, "timeout"}, []any{rec.Action, rec.SandboxID, rec.Status, rec.Code})
				require.Equal(t, http.StatusTooManyRequests, post(h, list).Code, "it goes on")
				answer := w.Body.String()
				close(leave)
				synctest.Wait()
				require.Equal(t, http.StatusOK, post(h, list).Code)
				require.Equal(t, answer, w.Body.String(), "nothing is written any more")
				if tt.accept == "text/event-stream" {
					require.Error(t, <-late)
				}
				require.Len(t, heard, 2, "a record for each request")
			})
		})
	}
}

// The same where the client has gone, and where the answer cannot be mended.
func TestHandlerProvidersThatDoNotEndForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		f := newHandlerFake()
		f.run = func(context.Context, *compute.Command) (*compute.Result, error) {
			<-leave
			return &compute.Result{}, nil
		}
		opts := compute.HandlerOptions{Authorize: compute.AllowAll}
		heard := records(&opts)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(command))
		begun := time.Now()
		compute.NewHandler(f, opts).ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, 11*time.Second, time.Since(begun))
		require.Equal(t, 499, (<-heard).Status)
		close(leave)
	})
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		f := newHandlerFake()
		c := withSandbox{f, hangingSandbox{&fakeSandbox{f}, leave}}
		opts := compute.HandlerOptions{Authorize: compute.AllowAll, StreamTimeout: time.Minute}
		heard := records(&opts)
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/?action=filesystem.download&sandboxId=s1&path=/etc/motd", nil)
		require.PanicsWithValue(t, http.ErrAbortHandler, func() { compute.NewHandler(c, opts).ServeHTTP(w, r) }, "half a file is none")
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, 504, (<-heard).Status)
		close(leave)
	})
}

// hangingSandbox has a file whose end does not come.
type hangingSandbox struct {
	*fakeSandbox
	leave chan struct{}
}

func (s hangingSandbox) Filesystem() compute.Filesystem {
	return hangingFiles{s.fakeSandbox.Filesystem(), s.leave}
}

type hangingFiles struct {
	compute.Filesystem
	leave chan struct{}
}

func (f hangingFiles) OpenFile(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", 100_000)), hanging(f.leave))), nil
}

type hanging chan struct{}

func (h hanging) Read([]byte) (int, error) { <-h; return 0, io.EOF }

// oddCompute is a provider that does what none may.
type oddCompute struct {
	*handlerFake
	name func() string
	get  func() (compute.Sandbox, error)
}

func (c oddCompute) Name() string { return c.name() }

func (c oddCompute) GetSandbox(context.Context, string) (compute.Sandbox, error) { return c.get() }

// Whatever a provider returns, or does instead of returning, the client has an
// answer without detail, and the audit one record.
func TestHandlerOddProviders(t *testing.T) {
	fake := func() string { return "fake" }
	good := func() (compute.Sandbox, error) { return &fakeSandbox{newHandlerFake()}, nil }
	for name, c := range map[string]oddCompute{
		"no sandbox and no error": {nil, fake, func() (compute.Sandbox, error) { return nil, nil }}, //nolint:nilnil // the point
		"an error that is nil":    {nil, fake, func() (compute.Sandbox, error) { return nil, (*compute.Error)(nil) }},
		"a sandbox that is nil":   {nil, fake, func() (compute.Sandbox, error) { return (*fakeSandbox)(nil), nil }},
		"a panic":                 {nil, fake, func() (compute.Sandbox, error) { panic("s3cret") }},
		"a panic with an error":   {nil, fake, func() (compute.Sandbox, error) { panic(errSecret) }},
		"the end of a goroutine":  {nil, fake, func() (compute.Sandbox, error) { runtime.Goexit(); return nil, nil }},
		"a name that panics":      {nil, func() string { panic("s3cret") }, func() (compute.Sandbox, error) { return nil, errSecret }},
		"a name alone that does":  {nil, func() string { panic("s3cret") }, good},
	} {
		t.Run(name, func(t *testing.T) {
			c.handlerFake = newHandlerFake()
			for _, request := range []struct{ method, query, accept string }{
				{http.MethodPost, "", "application/json"}, {http.MethodPost, "", "text/event-stream"},
				{http.MethodGet, "?action=filesystem.download&sandboxId=s1&path=/etc/motd", ""},
			} {
				opts := compute.HandlerOptions{Authorize: compute.AllowAll, Limits: compute.HandlerLimits{Concurrency: 1}}
				heard := records(&opts)
				h := compute.NewHandler(c, opts)
				for range 2 { // the place is given back
					r := httptest.NewRequest(request.method, "/"+request.query, strings.NewReader(command))
					r.Header.Set("Accept", request.accept)
					w := httptest.NewRecorder()
					h.ServeHTTP(w, r)
					if name == "a name alone that does" {
						require.Equal(t, http.StatusOK, w.Code, w.Body)
					} else {
						require.Equal(t, http.StatusInternalServerError, w.Code, w.Body)
					}
					require.NotContains(t, w.Body.String(), "s3cret")
					require.NotContains(t, w.Body.String(), "goroutine")
					require.Len(t, heard, 1)
					rec := <-heard
					assert.Equal(t, w.Code, rec.Status)
				}
			}
		})
	}
}

// Functions of the application's that panic, or wait for the end of their context,
// or end their goroutine, allow nothing and hold up nothing for ever.
func TestHandlerOddAudit(t *testing.T) {
	for name, audit := range map[string]func(context.Context){
		"panics":   func(context.Context) { panic("s3cret") },
		"waits":    func(ctx context.Context) { <-ctx.Done() },
		"an error": func(context.Context) { panic(errors.New("s3cret")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := compute.HandlerOptions{Authorize: compute.AllowAll, Limits: compute.HandlerLimits{Concurrency: 1},
					Audit: func(ctx context.Context, _ compute.AuditRecord) { audit(ctx) }}
				h := compute.NewHandler(newHandlerFake(), opts)
				for range 3 {
					begun := time.Now()
					require.Equal(t, http.StatusOK, post(h, list).Code)
					require.LessOrEqual(t, time.Since(begun), time.Minute)
				}
			})
		})
	}
}

// A tenant is a name that can be kept, or none: what JSON would alter might be
// another's.
func TestHandlerOddOwners(t *testing.T) {
	for _, owner := range []string{"", "\x00", "a\x00", "\xff", "a\xc3"} {
		opts := compute.HandlerOptions{Authorize: compute.AllowAll, Owner: func(*http.Request, *compute.Request) (string, error) { return owner, nil }}
		f := newHandlerFake()
		w := post(compute.NewHandler(f, opts), `{"action":"compute.sandbox.create"}`)
		require.Equal(t, http.StatusForbidden, w.Code, "%q", owner)
		require.Nil(t, f.created, "%q", owner)
	}
}
