package remote

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What has come already is not read after the end of the context either.
func TestReadAfterTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := &body{c: &client{}, ctx: ctx, answer: &http.Response{Body: io.NopCloser(strings.NewReader("all"))}}
	p := make([]byte, 1)
	_, err := b.Read(p)
	require.NoError(t, err)
	cancel()
	_, err = b.Read(p)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, b.Close())
}
