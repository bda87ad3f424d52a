//go:build linux

package engine

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/computekit/compute/providers/local/internal/wire"
)

func startGVisor(t *testing.T, spec Spec) GVisorBox {
	t.Helper()
	runsc, err := exec.LookPath("runsc")
	if err == nil {
		state := t.TempDir()
		spec.Dir, spec.StateDir, spec.GVisor.Runsc = filepath.Join(state, "box"), state, runsc
		_, err = Start(t.Context(), spec)
	}
	if err != nil {
		if strings.Contains(os.Getenv("COMPUTE_TEST_REQUIRE"), "gvisor") {
			t.Fatal(err)
		}
		t.Skip("no gVisor on this machine: ", err)
	}
	t.Cleanup(func() {
		if err := Destroy(context.Background(), spec.Dir); err != nil {
			t.Error(err)
		}
	})
	return AtGVisor(spec.Dir)
}

// What one sandbox starts cannot exhaust this machine.
func TestGVisorProcessLimit(t *testing.T) {
	b := startGVisor(t, Spec{MaxProcesses: 100})
	exit, err := b.Exec(t.Context(), Command{Argv: []string{"sh", "-c",
		`i=0; while [ $i -lt 300 ]; do sleep 600 & i=$((i+1)); done; echo all`}})
	if err != nil || exit.Code == 0 {
		t.Fatal(exit, err)
	}
	if _, err := b.Exec(t.Context(), Command{Argv: []string{"true"}}); err != nil && !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
	if err := b.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// A failed checkpoint leaves the sandbox as it was.
func TestGVisorCheckpointFails(t *testing.T) {
	b := startGVisor(t, Spec{})
	// The place of the image is taken by what cannot be removed as a directory.
	image := filepath.Join(b.Dir(), fsName, wire.GVisorImage+".new")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Checkpoint(t.Context()); err == nil {
		t.Fatal("it was saved")
	}
	exit, err := b.Exec(t.Context(), Command{Argv: []string{"true"}})
	if err != nil || exit.Code != 0 {
		t.Fatal(exit, err)
	}
}
