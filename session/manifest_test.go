package session_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
	"github.com/computekit/compute/session"
	"github.com/computekit/compute/workspace"
)

func manifest() *workspace.Manifest {
	return &workspace.Manifest{
		Root: "/work",
		Entries: workspace.Entries{
			"marker": workspace.File{Content: []byte("first")},
			"cache":  workspace.Dir{Attributes: workspace.Attributes{Ephemeral: true}, Entries: workspace.Entries{"warm": workspace.File{Content: []byte("yes")}}},
		},
		Env: map[string]workspace.EnvVar{"LEVEL": {Value: "3"}, "PASSWORD": {Secret: "db"}},
	}
}

func vault(_ context.Context, name string) (string, error) {
	if name != "db" {
		return "", errors.New("unknown")
	}
	return canary, nil
}

// What a manifest has is there from the start, survives what the user changed,
// and comes back where a sandbox is made anew.
func TestManifest(t *testing.T) {
	onEach(t, func(t *testing.T, open func() compute.Compute) {
		c := open()
		s := start(t, c, session.Options{Manifest: manifest(), Secret: vault, OnExit: session.Suspend, Dir: "/work"})
		check := func(s *session.Session, marker string) {
			t.Helper()
			assert.Equal(t, marker, read(t, s, "/work/marker"))
			assert.Equal(t, "yes", read(t, s, "/work/cache/warm"))
			out, err := compute.Output(t.Context(), s, compute.Shell(`pwd; echo "$LEVEL $PASSWORD"`))
			require.NoError(t, err)
			assert.Equal(t, "/work\n3 "+canary+"\n", out)
			assert.NotContains(t, saved(t, s.State(), nil), canary)
		}
		check(s, "first")
		write(t, s, "/work/marker", "changed")
		write(t, s, "/work/cache/warm", "no")
		_, err := s.Snapshot(t.Context())
		require.NoError(t, err)
		state := carry(t, s.State())
		require.NoError(t, s.Close(t.Context()))
		for _, want := range []session.Outcome{session.Woken, session.Same, session.Restored, session.Remade} {
			if want == session.Restored || want == session.Remade {
				require.NoError(t, c.DestroySandbox(t.Context(), state.SandboxID))
			}
			if want == session.Remade {
				require.NoError(t, c.DeleteSnapshot(t.Context(), state.Snapshot))
			}
			s, err := session.Resume(t.Context(), open(), state, session.ResumeOptions{AllowRestore: true, AllowRemake: true, Secret: vault})
			require.NoError(t, err)
			require.Equal(t, want, s.Arrival().Outcome)
			check(s, map[session.Outcome]string{session.Remade: "first"}[want]+map[bool]string{true: "changed"}[want != session.Remade])
			state = carry(t, s.State())
		}
		require.NoError(t, c.DestroySandbox(t.Context(), state.SandboxID))
	})
}

// What a program makes whose state is not stored before it ends is found again,
// and not prepared a second time.
func TestStateOfRemadeIsLost(t *testing.T) {
	onQuick(t, func(t *testing.T, open func() compute.Compute) {
		c := open()
		s := start(t, c, session.Options{Manifest: manifest(), Secret: vault})
		stale := s.State()
		require.NoError(t, s.Close(t.Context()))
		opts := session.ResumeOptions{AllowRemake: true, Secret: vault}
		first, err := session.Resume(t.Context(), c, stale, opts)
		require.NoError(t, err)
		write(t, first, "/work/marker", "changed")
		require.NoError(t, compute.Suspend(t.Context(), first.Sandbox()))
		again, err := session.Resume(t.Context(), open(), stale, opts)
		require.NoError(t, err)
		assert.Equal(t, first.Sandbox().ID(), again.Sandbox().ID())
		assert.Equal(t, session.Remade, again.Arrival().Outcome)
		assert.Equal(t, "changed", read(t, again, "/work/marker"))
		assert.True(t, again.State().Prepared)
		require.NoError(t, again.Close(t.Context()))
		assert.Empty(t, boxes(t, c))
	})
}

// A program that ended while it applied the manifest leaves it to the next.
func TestManifestHalfApplied(t *testing.T) {
	p := stub.New(stub.Config{})
	defer p.Close()
	var half *session.State
	save := func(_ context.Context, s *session.State) error {
		if half == nil {
			half = s
		}
		return nil
	}
	s := start(t, p, session.Options{Manifest: manifest(), Secret: vault, Save: save})
	require.False(t, half.Prepared)
	require.NoError(t, s.Sandbox().Filesystem().RemoveAll(t.Context(), "/work/marker"))
	s, err := session.Resume(t.Context(), p, half, session.ResumeOptions{})
	require.NoError(t, err)
	assert.Equal(t, "first", read(t, s, "/work/marker"))
	assert.True(t, s.State().Prepared)
}

func TestManifestRefused(t *testing.T) {
	p := stub.New(stub.Config{})
	defer p.Close()
	for name, opts := range map[string]session.Options{
		"no secret":      {Manifest: manifest()},
		"a bad manifest": {Manifest: &workspace.Manifest{Root: "/"}},
		"both say":       {Manifest: manifest(), Secret: vault, Create: compute.CreateSandboxOptions{Env: map[string]string{"LEVEL": "4"}}},
		"no such source": {Manifest: &workspace.Manifest{Entries: workspace.Entries{"x": workspace.LocalFile{From: "home", Src: "x"}}}},
	} {
		_, err := session.Start(t.Context(), p, opts)
		require.Error(t, err, name)
		problem, _ := session.Explain(err)
		assert.NotEmpty(t, problem, name)
		assert.Empty(t, boxes(t, p), name)
	}
}

// Resume tells whether files have changed since Close or Snapshot.
func TestFingerprint(t *testing.T) {
	onOneIsEnough(t, func(t *testing.T, open func() compute.Compute) {
		c := open()
		s := start(t, c, session.Options{Manifest: manifest(), Secret: vault, OnExit: session.Suspend, Fingerprint: true})
		resume := func(st *session.State, want session.Outcome, files session.Files) *session.Session {
			t.Helper()
			s, err := session.Resume(t.Context(), open(), st, session.ResumeOptions{AllowRestore: true, Secret: vault, CheckFiles: true})
			require.NoError(t, err)
			assert.Equal(t, want, s.Arrival().Outcome)
			assert.Equal(t, files, s.Arrival().Files)
			return s
		}
		require.NoError(t, s.Close(t.Context()))
		s = resume(carry(t, s.State()), session.Woken, session.FilesUnchanged)
		write(t, s, "/work/cache/warm", "ephemeral")
		require.NoError(t, compute.Suspend(t.Context(), s.Sandbox()))
		s = resume(s.State(), session.Woken, session.FilesUnchanged)
		write(t, s, "/work/marker", "changed")
		resume(s.State(), session.Same, session.FilesUnknown)
		require.NoError(t, compute.Suspend(t.Context(), s.Sandbox()))
		s = resume(s.State(), session.Woken, session.FilesChanged)
		_, err := s.Snapshot(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.Sandbox().Destroy(t.Context()))
		s = resume(carry(t, s.State()), session.Restored, session.FilesUnchanged)
		require.NoError(t, s.Sandbox().Destroy(t.Context()))
	})
}
