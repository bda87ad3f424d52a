package remote_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
)

// BenchmarkInfo is one small operation, beside a bare HTTP client that makes
// the same request of the same handler and throws the answer away.
func BenchmarkInfo(b *testing.B) {
	far := newStub(b)
	url, client := serve(b, far, protocols[0])
	sb := computetest.NewSandbox(b, dialTo(b, url, client), nil)
	b.Run("remote", func(b *testing.B) {
		for b.Loop() {
			_, err := sb.Info(b.Context())
			require.NoError(b, err)
		}
	})
	b.Run("bare", func(b *testing.B) {
		body := []byte(`{"action":"compute.sandbox.getInfo","sandboxId":"` + sb.ID() + `"}`)
		for b.Loop() {
			answer, err := client.Post(url, "application/json", bytes.NewReader(body))
			require.NoError(b, err)
			_, err = io.Copy(io.Discard, answer.Body)
			require.NoError(b, err)
			require.Equal(b, http.StatusOK, answer.StatusCode)
			_ = answer.Body.Close()
		}
	})
}

// BenchmarkReadFile streams a file, beside a bare HTTP client.
func BenchmarkReadFile(b *testing.B) {
	const size = 16 << 20
	far := newStub(b)
	url, client := serve(b, far, protocols[0])
	sb := computetest.NewSandbox(b, dialTo(b, url, client), nil)
	require.NoError(b, sb.Filesystem().WriteFile(b.Context(), "f", make([]byte, size), 0o644))
	copied := func(b *testing.B, r io.ReadCloser, err error) {
		require.NoError(b, err)
		n, err := io.Copy(io.Discard, r)
		require.NoError(b, err)
		require.EqualValues(b, size, n)
		_ = r.Close()
	}
	b.Run("remote", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			r, err := compute.OpenFile(b.Context(), sb.Filesystem(), "f")
			copied(b, r, err)
		}
	})
	b.Run("bare", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			answer, err := client.Get(url + "?action=filesystem.download&path=f&sandboxId=" + sb.ID()) //nolint:bodyclose // copied does
			require.NoError(b, err)
			copied(b, answer.Body, nil)
		}
	})
}

// BenchmarkOutput streams the output of a command through events.
func BenchmarkOutput(b *testing.B) {
	const size = 16 << 20
	far := newStub(b)
	url, client := serve(b, far, protocols[0])
	sb := computetest.NewSandbox(b, dialTo(b, url, client), nil)
	require.NoError(b, sb.Filesystem().WriteFile(b.Context(), "f", bytes.Repeat([]byte("a line of text\n"), size/15), 0o644))
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		cmd := compute.Exec("cat", "f")
		cmd.Stdout = io.Discard
		_, err := sb.RunCommand(b.Context(), cmd)
		require.NoError(b, err)
	}
}
