package local_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// A program that was just written can be run, however busy the sandbox is with
// starting others.
func TestWriteAndRun(t *testing.T) {
	c := newLocal(t, t.TempDir(), local.Namespaces)
	sb := computetest.NewSandbox(t, c, nil)
	done := make(chan error, 1)
	go func() {
		var err error
		for range 100 {
			if _, err = sb.RunCommand(t.Context(), compute.Exec("true")); err != nil {
				break
			}
		}
		done <- err
	}()
	for range 100 {
		require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "program", []byte("#!/bin/sh\necho ran\n"), 0o755))
		out, err := compute.Output(t.Context(), sb, compute.Exec("./program"))
		require.NoError(t, err)
		require.Equal(t, "ran\n", out)
	}
	require.NoError(t, <-done)
}
