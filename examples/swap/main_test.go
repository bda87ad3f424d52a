package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/computekit/compute/mocks"
)

func TestRun(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), "stub://", &out))
	require.Contains(t, out.String(), "hello from stub:")
	require.Contains(t, out.String(), "it sleeps\nit is awake\n")
}

func TestRunUnknownProvider(t *testing.T) {
	require.ErrorContains(t, run(t.Context(), "moon://", nil), "unknown scheme")
}

// A sandbox that cannot sleep is no failure.
func TestNapUnsupported(t *testing.T) {
	var out strings.Builder
	require.NoError(t, nap(t.Context(), mocks.NewMockSandbox(gomock.NewController(t)), &out))
	require.Equal(t, "it does not sleep: compute: suspend: unsupported operation\n", out.String())
}
