package compute_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// Authorize and Owner have their time, and their context ends with it.
func TestAuthorizeTimeout(t *testing.T) {
	for name, slow := range map[string]func(*http.Request){
		"waits for its context": func(r *http.Request) { <-r.Context().Done() },
		"goes on for a while":   func(*http.Request) { time.Sleep(time.Hour) },
		"in time":               func(*http.Request) { time.Sleep(4 * time.Second) },
	} {
		for _, compat := range []compute.Compat{compute.CompatNone, compute.CompatD, compute.CompatE} {
			t.Run(name+string(compat), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newHandlerFake()
					h := compute.NewHandler(f, compute.HandlerOptions{AuthorizeTimeout: 5 * time.Second, Compat: compat,
						Authorize: compute.AllowAll,
						Owner: func(r *http.Request, req *compute.Request) (string, error) {
							slow(r)
							req.Action = "compute.sandbox.destroy" // too late for that
							return "ann", nil
						}})
					w := post(h, `{"action":"compute.sandbox.create"}`)
					require.Nil(t, f.created)
					if name == "in time" {
						require.Contains(t, w.Body.String(), "is required for destroy action", "the request that was changed is the one that counts")
						return
					}
					require.Equal(t, http.StatusServiceUnavailable, w.Code)
					require.Equal(t, "1", w.Header().Get("Retry-After"))
					require.JSONEq(t, `{"success":false,"code":"unavailable","error":"authorization took too long","provider":"fake",
						"sandboxId":"","errorDetail":{"nothingDone":true}}`, w.Body.String())
					require.Empty(t, f.destroyed)
					time.Sleep(2 * time.Hour) // the function ends by itself
				})
			})
		}
	}
}

// However many requests there are about which nobody decides, the calls that go
// on are bounded, and when they are over everything is as before.
func TestAuthorizeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		leave, slow := make(chan struct{}), atomic.Bool{}
		h := compute.NewHandler(newHandlerFake(), compute.HandlerOptions{AuthorizeTimeout: time.Second,
			Authorize: func(*http.Request, *compute.Request) error {
				asked.Add(1)
				if slow.Load() {
					<-leave
				}
				return nil
			}})
		slow.Store(true)
		for range 300 { // one after the other, lest they should all be on their way before the first is late
			w := post(h, list)
			require.Equal(t, http.StatusServiceUnavailable, w.Code)
		}
		require.EqualValues(t, 256, asked.Load())
		w := post(h, list)
		require.Contains(t, w.Body.String(), "too many authorizations take too long")
		slow.Store(false)
		require.Equal(t, http.StatusServiceUnavailable, post(h, list).Code, "they still go on")
		close(leave)
		synctest.Wait()
		require.Equal(t, http.StatusOK, post(h, list).Code)
	})
}

// A function that ends its goroutine has not allowed anything.
func TestAuthorizeThatExits(t *testing.T) {
	h := compute.NewHandler(newHandlerFake(), compute.HandlerOptions{Authorize: func(*http.Request, *compute.Request) error {
		runtime.Goexit()
		return nil
	}})
	require.Equal(t, http.StatusForbidden, post(h, list).Code)
}

// The document is given out only where the application says so, and to those it
// lets through.
func TestHandlerOpenAPI(t *testing.T) {
	get := func(opts compute.HandlerOptions, method, token string) *httptest.ResponseRecorder {
		opts.Authorize = authorize
		r := httptest.NewRequest(method, "/api?action=compute.openapi", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		compute.NewHandler(newHandlerFake(), opts).ServeHTTP(w, r)
		return w
	}
	on := compute.HandlerOptions{OpenAPI: true}
	w := get(on, http.MethodGet, "good")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.Equal(t, string(compute.OpenAPI()), w.Body.String())
	require.Empty(t, get(on, http.MethodHead, "good").Body.String())
	require.Equal(t, http.StatusUnauthorized, get(on, http.MethodGet, "").Code)
	require.Equal(t, http.StatusForbidden, get(on, http.MethodGet, "readonly").Code)
	require.Equal(t, http.StatusMethodNotAllowed, get(compute.HandlerOptions{}, http.MethodGet, "good").Code)
	require.Equal(t, http.StatusMethodNotAllowed, get(on, http.MethodPut, "good").Code)
	on.Allow.Actions = []string{"compute.sandbox.*"}
	require.Equal(t, http.StatusForbidden, get(on, http.MethodGet, "good").Code)
	require.Equal(t, http.StatusBadRequest, post(open(newHandlerFake()), strings.Replace(list, "sandbox.list", "openapi", 1)).Code)
}
