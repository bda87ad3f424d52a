//go:build linux

package local

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// newSwept returns a provider that does not look by itself.
func newSwept(t *testing.T) *Provider {
	t.Helper()
	p := &Provider{state: newState(t), isolation: Namespaces, clock: machineClock}
	p.ctx, p.cancel = context.WithCancel(t.Context())
	return p
}

// What a program leaves that is killed, or whose machine loses power, is
// unfinished, damaged, or a sandbox. The first is removed, but not while
// somebody may be at it; the others never are.
func TestUnfinished(t *testing.T) {
	const whole = `{"version":1,"id":"sbx-a","isolation":"namespaces"}`
	const none, file = "none", "unfinished"
	for _, tc := range []struct {
		name     string
		meta     string // none is no file
		finished bool   // the disk has had it
		want     string // of the error when it is loaded
		stays    bool
	}{
		{name: "killed early", meta: none, want: "not exist"},
		{name: "destroyed by half", meta: none, finished: true, want: "not exist"},
		{name: "power lost, nothing of the file written", meta: "", want: "not exist"},
		{name: "power lost, a part of the file written", meta: whole[:20], want: "not exist"},
		{name: "power lost, room for the file written", meta: strings.Repeat("\x00", len(whole)), want: "not exist"},
		{name: "power lost, something else in the file", meta: "{}", want: "not exist"},
		{name: "killed when others could see it", meta: whole, stays: true},
		{name: "acknowledged", meta: whole, finished: true, stays: true},
		{name: "acknowledged and emptied", meta: "", finished: true, want: "unexpected end of JSON", stays: true},
		{name: "acknowledged and cut short", meta: whole[:20], finished: true, want: "unexpected end of JSON", stays: true},
		{name: "acknowledged and something else", meta: "{}", finished: true, want: "damaged", stays: true},
		{name: "of a newer program that was killed", meta: `{"version":99,"id":"sbx-a"}`, want: "newer", stays: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newSwept(t)
			dir := p.state.box("sbx-a")
			unlock, err := p.state.newBox("sbx-a")
			require.NoError(t, err)
			if tc.meta != none {
				require.NoError(t, os.WriteFile(p.state.boxFile("sbx-a"), []byte(tc.meta), 0o600))
			}
			if tc.finished {
				require.NoError(t, os.Remove(filepath.Join(dir, file)))
			}
			_, err = p.sweepBoxes(t.Context())
			require.NoError(t, err)
			require.DirExists(t, dir, "somebody is at work on it")
			require.Equal(t, !tc.finished, exists(filepath.Join(dir, file)))
			unlock()
			_, err = p.state.loadBox("sbx-a")
			switch tc.want {
			case "":
				require.NoError(t, err)
			case "not exist":
				require.ErrorIs(t, err, fs.ErrNotExist)
			default:
				require.ErrorContains(t, err, tc.want)
			}
			require.Equal(t, tc.want != "not exist", p.state.hasBox("sbx-a"))
			_, err = p.sweepBoxes(t.Context())
			require.NoError(t, err)
			require.Equal(t, tc.stays, exists(dir))
			if tc.want == "" {
				require.NoFileExists(t, filepath.Join(dir, file), "it is finished for its maker")
			}
		})
	}
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// What cannot be removed is told once, as long as it is the same, and to who
// closes the provider. It keeps nothing else from being removed.
func TestSweeperTells(t *testing.T) {
	p := newSwept(t)
	var told bytes.Buffer
	leave := func(id, file string) {
		unlock, err := p.state.newBox(id)
		require.NoError(t, err)
		defer unlock()
		require.NoError(t, os.MkdirAll(filepath.Join(p.state.box(id), "run-a", file), 0o700))
	}
	leave("sbx-a", "foreign")
	leave("sbx-b", "fs")
	p.sweeper.logger = slog.New(slog.NewTextHandler(&told, nil))
	p.look(false)
	require.NoDirExists(t, p.state.box("sbx-b"))
	require.DirExists(t, p.state.box("sbx-a"))
	for range 3 {
		p.look(false)
	}
	assert.Equal(t, 1, strings.Count(told.String(), "foreign"), told.String())
	err := p.stopSweeper()
	require.ErrorContains(t, err, "foreign")
	require.NotErrorIs(t, err, fs.ErrNotExist)

	require.NoError(t, os.Remove(filepath.Join(p.state.box("sbx-a"), "run-a", "foreign")))
	p.look(false)
	require.NoError(t, p.stopSweeper())
	require.NoDirExists(t, p.state.box("sbx-a"))
}

// A program may be killed while it tries whether this machine can isolate. What
// it has started then ends, but not what somebody is trying just now.
func TestProbesAreSwept(t *testing.T) {
	p := newSwept(t)
	base := p.state.path("base")
	if _, err := engine.Probe(t.Context(), base); err != nil {
		t.Skip("no sandboxes here: ", err)
	}
	dir, done, err := engine.ProbeDir(base)
	require.NoError(t, err)
	b, err := engine.Start(t.Context(), engine.Spec{Dir: dir, StateDir: base})
	require.NoError(t, err)
	require.NoError(t, p.sweepProbes(t.Context()))
	require.False(t, b.Gone(t.Context()), "somebody is trying")
	done() // as a program does that ends
	require.NoError(t, p.sweepProbes(t.Context()))
	require.True(t, b.Gone(t.Context()))
	require.NoDirExists(t, filepath.Dir(dir))
}
