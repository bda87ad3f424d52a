package remote_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/remote"
)

// failing makes every operation but those of the test's own set-up fail.
type failing struct{ err error }

func (f *failing) intercept(ctx context.Context, _ compute.Op, next func(context.Context) error) error {
	if f.err != nil {
		return f.err
	}
	return next(ctx)
}

func TestErrorsKeepTheirKind(t *testing.T) {
	f := &failing{}
	c := dial(t, compute.Intercept(newStub(t), f.intercept), protocols[0])
	sb := computetest.NewSandbox(t, c, nil)
	t.Cleanup(func() { f.err = nil })
	for name, tc := range map[string]struct {
		err error
		is  []error
	}{
		"invalid":                      {&compute.Error{Kind: compute.ErrInvalid}, []error{compute.ErrInvalid}},
		"forbidden":                    {&compute.Error{Kind: compute.ErrForbidden}, []error{compute.ErrForbidden}},
		"not found":                    {&compute.Error{Kind: compute.ErrNotFound}, []error{compute.ErrNotFound}},
		"conflict":                     {&compute.Error{Kind: compute.ErrConflict}, []error{compute.ErrConflict}},
		"quota":                        {&compute.Error{Kind: compute.ErrQuota}, []error{compute.ErrQuota}},
		"unsupported":                  {&compute.Error{Kind: errors.ErrUnsupported}, []error{errors.ErrUnsupported}},
		"unavailable":                  {&compute.Error{Kind: compute.ErrUnavailable}, []error{compute.ErrUnavailable}},
		"truncated":                    {&compute.Error{Kind: compute.ErrTruncated}, []error{compute.ErrTruncated}},
		"timeout":                      {context.DeadlineExceeded, []error{context.DeadlineExceeded}},
		"a provider's own credentials": {&compute.Error{Kind: compute.ErrUnauthorized}, []error{compute.ErrUnavailable}},
		"no such file":                 {&fs.PathError{Op: "open", Path: "f", Err: fs.ErrNotExist}, []error{fs.ErrNotExist}},
		"file exists":                  {&fs.PathError{Op: "open", Path: "f", Err: fs.ErrExist}, []error{fs.ErrExist}},
		"permission":                   {&fs.PathError{Op: "open", Path: "f", Err: fs.ErrPermission}, []error{fs.ErrPermission}},
		"invalid file":                 {&fs.PathError{Op: "open", Path: "f", Err: fs.ErrInvalid}, []error{fs.ErrInvalid}},
		"is a directory":               {&fs.PathError{Op: "read", Path: "f", Err: syscall.EISDIR}, []error{fs.ErrInvalid, syscall.EISDIR}},
		"two at once": {&fs.PathError{Op: "replace", Path: "f", Err: &compute.Error{Kind: compute.ErrConflict, Err: exec.ErrNotFound}},
			[]error{compute.ErrConflict, exec.ErrNotFound}},
	} {
		t.Run(name, func(t *testing.T) {
			f.err = tc.err
			_, err := sb.GetURL(t.Context(), 80)
			f.err = nil
			for _, want := range tc.is {
				require.ErrorIs(t, err, want)
			}
			for _, kind := range []error{compute.ErrInvalid, compute.ErrForbidden, compute.ErrNotFound, compute.ErrConflict, compute.ErrQuota,
				errors.ErrUnsupported, compute.ErrUnavailable, compute.ErrTruncated, fs.ErrNotExist, fs.ErrExist, fs.ErrPermission} {
				if !errors.Is(tc.err, kind) && !errors.Is(tc.is[0], kind) {
					assert.NotErrorIs(t, err, kind)
				}
			}
			var path *fs.PathError
			if errors.As(tc.err, &path) {
				var got *fs.PathError
				require.ErrorAs(t, err, &got)
				assert.Equal(t, path.Path, got.Path)
			}
		})
	}
}

func TestErrorsKeepWhatTheySay(t *testing.T) {
	f := &failing{}
	c := dial(t, compute.Intercept(newStub(t), f.intercept), protocols[0])
	sb := computetest.NewSandbox(t, c, nil)
	f.err = &compute.Error{Op: "get url", ID: "x", Kind: compute.ErrConflict, RequestID: "req_1", RetryAfter: 1500 * time.Millisecond, NothingDone: true}
	_, err := sb.GetURL(t.Context(), 80)
	f.err = nil
	got, ok := errors.AsType[*compute.Error](err)
	require.True(t, ok)
	assert.Equal(t, "req_1", got.RequestID)
	assert.Equal(t, 1500*time.Millisecond, got.RetryAfter)
	assert.True(t, compute.NothingDone(err))
	assert.Equal(t, http.StatusConflict, got.StatusCode)
	assert.Equal(t, "stub", got.Provider)
}

