//go:build linux

package engine

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newBox(t testing.TB, layers ...string) *Box {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "box")
	b, err := Start(t.Context(), Spec{Dir: dir, StateDir: sharedState(t), Layers: layers})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no sandboxes here: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := Destroy(ctx, dir); err != nil {
			t.Error(err)
		}
	})
	return b
}

// sh runs a script and returns what it printed on both streams.
func sh(t testing.TB, b *Box, script string) (string, Exit) {
	t.Helper()
	var out bytes.Buffer
	exit, err := b.Exec(t.Context(), Command{Argv: []string{"/bin/sh", "-c", script}, Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatalf("%s: %v (%s)", script, err, out.String())
	}
	return out.String(), exit
}

func TestExec(t *testing.T) {
	b := newBox(t)
	out, exit := sh(t, b, "id -u; pwd; echo err >&2; exit 3")
	if out != "0\n/workspace\nerr\n" || exit.Code != 3 {
		t.Fatalf("got %q, %+v", out, exit)
	}
	out, _ = sh(t, b, "cat; ls /; cat /proc/self/status | grep -E 'Cap|NoNew|Seccomp'; ls -la /usr/local; cat /proc/self/mountinfo; ls /proc/1/; env; ip a")
	t.Log(out)
	if !strings.Contains(out, "workspace") {
		t.Fatal(out)
	}
}
