//go:build linux

package engine

import (
	"os"
	"sync"
	"testing"

	"github.com/computekit/compute/providers/local/internal/tree"
)

var state struct {
	sync.Once
	dir string
	err error
}

// sharedState is a state directory for all tests, so that the base layer is
// built once.
func sharedState(t testing.TB) string {
	t.Helper()
	state.Do(func() { state.dir, state.err = os.MkdirTemp("", "compute-engine-") }) //nolint:usetesting // it outlives the test
	if state.err != nil {
		t.Fatal(state.err)
	}
	return state.dir
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(startedBy); dir != "" {
		startAndHang(dir)
	}
	code := m.Run()
	if state.dir != "" {
		_ = tree.RemovePath("/", state.dir[1:])
	}
	os.Exit(code)
}
