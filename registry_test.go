package compute_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/computefake"
)

func TestOpen(t *testing.T) {
	compute.Register("openfake", func(_ context.Context, u *url.URL) (compute.Compute, error) {
		return &computefake.Compute{Label: u.Host}, nil
	})
	require.Contains(t, compute.Schemes(), "openfake")
	require.Panics(t, func() { compute.Register("openfake", nil) })

	_, err := compute.Open(t.Context(), "openfake")
	require.ErrorContains(t, err, `a URL has a scheme, as in "local://"`)

	c, err := compute.Open(t.Context(), "openfake://west?x=1")
	require.NoError(t, err)
	require.Equal(t, "west", c.Name())

	for _, bad := range []string{"", secret, "nobody://" + secret, "openfake://" + secret + "@host", "openfake://u:" + secret + "@host",
		"openfake://%zz" + secret, "://" + secret} {
		_, err := compute.Open(t.Context(), bad)
		require.ErrorIs(t, err, compute.ErrInvalid, bad)
		require.NotContains(t, err.Error(), secret)
	}
}
