package session_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/session"
)

var errOutage = errors.New("the line went dead")

// line counts operations and fails one of them: before it was done, or after.
type line struct {
	mu    sync.Mutex
	n     int
	fail  int // from one; zero is none
	after bool
	hit   string
}

func (l *line) around(op string, next func() error) error {
	l.mu.Lock()
	l.n++
	hit := l.n == l.fail
	if hit {
		l.hit = op
	}
	l.mu.Unlock()
	if hit && !l.after {
		return outage(op)
	}
	if err := next(); err != nil || !hit {
		return err
	}
	return outage(op)
}

func outage(op string) error {
	return &compute.Error{Op: op, Kind: compute.ErrUnavailable, Err: errOutage}
}

func (l *line) intercept(ctx context.Context, op compute.Op, next func(context.Context) error) error {
	return l.around(op.Name, func() error { return next(ctx) })
}

// store keeps states, over the same line.
type store struct {
	l       *line
	kept    *session.State
	session *session.Session // to be closed again
}

func (s *store) save(_ context.Context, st *session.State) error {
	return s.l.around("save", func() error { s.kept = st; return nil })
}

// faultPoint is what is done under faults, and what must be so afterwards.
type faultPoint struct {
	prepare func(t *testing.T, c compute.Compute) *session.State
	do      func(c compute.Compute, st *session.State, save *store) error
	failed  func(t *testing.T, c compute.Compute, st *session.State)           // after an error
	retry   func(t *testing.T, c compute.Compute, st *session.State, s *store) // without faults, whatever came before
}

// everyFault fails each operation once, before and after it was done.
func everyFault(t *testing.T, f faultPoint) {
	onOneIsEnough(t, func(t *testing.T, open func() compute.Compute) { everyFaultOf(t, open(), f) })
}

func everyFaultOf(t *testing.T, c compute.Compute, f faultPoint) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			l := &line{fail: n, after: after}
			st := f.prepare(t, c)
			s := &store{l: l, kept: st}
			err := f.do(compute.Intercept(c, l.intercept), st, s)
			name := fmt.Sprintf("%s %d, after: %v", l.hit, n, after)
			if err != nil {
				require.NotEmpty(t, l.hit, "%s: %v", name, err)
				require.ErrorIs(t, err, errOutage, name)
				require.ErrorIs(t, err, compute.ErrUnavailable, name)
				problem, _ := session.Explain(err)
				assert.Equal(t, session.Unavailable, problem, name)
				t.Run(name, func(t *testing.T) { f.failed(t, c, st) })
			}
			l.fail = 0
			t.Run(name+", again", func(t *testing.T) { f.retry(t, c, st, s) })
			for _, id := range boxes(t, c) {
				require.NoError(t, c.DestroySandbox(t.Context(), id))
			}
			for _, id := range snapshots(t, c) {
				require.NoError(t, c.DeleteSnapshot(t.Context(), id))
			}
			if l.hit == "" {
				require.Greater(t, n, 1)
				require.NoError(t, err, "without a fault")
				break
			}
		}
	}
}

func nothing(*testing.T, compute.Compute) *session.State { return nil }

func TestFaultsOfStart(t *testing.T) {
	everyFault(t, faultPoint{
		prepare: nothing,
		do: func(c compute.Compute, _ *session.State, s *store) error {
			_, err := session.Start(context.Background(), c, session.Options{Manifest: manifest(), Secret: vault, Save: s.save})
			return err
		},
		failed: func(t *testing.T, c compute.Compute, _ *session.State) { assert.Empty(t, boxes(t, c)) },
		retry:  func(*testing.T, compute.Compute, *session.State, *store) {},
	})
}

// asleep, awake and gone are sandboxes to come back to.
func asleep(t *testing.T, c compute.Compute) *session.State {
	t.Helper()
	st := awake(t, c)
	sb, err := c.GetSandbox(t.Context(), st.SandboxID)
	require.NoError(t, err)
	require.NoError(t, compute.Suspend(t.Context(), sb))
	return st
}

func awake(t *testing.T, c compute.Compute) *session.State {
	t.Helper()
	s, err := session.Start(t.Context(), c, session.Options{Manifest: manifest(), Secret: vault})
	require.NoError(t, err)
	write(t, s, "notes", "one")
	write(t, s, "/work/marker", "changed")
	return s.State()
}

func gone(t *testing.T, c compute.Compute) *session.State {
	t.Helper()
	st := awake(t, c)
	require.NoError(t, c.DestroySandbox(t.Context(), st.SandboxID))
	return st
}

func goneWithSnapshot(t *testing.T, c compute.Compute) *session.State {
	t.Helper()
	s, err := session.Start(t.Context(), c, session.Options{Manifest: manifest(), Secret: vault})
	require.NoError(t, err)
	write(t, s, "notes", "one")
	_, err = s.Snapshot(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Close(t.Context()))
	return s.State()
}

