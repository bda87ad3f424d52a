package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/computekit/compute"
)

// Session is a sandbox that can be come back to. Its methods are safe for
// concurrent use.
type Session struct {
	c       compute.Compute // keeps the timeouts
	sandbox compute.Sandbox
	came    Arrival
	save    func(context.Context, *State) error

	mu    sync.Mutex // guards state
	state *State

	closing  sync.Mutex // held by Close and Snapshot, one at a time
	closed   bool
	recorded bool // Close has done what comes before the end
}

// bounded is c with the timeouts.
func bounded(c compute.Compute, t Timeouts) compute.Compute { return compute.Intercept(c, t.intercept) }

// Sandbox returns the sandbox. Its operations are bounded by the session's
// [Timeouts], whoever's context they are given.
func (s *Session) Sandbox() compute.Sandbox { return s.sandbox }

// Arrival says how the session came to its sandbox.
func (s *Session) Arrival() Arrival { return s.came }

// State returns what is to be saved as it is now. It changes when Resume has
// made a sandbox, and with Snapshot and Close; see [Options].Save.
func (s *Session) State() *State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.clone()
}

// String names the provider and the sandbox, and nothing that the session holds.
func (s *Session) String() string {
	return fmt.Sprintf("session.Session(%s %s)", s.c.Name(), s.sandbox.ID())
}

// GoString is String.
func (s *Session) GoString() string { return s.String() }

// LogValue implements [slog.LogValuer].
func (s *Session) LogValue() slog.Value {
	return slog.GroupValue(slog.String("provider", s.c.Name()), slog.String("sandbox", s.sandbox.ID()))
}

// RunCommand is that of the sandbox, in the session's working directory unless
// cmd names one.
func (s *Session) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	if cmd != nil && cmd.Dir == "" && s.dir() != "" {
		own := *cmd
		own.Dir = s.dir()
		cmd = &own
	}
	res, err := s.sandbox.RunCommand(ctx, cmd)
	return res, explained(err)
}

func (s *Session) dir() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Dir
}

// Endpoint returns the URL of a port and the headers that requests to it need,
// which may hold credentials: they are not part of the state. A port that was
// not among the options is refused with an error matching [compute.ErrInvalid].
func (s *Session) Endpoint(ctx context.Context, port int) (*compute.Endpoint, error) {
	if ports := s.State().Recipe.Ports; !slices.Contains(ports, port) {
		return nil, explained(fail("get endpoint", s.c.Name(), s.sandbox.ID(), compute.ErrInvalid,
			"port %d is not one of the session's, which are %v: name it in the options' Ports", port, ports))
	}
	ep, err := compute.GetEndpoint(ctx, s.sandbox, port)
	return ep, explained(err)
}

// change changes the state and has it saved. If it cannot be saved it is as
// before.
func (s *Session) change(ctx context.Context, f func(*State)) error {
	s.mu.Lock()
	next := s.state.clone()
	s.mu.Unlock()
	f(next)
	if s.save != nil {
		if err := s.save(ctx, next.clone()); err != nil {
			return &compute.Error{Op: "save session", Provider: next.Provider, ID: next.SandboxID, Err: err}
		}
	}
	s.mu.Lock()
	s.state = next
	s.mu.Unlock()
	return nil
}

// sweep destroys what an attempt to create a sandbox has left behind: one whose
// answer was lost. Of an attempt that failed before anything was done there is
// nothing.
func sweep(ctx context.Context, c compute.Compute, op, attempt string, err error) error {
	if compute.NothingDone(err) || errors.Is(err, compute.ErrUnauthorized) || errors.Is(err, compute.ErrInvalid) {
		return err
	}
	ctx = context.WithoutCancel(ctx) // the timeouts bound it
	for info, lerr := range c.ListSandboxes(ctx, &compute.ListSandboxesOptions{Metadata: map[string]string{attemptLabel: attempt}}) {
		if lerr != nil {
			return errors.Join(err, &compute.Error{Op: op, Provider: c.Name(),
				Err: fmt.Errorf("a sandbox with the metadata %s=%s may be left: %w", attemptLabel, attempt, lerr)})
		}
		if derr := c.DestroySandbox(ctx, info.ID); derr != nil {
			return errors.Join(err, left(op, c.Name(), info.ID, derr))
		}
	}
	return err
}

// left is the error of a sandbox that could not be destroyed.
func left(op, provider, id string, err error) error {
	if err == nil {
		return nil
	}
	return &compute.Error{Op: op, Provider: provider, ID: id, Err: fmt.Errorf("the sandbox is left: %w", err)}
}
