package session_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/session"
)

var key = bytes.Repeat([]byte("k"), 32)

// carry takes a state from one program to another.
func carry(t *testing.T, s *session.State) *session.State {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, session.Save(&buf, s, key))
	got, err := session.Load(&buf, key)
	require.NoError(t, err)
	assert.Equal(t, s, got)
	return got
}

// write and read are what a user does with a sandbox.
func write(t *testing.T, s *session.Session, name, text string) {
	t.Helper()
	require.NoError(t, s.Sandbox().Filesystem().WriteFile(t.Context(), name, []byte(text), 0o644))
}

func read(t *testing.T, s *session.Session, name string) string {
	t.Helper()
	data, err := s.Sandbox().Filesystem().ReadFile(t.Context(), name)
	require.NoError(t, err)
	return string(data)
}

func start(t *testing.T, c compute.Compute, opts session.Options) *session.Session {
	t.Helper()
	s, err := session.Start(t.Context(), c, opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Sandbox().Destroy(context.Background()) })
	return s
}

// boxes and snapshots are the IDs of all that there is.
func boxes(t *testing.T, c compute.Compute) (ids []string) {
	t.Helper()
	for info, err := range c.ListSandboxes(context.Background(), nil) {
		require.NoError(t, err)
		ids = append(ids, info.ID)
	}
	return ids
}

func snapshots(t *testing.T, c compute.Compute) (ids []string) {
	t.Helper()
	for snap, err := range c.ListSnapshots(context.Background(), nil) {
		require.NoError(t, err)
		ids = append(ids, snap.ID)
	}
	return ids
}

var env = compute.CreateSandboxOptions{Env: map[string]string{"PUBLIC": "p", "TOKEN": "t0ken"}, Metadata: map[string]string{"user": "u"}}

func secret(_ context.Context, name string) (string, error) {
	if name == "PUBLIC" {
		return "p", nil
	}
	if name == "TOKEN" {
		return "t0ken", nil
	}
	return "", errors.New("no such secret")
}

func environment(t *testing.T, s *session.Session) string {
	t.Helper()
	out, err := compute.Output(t.Context(), s, compute.Shell(`echo "$PUBLIC $TOKEN"`))
	require.NoError(t, err)
	return out
}

