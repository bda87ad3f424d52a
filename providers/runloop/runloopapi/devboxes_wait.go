package runloopapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// longTimeout is what a request may take whose work the server does before it answers.
const longTimeout = 10 * time.Minute

// holdSlack is how much longer than the server holds a request its answer may take.
const holdSlack = 30 * time.Second

// devboxHold and executionHold are how long the server holds a long poll unless told otherwise.
const (
	devboxHold    = 30 * time.Second
	executionHold = 25 * time.Second
)

// holdOptions are the options of one long poll: no retries, for the loop around it does what they would.
func holdOptions(seconds int32, hold time.Duration, opts []RequestOption) []RequestOption {
	if seconds > 0 {
		hold = time.Duration(seconds) * time.Second
	}
	return append([]RequestOption{WithRequestTimeout(hold + holdSlack), WithRequestRetries(0)}, opts...)
}

// WaitForStatus makes one long poll: it returns the devbox as soon as it is in one of the states, or an [ErrTimeout] when the
// server's patience ends, which is 30 seconds at most. See [DevboxService.Await] for the loop around it.
func (s *DevboxService) WaitForStatus(
	ctx context.Context, id string, params *DevboxWaitParams, opts ...RequestOption,
) (*DevboxView, error) {
	opts = holdOptions(params.TimeoutSeconds, devboxHold, opts)
	return post[DevboxView](ctx, s.client, p("/v1/devboxes/%s/wait_for_status", id), params, opts)
}

// Await waits until a devbox is in one of the states, for as long as ctx lasts. Lost connections and errors of the
// server are put up with, as often in a row as the client retries.
func (s *DevboxService) Await(ctx context.Context, id string, states ...DevboxStatus) (*DevboxView, error) {
	params := &DevboxWaitParams{Statuses: states}
	patience := patience{c: s.client, what: fmt.Sprintf("wait for devbox %s to be %s", id, oneOf(states))}
	for {
		start := time.Now()
		view, err := s.WaitForStatus(ctx, id, params)
		if err == nil && slices.Contains(states, view.Status) {
			return view, nil
		}
		if err := patience.next(ctx, err, start); err != nil {
			return nil, err
		}
	}
}

func oneOf(states []DevboxStatus) string {
	names := make([]string, len(states))
	for i, s := range states {
		names[i] = string(s)
	}
	return strings.Join(names, " or ")
}

// AwaitRunning waits until a devbox runs, for as long as ctx lasts. When it fails or is shut down instead, the error is
// a [*DevboxStateError].
func (s *DevboxService) AwaitRunning(ctx context.Context, id string) (*DevboxView, error) {
	return s.awaitState(ctx, id, DevboxRunning)
}

// AwaitSuspended waits until a devbox is suspended, for as long as ctx lasts. When it fails or is shut down instead,
// the error is a [*DevboxStateError].
func (s *DevboxService) AwaitSuspended(ctx context.Context, id string) (*DevboxView, error) {
	return s.awaitState(ctx, id, DevboxSuspended)
}

func (s *DevboxService) awaitState(ctx context.Context, id string, want DevboxStatus) (*DevboxView, error) {
	view, err := s.Await(ctx, id, want, DevboxFailure, DevboxShutdown)
	if err != nil {
		return nil, err
	}
	if view.Status != want {
		return nil, &DevboxStateError{Devbox: view, Want: want}
	}
	return view, nil
}

// DevboxStateError says that a devbox ended while it was waited for. It matches [ErrState].
type DevboxStateError struct {
	Devbox *DevboxView  // as it was at its end
	Want   DevboxStatus // what it was waited for
}

// Error names the devbox, its state, and the reason that the service gave.
func (e *DevboxStateError) Error() string {
	reason := string(e.Devbox.FailureReason)
	if reason == "" {
		reason = string(e.Devbox.ShutdownReason)
	}
	if reason != "" {
		reason = " (" + reason + ")"
	}
	return fmt.Sprintf("runloop: devbox %s is %s%s, not %s", e.Devbox.ID, e.Devbox.Status, reason, e.Want)
}

// Is reports whether target is ErrState.
func (e *DevboxStateError) Is(target error) bool { return target == ErrState }

// CreateAndAwaitRunning makes a devbox and waits until it runs, for as long as ctx lasts; in one request where the
// service can do that, otherwise by [DevboxService.Create] and [DevboxService.AwaitRunning]. When the wait fails, the
// devbox is left as it is, and returned along with the error if it is known. [Client.NewDevbox] leaves none. params may be nil.
func (s *DevboxService) CreateAndAwaitRunning(
	ctx context.Context, params *DevboxCreateParams, opts ...RequestOption,
) (*DevboxView, error) {
	view, err := s.createRunning(ctx, params, opts)
	if err != nil || view.Status == DevboxRunning {
		return view, err
	}
	running, err := s.AwaitRunning(ctx, view.ID)
	if err != nil {
		return view, err
	}
	return running, nil
}

// createRunning makes a devbox with the one request that also waits, or without it.
func (s *DevboxService) createRunning(
	ctx context.Context, params *DevboxCreateParams, opts []RequestOption,
) (*DevboxView, error) {
	if s.client.noCreateAndAwait.Load() {
		return s.Create(ctx, params, opts...)
	}
	waiting := append([]RequestOption{WithRequestTimeout(longTimeout)}, opts...)
	view, err := made[DevboxView](ctx, s.client, "/v1/devboxes/create_and_await_running", params, waiting)
	var e *Error
	if !errors.As(err, &e) || e.StatusCode != http.StatusNotFound && e.StatusCode != http.StatusMethodNotAllowed {
		return view, err
	}
	if view, err = s.Create(ctx, params, opts...); err == nil {
		s.client.noCreateAndAwait.Store(true) // it was not the blueprint that was missing
	}
	return view, err
}
