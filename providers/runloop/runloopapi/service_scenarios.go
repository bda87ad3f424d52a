package runloopapi

import (
	"context"
	"io"
	"iter"
	"net/url"
)

// ScenarioListParams narrow a list of scenarios.
type ScenarioListParams struct {
	ListOptions
	Name           string
	Search         string         // a part of the name or the ID
	BenchmarkID    string         // of List only
	ValidationType ValidationType // of List only
}

func (o *ScenarioListParams) query() url.Values {
	if o == nil {
		return nil
	}
	q := o.values()
	setQuery(q, "name", o.Name)
	setQuery(q, "search", o.Search)
	return q
}

func scenarioID(v *ScenarioView) string { return v.ID }

// Create makes a scenario. Client.NewScenarioBuilder helps to fill in params.
func (s *ScenarioService) Create(
	ctx context.Context, params *ScenarioCreateParams, opts ...RequestOption,
) (*ScenarioView, error) {
	return made[ScenarioView](ctx, s.client, "/v1/scenarios", params, opts)
}

// List returns the account's scenarios. A nil params means all.
func (s *ScenarioService) List(
	ctx context.Context, params *ScenarioListParams, opts ...RequestOption,
) iter.Seq2[*ScenarioView, error] {
	q := params.query()
	if params != nil {
		setQuery(q, "benchmark_id", params.BenchmarkID)
		setQuery(q, "validation_type", string(params.ValidationType))
	}
	return list(ctx, s.client, "/v1/scenarios", q, "scenarios", scenarioID, opts...)
}

// ListPublic returns the scenarios that are open to all accounts. A nil params means all.
func (s *ScenarioService) ListPublic(
	ctx context.Context, params *ScenarioListParams, opts ...RequestOption,
) iter.Seq2[*ScenarioView, error] {
	return list(ctx, s.client, "/v1/scenarios/list_public", params.query(), "scenarios", scenarioID, opts...)
}

// Get returns a scenario.
func (s *ScenarioService) Get(ctx context.Context, id string, opts ...RequestOption) (*ScenarioView, error) {
	return get[ScenarioView](ctx, s.client, p("/v1/scenarios/%s", id), nil, opts)
}

// Update changes a scenario, field by field.
func (s *ScenarioService) Update(
	ctx context.Context, id string, params *ScenarioUpdateParams, opts ...RequestOption,
) (*ScenarioView, error) {
	return post[ScenarioView](ctx, s.client, p("/v1/scenarios/%s", id), params, opts)
}

// Archive takes a scenario out of use. It is an ErrForbidden for a public one.
func (s *ScenarioService) Archive(ctx context.Context, id string, opts ...RequestOption) (*ScenarioView, error) {
	return post[ScenarioView](ctx, s.client, p("/v1/scenarios/%s/archive", id), nil, opts)
}

// Unarchive brings an archived scenario back into use.
func (s *ScenarioService) Unarchive(ctx context.Context, id string, opts ...RequestOption) (*ScenarioView, error) {
	return post[ScenarioView](ctx, s.client, p("/v1/scenarios/%s/unarchive", id), nil, opts)
}

// StartRun starts a scenario: it makes the run and the run's devbox, and does not wait for that.
func (s *ScenarioService) StartRun(
	ctx context.Context, params *ScenarioRunParams, opts ...RequestOption,
) (*ScenarioRunView, error) {
	return made[ScenarioRunView](ctx, s.client, "/v1/scenarios/start_run", params, opts)
}

// ScenarioRunListParams narrow a list of scenario runs.
type ScenarioRunListParams struct {
	ListOptions
	Name           string
	Search         string // a part of the name or the ID
	State          ScenarioRunState
	ScenarioID     string
	BenchmarkRunID string
}

func (o *ScenarioRunListParams) query() url.Values {
	if o == nil {
		return nil
	}
	q := o.values()
	setQuery(q, "name", o.Name)
	setQuery(q, "search", o.Search)
	setQuery(q, "state", string(o.State))
	setQuery(q, "scenario_id", o.ScenarioID)
	setQuery(q, "benchmark_run_id", o.BenchmarkRunID)
	return q
}

func scenarioRunID(v *ScenarioRunView) string { return v.ID }

// List returns the account's scenario runs. A nil params means all.
func (s *ScenarioRunService) List(
	ctx context.Context, params *ScenarioRunListParams, opts ...RequestOption,
) iter.Seq2[*ScenarioRunView, error] {
	return list(ctx, s.client, "/v1/scenarios/runs", params.query(), "runs", scenarioRunID, opts...)
}

// Get returns a scenario run.
func (s *ScenarioRunService) Get(ctx context.Context, id string, opts ...RequestOption) (*ScenarioRunView, error) {
	return get[ScenarioRunView](ctx, s.client, p("/v1/scenarios/runs/%s", id), nil, opts)
}

// Score begins to score a run and does not wait for the score.
func (s *ScenarioRunService) Score(ctx context.Context, id string, opts ...RequestOption) (*ScenarioRunView, error) {
	return post[ScenarioRunView](ctx, s.client, p("/v1/scenarios/runs/%s/score", id), nil, opts)
}

// Complete ends a run that has a score, and shuts its devbox down.
func (s *ScenarioRunService) Complete(ctx context.Context, id string, opts ...RequestOption) (*ScenarioRunView, error) {
	return post[ScenarioRunView](ctx, s.client, p("/v1/scenarios/runs/%s/complete", id), nil, opts)
}

// Cancel ends a run without a score, and shuts its devbox down.
func (s *ScenarioRunService) Cancel(ctx context.Context, id string, opts ...RequestOption) (*ScenarioRunView, error) {
	return post[ScenarioRunView](ctx, s.client, p("/v1/scenarios/runs/%s/cancel", id), nil, opts)
}

// DownloadLogs returns the logs of a run, a zip archive, which the caller reads and closes. The context lasts until
// then: its end ends the reading.
func (s *ScenarioRunService) DownloadLogs(ctx context.Context, id string, opts ...RequestOption) (io.ReadCloser, error) {
	return s.client.downloadZip(ctx, p("/v1/scenarios/runs/%s/download_logs", id), opts)
}
