package runloop

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// Sandbox is a devbox. Get it with compute.As[*runloop.Sandbox].
type Sandbox struct {
	p     *Provider
	id    string
	files *files

	commands atomic.Int64 // that were begun

	mu     sync.Mutex
	tunnel *runloopapi.TunnelView // nil if none is known
	ports  map[int]bool           // whose URLs were asked for
}

var _ interface {
	compute.Sandbox
	compute.Starter
	compute.ProcessGetter
	compute.ProcessLister
	compute.ShellOpener
	compute.Suspender
	compute.Waiter
	compute.Extender
	compute.MetadataUpdater
	compute.EventWatcher
	compute.UsageReporter
	compute.Dialer
	compute.Endpointer
	compute.URLCloser
	compute.SSHer
} = (*Sandbox)(nil)

func (p *Provider) sandbox(view *runloopapi.DevboxView) *Sandbox {
	s := &Sandbox{p: p, id: view.ID, tunnel: view.Tunnel, ports: map[int]bool{}}
	s.files = &files{s: s, shell: providers.ShellFilesystem(s)}
	return s
}

// ID implements [compute.Sandbox]. It is the devbox's.
func (s *Sandbox) ID() string { return s.id }

// Devbox returns the devbox, for all that the portable API has no word for.
func (s *Sandbox) Devbox() *runloopapi.Devbox { return s.p.client.Devbox(s.id) }

// Client returns the client of Runloop's API that the sandbox uses.
func (s *Sandbox) Client() *runloopapi.Client { return s.p.client }

// Filesystem implements [compute.Sandbox].
func (s *Sandbox) Filesystem() compute.Filesystem { return s.files }

// Info implements [compute.Sandbox].
func (s *Sandbox) Info(ctx context.Context) (*compute.SandboxInfo, error) {
	view, err := s.p.view(ctx, "get sandbox", s.id)
	if err != nil {
		return nil, err
	}
	return info(view), nil
}

// Destroy implements [compute.Sandbox].
func (s *Sandbox) Destroy(ctx context.Context) error {
	if err := s.p.DestroySandbox(ctx, s.id); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tunnel = nil
	clear(s.ports)
	return nil
}

// status returns what the portable API calls a status. Unknown ones are on the
// way to somewhere.
func status(s runloopapi.DevboxStatus) compute.Status {
	switch s {
	case runloopapi.DevboxRunning:
		return compute.StatusRunning
	case runloopapi.DevboxSuspending:
		return compute.StatusSuspending
	case runloopapi.DevboxSuspended:
		return compute.StatusSuspended
	case runloopapi.DevboxShutdown:
		return compute.StatusStopped
	case runloopapi.DevboxFailure:
		return compute.StatusFailed
	}
	return compute.StatusPending
}

func info(view *runloopapi.DevboxView) *compute.SandboxInfo {
	i := &compute.SandboxInfo{
		ID: view.ID, Name: view.Name, Provider: name, Status: status(view.Status),
		Created: view.CreateTime.Time(), Expires: expires(view), Metadata: maps.Clone(view.Metadata),
	}
	delete(i.Metadata, createLabel)
	delete(i.Metadata, keptLabel)
	switch {
	case view.FailureReason != "":
		i.Reason = string(view.FailureReason)
	case view.Status == runloopapi.DevboxShutdown:
		i.Reason = string(view.ShutdownReason)
	}
	return i
}

// expires returns when a devbox ends: its lifetime after it began to run, or was
// last kept alive as far as this package has seen to that. With an idle policy
// nobody knows, and while it does not run there is no clock.
func expires(view *runloopapi.DevboxView) time.Time {
	if view.Status != runloopapi.DevboxRunning || idlePolicy(&view.LaunchParameters) != nil {
		return time.Time{}
	}
	began := view.CreateTime.Time()
	for _, t := range view.StateTransitions {
		if at := t.TransitionTime.Time(); t.Status == runloopapi.DevboxRunning && at.After(began) {
			began = at
		}
	}
	if kept := keptAt(view.Metadata); kept.After(began) {
		began = kept
	}
	return began.Add(lifetime(view))
}

// lifetime returns how long a devbox lives after it is kept alive.
func lifetime(view *runloopapi.DevboxView) time.Duration {
	if s := view.LaunchParameters.KeepAliveSeconds; s > 0 {
		return time.Duration(s) * time.Second
	}
	return defaultLifetime
}

// wrap makes an error of the portable API of one from an operation on the
// sandbox. The service answers with 400 also to what the devbox is in the wrong
// state for, or gone: then its state says what the matter is.
func (s *Sandbox) wrap(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil || !notThere(err) {
		return wrap(ctx, op, s.id, err)
	}
	ask, cancel := bounded(ctx, s.p.timeouts.Short)
	defer cancel()
	view, asked := s.p.client.Devboxes.Get(ask, s.id)
	switch {
	case asked != nil && unknown(asked, s.id), asked == nil && destroyed(view):
		return gone(op, s.id)
	case asked == nil && view.Status != runloopapi.DevboxRunning:
		return failf(op, s.id, compute.ErrConflict, "the devbox is %s: %w", view.Status, err)
	}
	return wrap(ctx, op, s.id, err)
}
