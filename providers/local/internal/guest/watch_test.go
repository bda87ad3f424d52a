//go:build linux

package guest

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/computekit/compute/providers/local/internal/wire"
)

func newTestWatcher(t *testing.T, dirs, limit int) (*watcher, string) {
	t.Helper()
	r, err := openRoot()
	if err != nil {
		t.Fatal(err)
	}
	top := t.TempDir()
	for i := range dirs {
		if err := os.Mkdir(filepath.Join(top, strconv.Itoa(i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w, err := r.newWatcher(top)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	w.limit = limit
	return w, top
}

func TestWatchLimit(t *testing.T) {
	w, _ := newTestWatcher(t, 5, 6)
	if err := w.begin(); err != nil {
		t.Error("six directories:", err)
	}
	w, _ = newTestWatcher(t, 6, 6)
	var op *opError
	if err := w.begin(); !errors.As(err, &op) || op.code != wire.CodeLimit {
		t.Error("seven directories:", err)
	}
}

// A directory beyond the limit that is made later is told of, as is what cannot
// be seen below it.
func TestWatchLimitLater(t *testing.T) {
	w, top := newTestWatcher(t, 2, 3)
	if err := w.begin(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(top, "late"), 0o755); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := w.notify.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	w.digest(buf[:n])
	if len(w.queue) != 1 || w.queue[0].Name != top+"/late" || w.queue[0].Mode != wire.WatchCreated {
		t.Errorf("%+v", w.queue)
	}
	if !strings.Contains(w.lost, "more than 3") {
		t.Errorf("lost: %q", w.lost)
	}
}
