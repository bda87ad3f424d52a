package providers_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

func TestUnimplemented(t *testing.T) {
	v := reflect.ValueOf(providers.Unimplemented{})
	var u providers.Unimplemented
	for _, err := range u.ListTemplates(t.Context(), nil) {
		require.ErrorIs(t, err, errors.ErrUnsupported)
	}
	for _, err := range u.ListSnapshots(t.Context(), nil) {
		require.ErrorIs(t, err, errors.ErrUnsupported)
	}
	for m, f := range v.Methods() {
		args := []reflect.Value{reflect.ValueOf(t.Context())}
		for i := 1; i < f.Type().NumIn(); i++ {
			args = append(args, reflect.Zero(f.Type().In(i)))
		}
		out := f.Call(args)
		if err, ok := out[len(out)-1].Interface().(error); ok {
			require.ErrorIs(t, err, errors.ErrUnsupported, m.Name)
		}
	}
}

func TestKind(t *testing.T) {
	tests := map[int]error{
		200: nil, 204: nil, 304: nil, 400: compute.ErrInvalid, 401: compute.ErrUnauthorized,
		402: compute.ErrQuota, 403: compute.ErrForbidden, 404: compute.ErrNotFound,
		405: errors.ErrUnsupported, 408: compute.ErrUnavailable, 409: compute.ErrConflict,
		410: compute.ErrNotFound, 412: compute.ErrConflict, 413: compute.ErrInvalid,
		422: compute.ErrInvalid, 423: compute.ErrConflict, 425: compute.ErrUnavailable,
		429: compute.ErrQuota, 500: compute.ErrUnavailable, 501: errors.ErrUnsupported,
		502: compute.ErrUnavailable, 503: compute.ErrUnavailable, 504: compute.ErrUnavailable, 529: compute.ErrUnavailable,
	}
	for status, want := range tests {
		require.Equal(t, want, providers.Kind(status), "%d %s", status, http.StatusText(status))
	}
}

// Kind goes back where compute.StatusCode came from.
func TestKindInvertsStatusCode(t *testing.T) {
	for _, err := range []error{compute.ErrInvalid, compute.ErrUnauthorized, compute.ErrForbidden, compute.ErrNotFound,
		compute.ErrConflict, compute.ErrQuota, compute.ErrUnavailable, errors.ErrUnsupported} {
		require.Equal(t, err, providers.Kind(compute.StatusCode(err)))
	}
}

func TestErrors(t *testing.T) {
	require.EqualError(t, providers.UnsupportedOption("create sandbox", "cloud", "Mounts"), "compute: cloud: create sandbox: unsupported operation: option Mounts")
	require.True(t, compute.NothingDone(providers.Unsupported("suspend")))
	err := providers.NotFound("get sandbox", "stub", "sbx_1")
	require.ErrorIs(t, err, compute.ErrNotFound)
	require.EqualError(t, err, `compute: stub: get sandbox "sbx_1": not found`)
}

func TestCleanup(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, 1))
	cancel()
	clean, stop := providers.Cleanup(ctx)
	defer stop()
	require.NoError(t, clean.Err())
	require.Equal(t, 1, clean.Value(key{}))
	deadline, ok := clean.Deadline()
	require.True(t, ok)
	require.WithinDuration(t, time.Now().Add(time.Minute), deadline, 10*time.Second)
}

// pages returns a fetch of pages of two out of n, and counts its calls.
func pages(n int, calls *int) func(context.Context, string) ([]int, string, error) {
	return func(ctx context.Context, cursor string) ([]int, string, error) {
		*calls++
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		from, _ := strconv.Atoi(cursor)
		var page []int
		for i := from; i < min(from+2, n); i++ {
			page = append(page, i)
		}
		if from+2 >= n {
			return page, "", nil
		}
		return page, strconv.Itoa(from + 2), nil
	}
}

func TestPaginate(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 5} {
		calls := 0
		all, err := compute.Collect(providers.Paginate(t.Context(), pages(n, &calls)), 0)
		require.NoError(t, err)
		require.Len(t, all, n)
		require.Equal(t, max(1, (n+1)/2), calls)
	}
	calls := 0
	_, err := compute.Collect(providers.Paginate(t.Context(), pages(100, &calls)), 2)
	require.NoError(t, err)
	require.Equal(t, 1, calls, "no page is fetched that nobody looks at")
}

func TestPaginateStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	calls := 0
	var got []int
	var last error
	for v, err := range providers.Paginate(ctx, pages(10, &calls)) {
		if last = err; err == nil {
			got = append(got, v)
		}
		cancel()
	}
	require.ErrorIs(t, last, context.Canceled)
	require.Equal(t, []int{0, 1}, got)
}

func TestFilter(t *testing.T) {
	odd := func(i int) bool { return i%2 == 1 }
	calls := 0
	all, err := compute.Collect(providers.Filter(providers.Paginate(t.Context(), pages(10, &calls)), odd, 2), 0)
	require.NoError(t, err)
	require.Equal(t, []int{1, 3}, all)
	require.Equal(t, 2, calls)
	all, err = compute.Collect(providers.Filter(providers.Paginate(t.Context(), pages(6, &calls)), odd, 0), 0)
	require.NoError(t, err)
	require.Equal(t, []int{1, 3, 5}, all)
	_, err = compute.Collect(providers.Filter(providers.Fail[int](compute.ErrQuota), odd, 1), 0)
	require.ErrorIs(t, err, compute.ErrQuota)
}

func TestCloneOptions(t *testing.T) {
	full := func() *compute.CreateSandboxOptions {
		return &compute.CreateSandboxOptions{
			Name: "n", Env: map[string]string{"A": "1"}, Metadata: map[string]string{"k": "v"}, Ports: []int{80},
			Network: &compute.NetworkPolicy{Allow: []string{"a"}}, Mounts: []compute.Mount{{Volume: "v", Path: "/v"}},
			Code: []compute.CodeMount{{URL: "u"}}, Extra: []compute.ProviderOptions{nil},
		}
	}
	o := full()
	c := providers.CloneOptions(o)
	require.Equal(t, o, c)
	c.Env["A"], c.Metadata["k"], c.Ports[0], c.Network.Allow[0], c.Mounts[0].Path, c.Code[0].URL = "", "", 0, "", "", ""
	require.Equal(t, full(), o)
	require.Equal(t, &compute.CreateSandboxOptions{}, providers.CloneOptions(nil))
}
