package runloop

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// Suspend implements [compute.Suspender]. The devbox keeps its disk, not its
// processes. Suspend returns when the devbox sleeps.
func (s *Sandbox) Suspend(ctx context.Context) error {
	const op = "suspend"
	ctx, cancel := bounded(ctx, s.p.timeouts.Suspend)
	defer cancel()
	view, err := s.p.client.Devboxes.Suspend(ctx, s.id)
	if err != nil {
		if view, err = s.stateInstead(ctx, op, err, runloopapi.DevboxSuspending, runloopapi.DevboxSuspended); err != nil {
			return err
		}
	}
	if view.Status != runloopapi.DevboxSuspended {
		_, err = s.p.client.Devboxes.AwaitSuspended(ctx, s.id)
	}
	return s.ended(ctx, op, err)
}

// Resume implements [compute.Suspender].
func (s *Sandbox) Resume(ctx context.Context) error {
	const op = "resume"
	ctx, cancel := bounded(ctx, s.p.timeouts.Resume)
	defer cancel()
	view, err := s.p.client.Devboxes.Resume(ctx, s.id)
	if err != nil {
		view, err = s.stateInstead(ctx, op, err, runloopapi.DevboxRunning, runloopapi.DevboxSuspending, runloopapi.DevboxResuming,
			runloopapi.DevboxProvisioning, runloopapi.DevboxInitializing, runloopapi.DevboxQueued)
		if err != nil {
			return err
		}
	}
	if view.Status == runloopapi.DevboxSuspending { // it cannot be woken before it sleeps
		if _, err = s.p.client.Devboxes.AwaitSuspended(ctx, s.id); err == nil {
			_, err = s.p.client.Devboxes.Resume(ctx, s.id)
		}
		if err != nil {
			return s.ended(ctx, op, err)
		}
	}
	if view.Status != runloopapi.DevboxRunning {
		_, err = s.p.client.Devboxes.AwaitRunning(ctx, s.id)
	}
	return s.ended(ctx, op, err)
}

// stateInstead returns the devbox if it is in one of the states, so that what
// was refused need not be done, and otherwise the error.
func (s *Sandbox) stateInstead(ctx context.Context, op string, err error, fine ...runloopapi.DevboxStatus) (*runloopapi.DevboxView, error) {
	if !errors.Is(err, runloopapi.ErrBadRequest) && !errors.Is(err, runloopapi.ErrConflict) && !lost(err) || ctx.Err() != nil {
		return nil, s.wrap(ctx, op, err)
	}
	view, asked := s.p.client.Devboxes.Get(ctx, s.id)
	if asked == nil && slices.Contains(fine, view.Status) {
		return view, nil
	}
	return nil, s.wrap(ctx, op, err)
}

// ended is wrap for waits, in which a devbox can have come to its end.
func (s *Sandbox) ended(ctx context.Context, op string, err error) error {
	if state, ok := errors.AsType[*runloopapi.DevboxStateError](err); ok && destroyed(state.Devbox) {
		return gone(op, s.id)
	}
	return s.wrap(ctx, op, err)
}

// allStatuses are those that can be waited for.
var allStatuses = []runloopapi.DevboxStatus{
	runloopapi.DevboxQueued, runloopapi.DevboxProvisioning, runloopapi.DevboxInitializing, runloopapi.DevboxRunning,
	runloopapi.DevboxSuspending, runloopapi.DevboxSuspended, runloopapi.DevboxResuming, runloopapi.DevboxFailure, runloopapi.DevboxShutdown,
}

// WaitForStatus implements [compute.Waiter] by requests that the service holds.
func (s *Sandbox) WaitForStatus(ctx context.Context, want ...compute.Status) (*compute.SandboxInfo, error) {
	const op = "wait for status"
	var states []runloopapi.DevboxStatus
	for _, state := range allStatuses {
		if state.Final() || slices.Contains(want, status(state)) {
			states = append(states, state)
		}
	}
	view, err := s.p.client.Devboxes.Await(ctx, s.id, states...)
	switch {
	case err != nil:
		return nil, s.wrap(ctx, op, err)
	case destroyed(view) && !slices.Contains(want, compute.StatusStopped):
		return nil, gone(op, s.id)
	case !slices.Contains(want, status(view.Status)):
		return info(view), failf(op, s.id, compute.ErrConflict, "the devbox is %s: %s", view.Status, view.FailureReason)
	}
	return info(view), nil
}

// keptLabel is the metadata with the time at which a devbox was last kept
// alive, in milliseconds since 1970: the service does not tell.
const keptLabel = "compute.kept"

