package runloopapi

import (
	"context"
	"fmt"
	"io"
)

// ScenarioRun is one attempt at a scenario. It holds its ID, and its devbox's if it was made by a scenario.
type ScenarioRun struct {
	ID       string
	DevboxID string // may be empty

	client *Client
}

// ScenarioRun returns the scenario run with an ID. It makes no request.
func (c *Client) ScenarioRun(id string) *ScenarioRun { return &ScenarioRun{ID: id, client: c} }

// Info returns what the service knows of the run.
func (r *ScenarioRun) Info(ctx context.Context, opts ...RequestOption) (*ScenarioRunView, error) {
	return r.client.ScenarioRuns.Get(ctx, r.ID, opts...)
}

// Devbox returns the devbox of the run, without waiting until it runs.
func (r *ScenarioRun) Devbox(ctx context.Context) (*Devbox, error) {
	if r.DevboxID != "" {
		return r.client.Devbox(r.DevboxID), nil
	}
	view, err := r.Info(ctx)
	if err != nil {
		return nil, err
	}
	return r.client.Devbox(view.DevboxID), nil
}

// WaitReady waits until the devbox of the run runs, so that an agent can begin, for as long as ctx lasts, and returns what the service
// then knows of the run.
func (r *ScenarioRun) WaitReady(ctx context.Context) (*ScenarioRunView, error) {
	devbox, err := r.Devbox(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := devbox.WaitRunning(ctx); err != nil {
		return nil, fmt.Errorf("wait for scenario run %s: %w", r.ID, err)
	}
	return r.Info(ctx)
}

// Score begins to score the run and returns at once. WaitScored waits.
func (r *ScenarioRun) Score(ctx context.Context, opts ...RequestOption) (*ScenarioRunView, error) {
	return r.client.ScenarioRuns.Score(ctx, r.ID, opts...)
}

// WaitScored waits until the run has a score. It asks once a second, for as long as ctx lasts. A run that is not being scored, or ends
// otherwise, is a *[ScenarioRunError].
func (r *ScenarioRun) WaitScored(ctx context.Context) (*ScenarioRunView, error) {
	for {
		view, err := r.Info(ctx)
		if err != nil {
			return nil, err
		}
		switch view.State {
		case ScenarioRunScored:
			return view, nil
		case ScenarioRunScoring:
		default:
			return nil, &ScenarioRunError{Run: view, Want: ScenarioRunScored}
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return nil, fmt.Errorf("wait for the score of scenario run %s: %w", r.ID, err)
		}
	}
}

// ScenarioRunError says that a scenario run is in another state than the one it was waited for. It matches [ErrState].
type ScenarioRunError struct {
	Run  *ScenarioRunView
	Want ScenarioRunState
}

// Error names the run and its state.
func (e *ScenarioRunError) Error() string {
	return fmt.Sprintf("runloop: scenario run %s is %s, not %s", e.Run.ID, e.Run.State, e.Want)
}

// Is reports whether target is ErrState.
func (e *ScenarioRunError) Is(target error) bool { return target == ErrState }

// ScoreAndWait scores the run and waits for the score.
func (r *ScenarioRun) ScoreAndWait(ctx context.Context) (*ScenarioRunView, error) {
	if _, err := r.Score(ctx); err != nil {
		return nil, err
	}
	return r.WaitScored(ctx)
}

// ScoreAndComplete scores the run, waits for the score, and completes the run.
func (r *ScenarioRun) ScoreAndComplete(ctx context.Context) (*ScenarioRunView, error) {
	if _, err := r.ScoreAndWait(ctx); err != nil {
		return nil, err
	}
	return r.Complete(ctx)
}

// Complete ends the run, which must have a score, and shuts its devbox down.
func (r *ScenarioRun) Complete(ctx context.Context, opts ...RequestOption) (*ScenarioRunView, error) {
	return r.client.ScenarioRuns.Complete(ctx, r.ID, opts...)
}

// Cancel ends the run without a score and shuts its devbox down.
func (r *ScenarioRun) Cancel(ctx context.Context, opts ...RequestOption) (*ScenarioRunView, error) {
	return r.client.ScenarioRuns.Cancel(ctx, r.ID, opts...)
}

// Result returns the score of the run, and nil while it has none.
func (r *ScenarioRun) Result(ctx context.Context, opts ...RequestOption) (*ScoringContractResult, error) {
	view, err := r.Info(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return view.ScoringContractResult, nil
}

// DownloadLogs writes the logs of the run, a zip archive, to w.
func (r *ScenarioRun) DownloadLogs(ctx context.Context, w io.Writer, opts ...RequestOption) error {
	logs, err := r.client.ScenarioRuns.DownloadLogs(ctx, r.ID, opts...)
	if err != nil {
		return err
	}
	return copyDownload(ctx, w, logs, "the logs of scenario run "+r.ID)
}

// copyDownload copies a download to w and closes it.
func copyDownload(ctx context.Context, w io.Writer, download io.ReadCloser, what string) error {
	defer download.Close()
	_, err := io.Copy(w, download)
	if err != nil && ctx.Err() != nil {
		err = ended(ctx)
	}
	if err != nil {
		return fmt.Errorf("runloop: download %s: %w", what, err)
	}
	return nil
}