// The life of a session over several programs.
func TestSession(t *testing.T) {
	onEach(t, func(t *testing.T, open func() compute.Compute) {
		s := start(t, open(), session.Options{Create: env, StoreEnv: []string{"PUBLIC"}, OnExit: session.Suspend})
		assert.Equal(t, session.Started, s.Arrival().Outcome)
		write(t, s, "notes", "one")
		state := carry(t, s.State())

		t.Run("Same", func(t *testing.T) {
			s, err := session.Resume(t.Context(), open(), state, session.ResumeOptions{})
			require.NoError(t, err)
			assert.Equal(t, session.Arrival{Outcome: session.Same}, s.Arrival())
			assert.Equal(t, state, s.State())
		})
		t.Run("Woken", func(t *testing.T) {
			require.NoError(t, s.Close(t.Context()))
			require.NoError(t, s.Close(t.Context()), "a second time")
			s, err := session.Resume(t.Context(), open(), state, session.ResumeOptions{})
			require.NoError(t, err)
			assert.Equal(t, session.Woken, s.Arrival().Outcome)
			assert.Equal(t, "it was suspended", s.Arrival().Reason)
			assert.Equal(t, state.SandboxID, s.Sandbox().ID())
			assert.Equal(t, "one", read(t, s, "notes"))
			assert.Equal(t, "p t0ken\n", environment(t, s))
		})
		c := open()
		t.Run("Restored", func(t *testing.T) {
			s, err := session.Resume(t.Context(), c, state, session.ResumeOptions{})
			require.NoError(t, err)
			_, err = s.Snapshot(t.Context())
			require.NoError(t, err)
			state = carry(t, s.State())
			write(t, s, "notes", "lost")
			require.NoError(t, c.DestroySandbox(t.Context(), state.SandboxID))
			s, err = session.Resume(t.Context(), open(), state, session.ResumeOptions{AllowRestore: true, AllowRemake: true, Secret: secret})
			require.NoError(t, err)
			assert.Equal(t, session.Restored, s.Arrival().Outcome)
			assert.Equal(t, state.SandboxID, s.Arrival().Previous)
			assert.NotEqual(t, state.SandboxID, s.State().SandboxID)
			assert.Equal(t, "one", read(t, s, "notes"))
			assert.Equal(t, "p t0ken\n", environment(t, s))
			state = carry(t, s.State())
		})
		t.Run("Remade", func(t *testing.T) {
			require.NoError(t, c.DestroySandbox(t.Context(), state.SandboxID))
			require.NoError(t, c.DeleteSnapshot(t.Context(), state.Snapshot))
			s, err := session.Resume(t.Context(), open(), state, session.ResumeOptions{AllowRestore: true, AllowRemake: true, Secret: secret})
			require.NoError(t, err)
			assert.Equal(t, session.Remade, s.Arrival().Outcome)
			_, err = s.Sandbox().Filesystem().Stat(t.Context(), "notes")
			require.Error(t, err)
			assert.Equal(t, "p t0ken\n", environment(t, s))
			info, err := s.Sandbox().Info(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "u", info.Metadata["user"])
			state = s.State()

			destroy := session.Destroy
			s, err = session.Resume(t.Context(), open(), state, session.ResumeOptions{OnExit: &destroy})
			require.NoError(t, err)
			require.NoError(t, s.Close(t.Context()))
			assert.Empty(t, boxes(t, c))
			assert.Empty(t, snapshots(t, c))
		})
	})
}

// Without leave nothing is made, whatever there would be to make it from.
func TestResumeMakesNothingUnasked(t *testing.T) {
	onQuick(t, func(t *testing.T, open func() compute.Compute) {
		c := open()
		for name, opts := range map[string]session.ResumeOptions{
			"nothing allowed":        {},
			"snapshot that is not":   {AllowRestore: true},
			"secret that is not had": {AllowRemake: true},
		} {
			s := start(t, c, session.Options{Create: env})
			require.NoError(t, s.Close(t.Context()))
			_, err := session.Resume(t.Context(), c, s.State(), opts)
			require.Error(t, err, name)
			problem, remedy := session.Explain(err)
			assert.NotEmpty(t, remedy)
			if !opts.AllowRemake {
				assert.ErrorIs(t, err, compute.ErrNotFound, name)
				assert.Equal(t, session.Gone, problem, name)
			}
			assert.Empty(t, boxes(t, c), name)
		}
	})
}

// Programs that resume at once get one sandbox, asleep or gone.
func TestResumeAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, open func() compute.Compute) {
		c := open()
		s := start(t, c, session.Options{Create: env, OnExit: session.Suspend})
		state := s.State()
		require.NoError(t, s.Close(t.Context()))
		for _, want := range []session.Outcome{session.Woken, session.Remade} {
			ids := resumeAtOnce(t, open, state, want)
			require.Len(t, boxes(t, c), 1, want)
			for _, id := range ids {
				assert.Equal(t, boxes(t, c)[0], id, want)
			}
			require.NoError(t, c.DestroySandbox(t.Context(), state.SandboxID))
		}
		for _, id := range boxes(t, c) {
			require.NoError(t, c.DestroySandbox(t.Context(), id))
		}
	})
}

func resumeAtOnce(t *testing.T, open func() compute.Compute, state *session.State, want session.Outcome) []string {
	t.Helper()
	const programs = 3
	ids := make([]string, programs)
	var wg sync.WaitGroup
	for i := range programs {
		c := open()
		wg.Go(func() {
			s, err := session.Resume(t.Context(), c, state, session.ResumeOptions{AllowRemake: true, Secret: secret})
			if !assert.NoError(t, err) {
				return
			}
			ids[i] = s.Sandbox().ID()
			if want == session.Remade {
				assert.Equal(t, session.Remade, s.Arrival().Outcome)
			}
		})
	}
	wg.Wait()
	return ids
}

