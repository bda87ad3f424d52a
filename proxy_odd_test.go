package compute_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// oddSandbox is dialed by a function.
type oddSandbox struct {
	*fakeSandbox
	dial func(context.Context) (net.Conn, error)
}

func (s oddSandbox) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return s.dial(ctx)
}

// oddConn is a connection that panics.
type oddConn struct{ net.Conn }

func (oddConn) Write([]byte) (int, error) { panic("s3cret") }

// Whatever the application's functions do, and whatever the provider does, a
// request to a proxy ends in bounded time and says nothing of why; what is not
// decided is not allowed, and no panic ends the program.
func TestProxyOddities(t *testing.T) {
	const limit = 5 * time.Second
	here := func(s compute.Sandbox) func() (compute.Sandbox, error) {
		return func() (compute.Sandbox, error) { return s, nil }
	}
	dials := func(f func(context.Context) (net.Conn, error)) func() (compute.Sandbox, error) {
		return here(oddSandbox{&fakeSandbox{newHandlerFake()}, f})
	}
	forever := make(chan struct{})
	for name, tt := range map[string]struct {
		authorize func(*http.Request)
		owner     func(*http.Request) string
		ports     func()
		get       func() (compute.Sandbox, error)
		status    int
	}{
		"Ports panics":             {ports: func() { panic("s3cret") }, status: 500},
		"Authorize panics":         {authorize: func(*http.Request) { panic("s3cret") }, status: 500},
		"Authorize waits":          {authorize: func(r *http.Request) { <-r.Context().Done() }, status: 503},
		"Authorize does not end":   {authorize: func(*http.Request) { <-forever }, status: 503},
		"Authorize ends all":       {authorize: func(*http.Request) { runtime.Goexit() }, status: 403},
		"Owner panics":             {owner: func(*http.Request) string { panic("s3cret") }, status: 500},
		"Owner waits":              {owner: func(r *http.Request) string { <-r.Context().Done(); return "ann" }, status: 503},
		"Owner is nobody":          {owner: func(*http.Request) string { return "" }, get: here(&fakeSandbox{newHandlerFake()}), status: 404},
		"GetSandbox panics":        {get: func() (compute.Sandbox, error) { panic("s3cret") }, status: 500},
		"GetSandbox does not end":  {get: func() (compute.Sandbox, error) { <-forever; return nil, errSecret }, status: 504},
		"GetSandbox ends all":      {get: func() (compute.Sandbox, error) { runtime.Goexit(); return nil, nil }, status: 500}, //nolint:nilnil // it does not get there
		"no sandbox and no error":  {get: func() (compute.Sandbox, error) { return nil, nil }, status: 500},                   //nolint:nilnil // the point
		"an error that is nil":     {get: func() (compute.Sandbox, error) { return nil, (*compute.Error)(nil) }, status: 500}, //nolint:nilnil // the point
		"DialContext panics":       {get: dials(func(context.Context) (net.Conn, error) { panic("s3cret") }), status: 500},
		"DialContext does not end": {get: dials(func(context.Context) (net.Conn, error) { <-forever; return nil, errSecret }), status: 504},
		"DialContext waits":        {get: dials(func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }), status: 504},
		"the connection panics":    {get: dials(func(context.Context) (net.Conn, error) { conn, _ := net.Pipe(); return oddConn{conn}, nil }), status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				forever = make(chan struct{}) // of this bubble
				var asked int
				opts := compute.ProxyOptions{URL: "http://example.net/p/", HeaderTimeout: limit,
					Authorize: func(r *http.Request, _ *compute.ProxyRequest) error {
						if tt.authorize != nil {
							tt.authorize(r)
						}
						return nil
					},
					Ports: func(int) bool {
						if tt.ports != nil {
							tt.ports()
						}
						return true
					}}
				if tt.owner != nil {
					opts.OwnerKey = "user"
					opts.Owner = func(r *http.Request) (string, error) { return tt.owner(r), nil }
				}
				get := func() (compute.Sandbox, error) {
					asked++
					return tt.get()
				}
				p, err := compute.NewProxy(oddCompute{newHandlerFake(), func() string { return "odd" }, get}, opts)
				require.NoError(t, err)
				w := httptest.NewRecorder()
				begun := time.Now()
				p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://example.net/p/s1/3000/", nil))
				require.LessOrEqual(t, time.Since(begun), limit+11*time.Second)
				require.Equal(t, tt.status, w.Code, w.Body)
				require.NotContains(t, w.Body.String(), "s3cret")
				if tt.get == nil {
					require.Zero(t, asked, "what is not allowed is not looked for")
				}
				close(forever)
				time.Sleep(time.Minute)
				require.NoError(t, p.Close())
			})
		})
	}
}

// A decision is none that is late, however often it is asked for.
func TestProxyAuthorizesInTime(t *testing.T) {
	p, err := compute.NewProxy(newHandlerFake(), compute.ProxyOptions{URL: "http://example.net/p/",
		Authorize: func(*http.Request, *compute.ProxyRequest) error { return compute.ErrUnauthorized }})
	require.NoError(t, err)
	for range 20_000 {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://example.net/p/s1/3000/", nil))
		require.Equal(t, http.StatusUnauthorized, w.Code)
	}
	require.NoError(t, p.Close())
}
