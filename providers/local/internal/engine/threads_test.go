//go:build linux

package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Init makes the threads that it needs when it starts: later, when a command
// has started as many processes as it may, one more would be refused, and that
// ends it. So many at once must do with those there are, on any machine.
func TestThreadsAreReserved(t *testing.T) {
	usual := initEnv
	initEnv = []string{"GOMAXPROCS=64"}
	defer func() { initEnv = usual }()
	// With as few processes, the threads are there before the first request is.
	for name, spec := range map[string]Spec{"few": {MaxProcesses: 500}, "limited": {Limits: Limits{Processes: 2000}}} {
		t.Run(name, func(t *testing.T) { threadsReserved(t, spec) })
	}
}

func threadsReserved(t *testing.T, spec Spec) {
	t.Helper()
	spec.Dir, spec.StateDir = filepath.Join(t.TempDir(), "box"), sharedState(t)
	b, err := Start(t.Context(), spec)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no sandboxes here: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Destroy(context.Background(), spec.Dir); err != nil {
			t.Error(err)
		}
	})
	r, err := readRecord(b.Dir())
	if err != nil {
		t.Fatal(err)
	}
	threads := func() int {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", r.PID))
		if err != nil {
			t.Fatal(err)
		}
		return len(tasks)
	}
	work := operations(t, b)
	before := threads()
	var busy sync.WaitGroup
	for _, f := range work {
		for range 40 {
			busy.Go(func() {
				if err := f(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	busy.Wait()
	if after := threads(); after > before {
		t.Errorf("init had %d threads and has %d", before, after)
	}
}

// operations are some that each take init a thread or two.
func operations(t *testing.T, b *Box) []func() error {
	t.Helper()
	if err := b.WriteFile(t.Context(), "file", strings.NewReader("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	all := []func() error{
		func() error { _, err := b.Exec(t.Context(), Command{Argv: []string{"true"}, Dir: "/etc"}); return err },
		func() error {
			f, _, err := b.OpenFile(t.Context(), "file")
			if err == nil {
				err = f.Close()
			}
			return err
		},
		func() error { _, err := b.Stat(t.Context(), "/etc/passwd"); return err },
		func() error { return b.TarOut(t.Context(), "/etc", io.Discard) },
		func() error { return b.WriteFile(t.Context(), rand.Text(), strings.NewReader("x"), 0o644) },
	}
	if ids, err := currentMap(); err == nil && ids.ranged() {
		all = append(all, func() error { _, err := b.Exec(t.Context(), Command{Argv: []string{"true"}, User: "1000"}); return err })
	}
	return all
}
