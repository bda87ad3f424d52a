//go:build linux

package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// cyclesEnv makes the tests of many suspensions and snapshots longer.
const cyclesEnv = "COMPUTE_LOCAL_TEST_CYCLES"

func cycles(t *testing.T, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(cyclesEnv)); err == nil {
		return n
	}
	if testing.Short() {
		return usual / 2
	}
	return usual
}

// randomChanges is a script that changes the tree in the working directory. It
// never changes a file that may have two names: an overlay gives each a file
// of its own when one below it changes.
func randomChanges(r *rand.Rand, n int) string {
	var s strings.Builder
	name := func() string {
		parts := []string{}
		for range 1 + r.IntN(3) {
			parts = append(parts, string(rune('a'+r.IntN(4))))
		}
		return strings.Join(parts, "/")
	}
	for range n {
		a, b := name(), name()
		switch r.IntN(9) {
		case 0, 1:
			fmt.Fprintf(&s, "mkdir -p %s\n", a)
		case 2, 3:
			fmt.Fprintf(&s, "[ -d %s ] || { rm -f %s; echo %d > %s; }\n", a, a, r.IntN(1e6), a)
		case 4:
			fmt.Fprintf(&s, "rm -rf %s\n", a)
		case 5:
			fmt.Fprintf(&s, "mv -T %s %s\n", a, b)
		case 6:
			fmt.Fprintf(&s, "[ -d %s ] || ln -fT %s %s\n", b, a, b)
		case 7:
			fmt.Fprintf(&s, "ln -sfT target%d %s\n", r.IntN(9), a)
		case 8:
			fmt.Fprintf(&s, "[ -h %s ] || [ -f %s ] || chmod %o %s; rm -rf %s; mkdir -m %o %s\n", a, a, 0o700|r.IntN(0o100), a, b, 0o700|r.IntN(0o100), b)
		}
	}
	return "exec 2>/dev/null; umask 022\n" + s.String() + "true\n"
}

// treeListing tells all that two equal trees have in common.
const treeListing = `find . -printf '%y %m %l %p\n' | sort; find . -type f | sort | while read -r f; do echo "$f"; cat "$f"; done`

// A model is a plain directory that is changed as a sandbox is.
type model struct{ dir string }

func (m model) run(t *testing.T, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
	cmd.Dir = m.dir
	out, err := cmd.Output()
	require.NoError(t, err)
	return string(out)
}

func inside(t *testing.T, sb compute.Sandbox, script string) string {
	t.Helper()
	cmd := compute.Shell(script)
	cmd.Dir = "/workspace/t"
	out, err := compute.Output(t.Context(), sb, cmd)
	require.NoError(t, err)
	return out
}

// metaOf reads what a file of the state directory says of runs and layers.
func metaOf(t *testing.T, path ...string) (m struct{ Layers, Runs []string }) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &m))
	return m
}

// What a sandbox has written stays, however often it is suspended, and is kept
// in a bounded number of places.
func TestManySuspensions(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newLocal(t, dir, local.Namespaces)
	sb := computetest.NewSandbox(t, c, nil)
	require.NoError(t, sb.Filesystem().MkdirAll(ctx, "t", 0o755))
	plain := model{t.TempDir()}
	require.NoError(t, os.Chmod(plain.dir, 0o755))
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable
	if os.Geteuid() == 0 {
		inside(t, sb, "rm -rf /usr/share/doc /usr/share/perl; mkdir /usr/share/doc; echo mine > /usr/share/doc/mine; rm /usr/bin/env")
	}
	for i := range cycles(t, 30) {
		script := randomChanges(r, 12)
		plain.run(t, script)
		inside(t, sb, script)
		require.NoError(t, compute.Suspend(ctx, sb))
		require.NoError(t, compute.Resume(ctx, sb))
		require.Equal(t, plain.run(t, treeListing), inside(t, sb, treeListing), "cycle %d", i)
		require.LessOrEqual(t, len(metaOf(t, dir, "sandboxes", sb.ID(), "meta.json").Runs), 9)
	}
	if os.Geteuid() == 0 {
		out := inside(t, sb, "ls /usr/share/doc; ls -d /usr/bin/env /usr/share/perl 2>&1; true")
		require.True(t, strings.HasPrefix(out, "mine\n"), out)
		require.Equal(t, 2, strings.Count(out, "No such file"), out)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "sandboxes", sb.ID()))
	require.NoError(t, err)
	require.LessOrEqual(t, len(entries), 9+3)
	requireNothingLeft(t, c, dir)
}

// Sandboxes can come from snapshots of sandboxes that came from snapshots.
func TestManyGenerations(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newLocal(t, dir, local.Namespaces)
	plain := model{t.TempDir()}
	require.NoError(t, os.Chmod(plain.dir, 0o755))
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // repeatable
	sb, err := c.CreateSandbox(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, sb.Filesystem().MkdirAll(ctx, "t", 0o755))
	most := 0
	for i := range cycles(t, 50) {
		script := randomChanges(r, 12)
		plain.run(t, script)
		inside(t, sb, script)
		if i%5 == 4 { // what two machines wrote is one layer
			require.NoError(t, compute.Suspend(ctx, sb))
			require.NoError(t, compute.Resume(ctx, sb))
			plain.run(t, script)
			inside(t, sb, script)
		}
		snap, err := c.CreateSnapshot(ctx, sb.ID(), nil)
		require.NoError(t, err)
		require.NoError(t, sb.Destroy(ctx))
		sb, err = c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Snapshot: snap.ID})
		require.NoError(t, err)
		require.NoError(t, c.DeleteSnapshot(ctx, snap.ID))
		require.Equal(t, plain.run(t, treeListing), inside(t, sb, treeListing), "generation %d", i)
		stack := len(metaOf(t, dir, "sandboxes", sb.ID(), "meta.json").Layers)
		most = max(most, stack)
		require.Len(t, layers(t, dir), stack, "what was merged goes")
	}
	require.LessOrEqual(t, most, 3*16)
	require.NoError(t, sb.Destroy(ctx))
	requireNothingLeft(t, c, dir)
}

// export returns an archive of a snapshot.
func export(t *testing.T, p *local.Provider, id string) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, p.ExportSnapshot(t.Context(), id, &b))
	return b.Bytes()
}