func resumeAny(c compute.Compute, st *session.State, s *store) error {
	_, err := session.Resume(context.Background(), c, st, session.ResumeOptions{AllowRestore: true, AllowRemake: true, CheckFiles: true, Secret: vault, Save: s.save})
	return err
}

// Of a sandbox that is there, none is made in its place, and it loses nothing.
func TestFaultsOfResume(t *testing.T) {
	only := func(t *testing.T, c compute.Compute, st *session.State) {
		assert.Equal(t, []string{st.SandboxID}, boxes(t, c))
	}
	for name, prepare := range map[string]func(*testing.T, compute.Compute) *session.State{"Awake": awake, "Asleep": asleep} {
		t.Run(name, func(t *testing.T) {
			everyFault(t, faultPoint{prepare: prepare, do: resumeAny, failed: only,
				retry: func(t *testing.T, c compute.Compute, st *session.State, _ *store) {
					only(t, c, st)
					s, err := session.Resume(t.Context(), c, st, session.ResumeOptions{})
					require.NoError(t, err)
					assert.Equal(t, "one", read(t, s, "notes"))
					assert.Equal(t, "changed", read(t, s, "/work/marker"))
				}})
		})
	}
}

// A sandbox that a failing Resume has made is destroyed.
func TestFaultsOfReplacing(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, compute.Compute) *session.State{"Restored": goneWithSnapshot, "Remade": gone} {
		t.Run(name, func(t *testing.T) {
			everyFault(t, faultPoint{prepare: prepare, do: resumeAny,
				failed: func(t *testing.T, c compute.Compute, st *session.State) {
					assert.Empty(t, boxes(t, c))
					if st.Snapshot != "" {
						assert.Equal(t, []string{st.Snapshot}, snapshots(t, c))
					}
				},
				retry: func(t *testing.T, c compute.Compute, st *session.State, _ *store) {
					s, err := session.Resume(t.Context(), c, st, session.ResumeOptions{AllowRestore: true, AllowRemake: true, Secret: vault})
					require.NoError(t, err)
					assert.Equal(t, "first", read(t, s, "/work/marker"))
					assert.Equal(t, "yes", read(t, s, "/work/cache/warm"))
					assert.Equal(t, []string{s.Sandbox().ID()}, boxes(t, c))
					if st.Snapshot != "" {
						assert.Equal(t, "one", read(t, s, "notes"))
					}
				}})
		})
	}
}

// Whatever goes wrong with Close, what was stored leads to the files.
func TestFaultsOfClose(t *testing.T) {
	for _, exit := range []session.OnExit{session.Destroy, session.Suspend, session.Keep} {
		t.Run(cmp.Or(string(exit), "destroy"), func(t *testing.T) {
			everyFault(t, faultPoint{
				prepare: func(t *testing.T, c compute.Compute) *session.State { return withSnapshot(t, c, exit) },
				do: func(c compute.Compute, st *session.State, store *store) (err error) {
					l := store.l.fail
					store.l.fail = 0 // it is Close that is looked at
					if store.session, err = session.Resume(context.Background(), c, st, session.ResumeOptions{Save: store.save}); err != nil {
						panic(err)
					}
					store.l.fail, store.l.n = l, 0
					return store.session.Close(context.Background())
				},
				failed: func(t *testing.T, c compute.Compute, _ *session.State) {},
				retry: func(t *testing.T, c compute.Compute, _ *session.State, store *store) {
					require.True(t, slices.Contains(snapshots(t, c), store.kept.Snapshot), "the stored state names a snapshot that is there")
					requireNotes(t, c, store.kept)
					require.NoError(t, store.session.Close(t.Context()))
					assert.Equal(t, []string{store.kept.Snapshot}, snapshots(t, c))
				},
			})
		})
	}
}

// withSnapshot is a session that has a snapshot, and newer files.
func withSnapshot(t *testing.T, c compute.Compute, exit session.OnExit) *session.State {
	t.Helper()
	s, err := session.Start(t.Context(), c, session.Options{OnExit: exit, SnapshotOnExit: true, Fingerprint: true})
	require.NoError(t, err)
	write(t, s, "notes", "old")
	_, err = s.Snapshot(t.Context())
	require.NoError(t, err)
	write(t, s, "notes", "one")
	return s.State()
}

// requireNotes makes sure that the newest notes are to be had from a state.
func requireNotes(t *testing.T, c compute.Compute, st *session.State) {
	t.Helper()
	before := boxes(t, c)
	s, err := session.Resume(t.Context(), c, st, session.ResumeOptions{AllowRestore: true})
	require.NoError(t, err)
	assert.Equal(t, "one", read(t, s, "notes"))
	if s.Arrival().Outcome == session.Restored {
		require.Empty(t, before)
		require.NoError(t, s.Sandbox().Destroy(t.Context()))
	}
}