func TestOnExit(t *testing.T) {
	onQuick(t, func(t *testing.T, open func() compute.Compute) {
		c := open()
		for onExit, want := range map[session.OnExit]compute.Status{
			session.Destroy: "", session.Suspend: compute.StatusSuspended, session.Keep: compute.StatusRunning,
		} {
			s := start(t, c, session.Options{OnExit: onExit})
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			require.NoError(t, s.Close(ended), "an interrupted program closes its session")
			sb, err := c.GetSandbox(t.Context(), s.State().SandboxID)
			if want == "" {
				require.ErrorIs(t, err, compute.ErrNotFound)
				continue
			}
			require.NoError(t, err)
			info, err := sb.Info(t.Context())
			require.NoError(t, err)
			assert.Equal(t, want, info.Status, onExit)
			require.NoError(t, sb.Destroy(t.Context()))
		}
	})
}

// Snapshots of a session are one at a time, once its states are stored.
func TestSnapshotOnExit(t *testing.T) {
	onQuick(t, func(t *testing.T, open func() compute.Compute) {
		c := open()
		var stored *session.State
		save := func(_ context.Context, s *session.State) error { stored = s; return nil }
		s := start(t, c, session.Options{SnapshotOnExit: true, Save: save})
		for _, text := range []string{"one", "two"} {
			write(t, s, "notes", text)
			require.NoError(t, s.Close(t.Context()))
			assert.Empty(t, boxes(t, c))
			assert.Equal(t, []string{stored.Snapshot}, snapshots(t, c))
			var err error
			s, err = session.Resume(t.Context(), open(), carry(t, stored), session.ResumeOptions{AllowRestore: true, Save: save})
			require.NoError(t, err)
			assert.Equal(t, session.Restored, s.Arrival().Outcome)
			assert.Equal(t, text, read(t, s, "notes"))
			assert.Equal(t, s.State(), stored)
		}
		require.NoError(t, s.Sandbox().Destroy(t.Context()))
		require.NoError(t, c.DeleteSnapshot(t.Context(), stored.Snapshot))
	})
}

func TestPrune(t *testing.T) {
	c := newStub(t)()
	s := start(t, c, session.Options{})
	other := start(t, c, session.Options{})
	kept, err := other.Snapshot(t.Context())
	require.NoError(t, err)
	_, err = s.Snapshot(t.Context())
	require.NoError(t, err)
	last, err := s.Snapshot(t.Context())
	require.NoError(t, err)
	require.Len(t, snapshots(t, c), 3, "without Save the first may be needed")
	require.NoError(t, session.Prune(t.Context(), c, s.State()))
	assert.ElementsMatch(t, []string{kept, last}, snapshots(t, c))
}

func TestEndpoint(t *testing.T) {
	c := newStub(t)()
	s := start(t, c, session.Options{Create: compute.CreateSandboxOptions{Ports: []int{8080}}})
	ep, err := s.Endpoint(t.Context(), 8080)
	require.NoError(t, err)
	assert.NotEmpty(t, ep.URL)
	_, err = s.Endpoint(t.Context(), 22)
	require.ErrorIs(t, err, compute.ErrInvalid)
	assert.ErrorContains(t, err, "port 22")
}

func TestDir(t *testing.T) {
	c := newStub(t)()
	s := start(t, c, session.Options{Dir: "/tmp"})
	for dir, want := range map[string]string{"": "/tmp\n", "/": "/\n"} {
		cmd := compute.Shell("pwd")
		cmd.Dir = dir
		out, err := compute.Output(t.Context(), s, cmd)
		require.NoError(t, err)
		assert.Equal(t, want, out)
		assert.Equal(t, dir, cmd.Dir, "the caller's command is as it was")
	}
}
