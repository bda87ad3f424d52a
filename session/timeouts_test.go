package session_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
	"github.com/computekit/compute/session"
)

// Each operation ends after the time for its kind, and says which that was.
func TestTimeouts(t *testing.T) {
	type operation struct {
		kind  string
		usual time.Duration
		own   session.Timeouts // another bound, of a second
		run   func(ctx context.Context, c compute.Compute, s *session.Session) error
	}
	for op, test := range map[string]operation{
		"run command": {"Exec", 24 * time.Hour, session.Timeouts{Exec: time.Second}, func(ctx context.Context, _ compute.Compute, s *session.Session) error {
			_, err := s.RunCommand(ctx, compute.Shell("true"))
			return err
		}},
		"create sandbox": {"Create", 5 * time.Minute, session.Timeouts{Create: time.Second}, func(ctx context.Context, c compute.Compute, s *session.Session) error {
			_, err := session.Start(ctx, c, session.Options{Timeouts: s.State().Timeouts})
			return err
		}},
		"get sandbox": {"KeepAlive", 10 * time.Second, session.Timeouts{KeepAlive: time.Second}, func(ctx context.Context, c compute.Compute, s *session.Session) error {
			_, err := session.Resume(ctx, c, s.State(), session.ResumeOptions{AllowRemake: true})
			return err
		}},
		"info": {"KeepAlive", 10 * time.Second, session.Timeouts{KeepAlive: time.Second}, func(ctx context.Context, c compute.Compute, s *session.Session) error {
			_, err := session.Resume(ctx, c, s.State(), session.ResumeOptions{AllowRemake: true})
			return err
		}},
		"resume": {"Resume", 5 * time.Minute, session.Timeouts{Resume: time.Second}, func(ctx context.Context, c compute.Compute, s *session.Session) error {
			if err := compute.Suspend(ctx, s.Sandbox()); err != nil {
				return err
			}
			_, err := session.Resume(ctx, c, s.State(), session.ResumeOptions{AllowRemake: true})
			return err
		}},
		"destroy sandbox": {"CleanUp", 30 * time.Second, session.Timeouts{CleanUp: time.Second}, func(ctx context.Context, _ compute.Compute, s *session.Session) error {
			return s.Close(ctx)
		}},
		"get endpoint": {"Fast", 30 * time.Second, session.Timeouts{Fast: time.Second}, func(ctx context.Context, _ compute.Compute, s *session.Session) error {
			_, err := s.Endpoint(ctx, 80)
			return err
		}},
		"write file": {"Upload", 30 * time.Minute, session.Timeouts{Upload: time.Second}, func(ctx context.Context, _ compute.Compute, s *session.Session) error {
			return s.Sandbox().Filesystem().WriteFile(ctx, "f", nil, 0o600)
		}},
		"read file": {"Download", 30 * time.Minute, session.Timeouts{Download: time.Second}, func(ctx context.Context, _ compute.Compute, s *session.Session) error {
			_, err := s.Sandbox().Filesystem().ReadFile(ctx, "f")
			return err
		}},
		"create snapshot": {"Snapshot", 5 * time.Minute, session.Timeouts{Snapshot: time.Second}, func(ctx context.Context, _ compute.Compute, s *session.Session) error {
			_, err := s.Snapshot(ctx)
			return err
		}},
		"suspend": {"Suspend", 2 * time.Minute, session.Timeouts{Suspend: time.Second}, func(ctx context.Context, c compute.Compute, s *session.Session) error {
			exit := session.Suspend
			s, err := session.Resume(ctx, c, s.State(), session.ResumeOptions{OnExit: &exit})
			if err != nil {
				return err
			}
			return s.Close(ctx)
		}},
	} {
		for name, timeouts := range map[string]session.Timeouts{"usual": {}, "own": test.own} {
			t.Run(op+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := stub.New(stub.Config{})
					defer p.Close()
					s, err := session.Start(t.Context(), p, session.Options{Timeouts: timeouts, Create: compute.CreateSandboxOptions{Ports: []int{80}}})
					require.NoError(t, err)
					remove := p.Inject(stub.Fault{Op: op, Latency: 48 * time.Hour})
					defer remove()
					began := time.Now()
					err = test.run(t.Context(), p, s)
					require.ErrorIs(t, err, context.DeadlineExceeded)
					limit := test.usual
					if name == "own" {
						limit = time.Second
					}
					assert.Equal(t, limit, time.Since(began))
					assert.ErrorContains(t, err, "Timeouts."+test.kind)
					problem, remedy := session.Explain(err)
					assert.Equal(t, session.TimedOut, problem)
					assert.Contains(t, remedy, "raise Timeouts."+test.kind)
					remove()
					assert.LessOrEqual(t, len(boxes(t, p)), 1, "a timeout makes no sandbox")
				})
			})
		}
	}
}

// The caller's context is not a timeout of the session's.
func TestCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stub.New(stub.Config{})
		defer p.Close()
		s, err := session.Start(t.Context(), p, session.Options{})
		require.NoError(t, err)
		p.Inject(stub.Fault{Op: "run command", Latency: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = s.RunCommand(ctx, compute.Shell("true"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotContains(t, err.Error(), "Timeouts.Exec")
	})
}

// A negative one is no bound, and streams last as long as they take.
func TestNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stub.New(stub.Config{})
		defer p.Close()
		s, err := session.Start(t.Context(), p, session.Options{Timeouts: session.Timeouts{Exec: -1, Upload: time.Hour}})
		require.NoError(t, err)
		p.Inject(stub.Fault{Op: "run command", Latency: 48 * time.Hour})
		_, err = s.RunCommand(t.Context(), compute.Shell("true"))
		require.NoError(t, err)
		w, err := compute.CreateFile(t.Context(), s.Sandbox().Filesystem(), "f", 0o600)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		_, err = w.Write([]byte("late"))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		w, err = compute.CreateFile(t.Context(), s.Sandbox().Filesystem(), "f", 0o600)
		require.NoError(t, err)
		time.Sleep(2 * time.Hour)
		require.ErrorIs(t, w.Close(), context.DeadlineExceeded)
		assert.Equal(t, "late", read(t, s, "f"))
	})
}