// TestStrangeAnswers: what is not from a handler is an error, and bounded.
func TestStrangeAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		kind   string
		body   io.Reader
		is     error
	}{
		"a page":         {200, "text/html", strings.NewReader("<html>secret"), compute.ErrUnavailable},
		"not found":      {404, "text/html", strings.NewReader("secret"), compute.ErrUnavailable},
		"login":          {401, "text/plain", strings.NewReader("secret"), compute.ErrUnauthorized},
		"redirect":       {302, "text/html", strings.NewReader("secret"), compute.ErrUnavailable},
		"too many":       {429, "text/plain", strings.NewReader("secret"), compute.ErrQuota},
		"proxy's JSON":   {503, "application/json", strings.NewReader(`["secret"]`), compute.ErrUnavailable},
		"null":           {200, "application/json", strings.NewReader("null"), compute.ErrUnavailable},
		"neither":        {200, "application/json", strings.NewReader("{}"), compute.ErrUnavailable},
		"half":           {200, "application/json", strings.NewReader(`{"success":tr`), compute.ErrUnavailable},
		"no abilities":   {200, "application/json", strings.NewReader(`{"success":true}`), compute.ErrUnavailable},
		"a new code":     {418, "application/json", strings.NewReader(`{"success":false,"code":"new","error":"short and stout"}`), compute.ErrInvalid},
		"endless answer": {200, "application/json", endless{}, compute.ErrTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tc.kind)
				w.Header().Set("Location", "http://127.0.0.1:1/")
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(tc.status)
				_, _ = io.Copy(w, tc.body)
			}))
			defer s.Close()
			_, err := remote.New(t.Context(), remote.Config{URL: s.URL + "/secret"})
			require.ErrorIs(t, err, tc.is)
			assert.NotErrorIs(t, err, compute.ErrNotFound)
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestCredentials(t *testing.T) {
	const token = "s3cret"
	far := newStub(t)
	s := httptest.NewServer(compute.NewHandler(far, compute.HandlerOptions{Authorize: func(r *http.Request, _ *compute.Request) error {
		if r.Header.Get("Authorization") != "Bearer "+token {
			return compute.ErrUnauthorized
		}
		return nil
	}}))
	defer s.Close()
	_, err := remote.New(t.Context(), remote.Config{URL: s.URL})
	require.ErrorIs(t, err, compute.ErrUnauthorized)

	t.Setenv("COMPUTE_REMOTE_TOKEN", token)
	c, err := compute.Open(t.Context(), "remote+"+s.URL)
	require.NoError(t, err, "Open")
	assert.Equal(t, far.Name(), c.Name())
	sb, err := c.CreateSandbox(t.Context(), nil)
	require.NoError(t, err, "CreateSandbox")
	require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "f", []byte("x"), 0o644), "files too")
	require.NoError(t, sb.Destroy(t.Context()), "Destroy")
	require.NoError(t, compute.Close(c), "Close")

	boom := errors.New("no token")
	_, err = remote.New(t.Context(), remote.Config{URL: s.URL, Header: func(context.Context, http.Header) error { return boom }})
	require.ErrorIs(t, err, boom)
}

func TestConfig(t *testing.T) {
	for name, url := range map[string]string{"empty": "", "no scheme": "example.com", "other scheme": "ftp://example.com",
		"no host": "http://", "credentials": "https://user:s3cret@example.com", "fragment": "https://example.com/#f"} {
		t.Run(name, func(t *testing.T) {
			_, err := remote.New(t.Context(), remote.Config{URL: url})
			require.ErrorIs(t, err, compute.ErrInvalid)
			assert.NotContains(t, err.Error(), "s3cret")
		})
	}
}

// TestTextThatCannotBeSent is refused and not changed on the way.
func TestTextThatCannotBeSent(t *testing.T) {
	sb := computetest.NewSandbox(t, dial(t, newStub(t), protocols[0]), nil)
	_, err := sb.RunCommand(t.Context(), compute.Exec("echo", "\xff"))
	require.ErrorIs(t, err, compute.ErrInvalid)
	for _, text := range []string{"\ufffd", `\ufffd`, `\\ufffd`, "\\\n"} {
		res, err := sb.RunCommand(t.Context(), compute.Exec("echo", text))
		require.NoError(t, err, "%q", text)
		assert.Equal(t, text+"\n", res.Stdout)
	}
}

// TestMissingAbilities: what the far end lacks is missing here.
func TestMissingAbilities(t *testing.T) {
	far := newStub(t)
	c := dial(t, plain{far}, protocols[0])
	sb := computetest.NewSandbox(t, c, nil)
	assert.Empty(t, compute.Abilities(c))
	assert.Equal(t, []string{"Suspender"}, compute.Abilities(sb))
	assert.Empty(t, compute.Abilities(sb.Filesystem()))
	_, ok := compute.As[compute.Starter](sb)
	assert.False(t, ok)
	_, ok = compute.As[*remote.Sandbox](sb)
	assert.True(t, ok, "the native type")
	require.NoError(t, compute.Suspend(t.Context(), sb))
	_, err := compute.Start(t.Context(), sb, compute.Exec("true"))
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// plain hides all abilities but one.
type plain struct{ compute.Compute }

func (p plain) CreateSandbox(ctx context.Context, o *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	sb, err := p.Compute.CreateSandbox(ctx, o)
	return hide(sb), err
}

func (p plain) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	sb, err := p.Compute.GetSandbox(ctx, id)
	return hide(sb), err
}

func hide(sb compute.Sandbox) compute.Sandbox {
	if sb == nil {
		return nil
	}
	s, _ := compute.As[compute.Suspender](sb)
	return plainSandbox{sb, s}
}

type plainSandbox struct {
	compute.Sandbox
	compute.Suspender
}

func (s plainSandbox) Filesystem() compute.Filesystem {
	return struct{ compute.Filesystem }{s.Sandbox.Filesystem()}
}