func keptAt(metadata map[string]string) time.Time {
	ms, err := strconv.ParseInt(metadata[keptLabel], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Extend implements [compute.Extender]: the lifetime of the devbox begins anew.
// More than that lifetime is not supported. A devbox with an idle timeout is
// used by this, and its time begins anew too.
func (s *Sandbox) Extend(ctx context.Context, d time.Duration) error {
	const op = "extend"
	ctx, cancel := bounded(ctx, s.p.timeouts.Short)
	defer cancel()
	view, err := s.p.view(ctx, op, s.id)
	if err != nil {
		return err
	}
	life := lifetime(view)
	if idle := idlePolicy(&view.LaunchParameters); idle != nil {
		life = time.Duration(idle.IdleSeconds) * time.Second
	}
	if d > life {
		return failf(op, s.id, errors.ErrUnsupported, "a devbox can be kept for its lifetime of %v from now, and no longer", life)
	}
	now := time.Now()
	if err := s.p.client.Devboxes.KeepAlive(ctx, s.id); err != nil {
		return s.wrap(ctx, op, err)
	}
	view.Metadata = joined(view.Metadata, map[string]string{keptLabel: strconv.FormatInt(now.UnixMilli(), 10)})
	_, err = s.p.client.Devboxes.Update(ctx, s.id, &runloopapi.DevboxUpdateParams{Metadata: view.Metadata})
	return s.wrap(ctx, op, err)
}

// UpdateMetadata implements [compute.MetadataUpdater].
func (s *Sandbox) UpdateMetadata(ctx context.Context, metadata map[string]string) error {
	ctx, cancel := bounded(ctx, s.p.timeouts.Short)
	defer cancel()
	return s.update(ctx, "update metadata", &runloopapi.DevboxUpdateParams{Metadata: joined(nil, metadata)})
}

// Rename changes the sandbox's name. It need not be unique.
func (s *Sandbox) Rename(ctx context.Context, newName string) error {
	const op = "rename sandbox"
	if err := (&compute.CreateSandboxOptions{Name: newName}).Validate(); err != nil {
		return named(err)
	}
	ctx, cancel := bounded(ctx, s.p.timeouts.Short)
	defer cancel()
	return s.update(ctx, op, &runloopapi.DevboxUpdateParams{Name: &newName})
}

func (s *Sandbox) update(ctx context.Context, op string, params *runloopapi.DevboxUpdateParams) error {
	view, err := s.p.client.Devboxes.Update(ctx, s.id, params)
	if err == nil && destroyed(view) {
		return gone(op, s.id)
	}
	return s.wrap(ctx, op, err)
}

// Events implements [compute.EventWatcher] by requests that the service holds:
// a status that is left again at once may be missed.
func (s *Sandbox) Events(ctx context.Context) iter.Seq2[compute.Event, error] {
	const op = "events"
	return func(yield func(compute.Event, error) bool) {
		view, err := s.p.view(ctx, op, s.id)
		if err != nil {
			yield(compute.Event{}, err)
			return
		}
		for {
			e := compute.Event{Time: changed(view), Type: compute.EventStatus, Status: status(view.Status)}
			if info := info(view); info.Reason != "" {
				e.Message = info.Reason
			}
			if !yield(e, nil) || view.Status.Final() {
				return
			}
			others := slices.DeleteFunc(slices.Clone(allStatuses), func(s runloopapi.DevboxStatus) bool {
				return status(s) == status(view.Status)
			})
			if view, err = s.p.client.Devboxes.Await(ctx, s.id, others...); err != nil {
				yield(compute.Event{}, s.wrap(ctx, op, err))
				return
			}
		}
	}
}

// changed returns when a devbox came into the state that it is in.
func changed(view *runloopapi.DevboxView) time.Time {
	if n := len(view.StateTransitions); n > 0 {
		return view.StateTransitions[n-1].TransitionTime.Time()
	}
	return time.Now()
}

// Usage implements [compute.UsageReporter] with what the service bills: Uptime
// is the time in which the devbox ran. The rest is not known; processor and
// memory time as billed are in [runloopapi.DevboxService.Usage].
func (s *Sandbox) Usage(ctx context.Context) (*compute.Usage, error) {
	const op = "get usage"
	ctx, cancel := bounded(ctx, s.p.timeouts.Short)
	defer cancel()
	view, err := s.p.client.Devboxes.Usage(ctx, s.id)
	if err != nil {
		return nil, s.wrap(ctx, op, err)
	}
	if view.Status == string(runloopapi.DevboxShutdown) {
		return nil, gone(op, s.id)
	}
	return &compute.Usage{Uptime: time.Duration(view.TotalActiveSeconds) * time.Second}, nil
}
