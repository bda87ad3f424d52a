package runloopapi

import (
	"context"
	"io"
	"iter"
	"net/url"
)

// BenchmarkListParams narrow a list of benchmarks or of benchmark jobs.
type BenchmarkListParams struct {
	ListOptions
	Name   string
	Search string // a part of the name or the ID
}

func (o *BenchmarkListParams) query() url.Values {
	if o == nil {
		return nil
	}
	q := o.values()
	setQuery(q, "name", o.Name)
	setQuery(q, "search", o.Search)
	return q
}

func benchmarkID(v *BenchmarkView) string { return v.ID }

// Create makes a benchmark, a set of scenarios.
func (s *BenchmarkService) Create(
	ctx context.Context, params *BenchmarkCreateParams, opts ...RequestOption,
) (*BenchmarkView, error) {
	return made[BenchmarkView](ctx, s.client, "/v1/benchmarks", params, opts)
}

// List returns the account's benchmarks. A nil params means all.
func (s *BenchmarkService) List(
	ctx context.Context, params *BenchmarkListParams, opts ...RequestOption,
) iter.Seq2[*BenchmarkView, error] {
	return list(ctx, s.client, "/v1/benchmarks", params.query(), "benchmarks", benchmarkID, opts...)
}

// ListPublic returns the benchmarks that are open to all accounts. A nil params means all.
func (s *BenchmarkService) ListPublic(
	ctx context.Context, params *BenchmarkListParams, opts ...RequestOption,
) iter.Seq2[*BenchmarkView, error] {
	return list(ctx, s.client, "/v1/benchmarks/list_public", params.query(), "benchmarks", benchmarkID, opts...)
}

// Get returns a benchmark.
func (s *BenchmarkService) Get(ctx context.Context, id string, opts ...RequestOption) (*BenchmarkView, error) {
	return get[BenchmarkView](ctx, s.client, p("/v1/benchmarks/%s", id), nil, opts)
}

// Update changes a benchmark, field by field.
func (s *BenchmarkService) Update(
	ctx context.Context, id string, params *BenchmarkUpdateParams, opts ...RequestOption,
) (*BenchmarkView, error) {
	return post[BenchmarkView](ctx, s.client, p("/v1/benchmarks/%s", id), params, opts)
}

// UpdateScenarios adds scenarios to a benchmark and takes others away.
func (s *BenchmarkService) UpdateScenarios(
	ctx context.Context, id string, params *BenchmarkScenariosParams, opts ...RequestOption,
) (*BenchmarkView, error) {
	return post[BenchmarkView](ctx, s.client, p("/v1/benchmarks/%s/scenarios", id), params, opts)
}

// Definitions returns the scenarios of a benchmark. A nil params means all.
func (s *BenchmarkService) Definitions(
	ctx context.Context, id string, params *ListOptions, opts ...RequestOption,
) iter.Seq2[*ScenarioView, error] {
	var q url.Values
	if params != nil {
		q = params.values()
	}
	return list(ctx, s.client, p("/v1/benchmarks/%s/definitions", id), q, "scenarios", scenarioID, opts...)
}

// Archive takes a benchmark out of use. It is an ErrForbidden for a public one.
func (s *BenchmarkService) Archive(ctx context.Context, id string, opts ...RequestOption) (*BenchmarkView, error) {
	return post[BenchmarkView](ctx, s.client, p("/v1/benchmarks/%s/archive", id), nil, opts)
}

// Unarchive brings an archived benchmark back into use.
func (s *BenchmarkService) Unarchive(ctx context.Context, id string, opts ...RequestOption) (*BenchmarkView, error) {
	return post[BenchmarkView](ctx, s.client, p("/v1/benchmarks/%s/unarchive", id), nil, opts)
}

// StartRun starts a benchmark. Scenarios join the run by its ID, when they are started.
func (s *BenchmarkService) StartRun(
	ctx context.Context, params *BenchmarkRunParams, opts ...RequestOption,
) (*BenchmarkRunView, error) {
	return made[BenchmarkRunView](ctx, s.client, "/v1/benchmarks/start_run", params, opts)
}

// Runs returns the runs of a benchmark. A nil params means all.
func (s *BenchmarkService) Runs(
	ctx context.Context, id string, params *ListOptions, opts ...RequestOption,
) iter.Seq2[*BenchmarkRunView, error] {
	var q url.Values
	if params != nil {
		q = params.values()
	}
	return list(ctx, s.client, p("/v1/benchmarks/%s/runs", id), q, "runs", benchmarkRunID, opts...)
}

// BenchmarkRunListParams narrow a list of benchmark runs.
type BenchmarkRunListParams struct {
	ListOptions
	Name        string
	Search      string // a part of the name or the ID
	State       BenchmarkRunState
	BenchmarkID string
}

func (o *BenchmarkRunListParams) query() url.Values {
	if o == nil {
		return nil
	}
	q := o.values()
	setQuery(q, "name", o.Name)
	setQuery(q, "search", o.Search)
	setQuery(q, "state", string(o.State))
	setQuery(q, "benchmark_id", o.BenchmarkID)
	return q
}

func benchmarkRunID(v *BenchmarkRunView) string { return v.ID }

// List returns the account's benchmark runs. A nil params means all.
func (s *BenchmarkRunService) List(
	ctx context.Context, params *BenchmarkRunListParams, opts ...RequestOption,
) iter.Seq2[*BenchmarkRunView, error] {
	return list(ctx, s.client, "/v1/benchmark_runs", params.query(), "runs", benchmarkRunID, opts...)
}

// Get returns a benchmark run.
func (s *BenchmarkRunService) Get(ctx context.Context, id string, opts ...RequestOption) (*BenchmarkRunView, error) {
	return get[BenchmarkRunView](ctx, s.client, p("/v1/benchmark_runs/%s", id), nil, opts)
}

// Complete ends a run. Its score is the mean of its scenarios' scores.
func (s *BenchmarkRunService) Complete(
	ctx context.Context, id string, opts ...RequestOption,
) (*BenchmarkRunView, error) {
	return post[BenchmarkRunView](ctx, s.client, p("/v1/benchmark_runs/%s/complete", id), nil, opts)
}

// Cancel ends a run and those of its scenarios.
func (s *BenchmarkRunService) Cancel(ctx context.Context, id string, opts ...RequestOption) (*BenchmarkRunView, error) {
	return post[BenchmarkRunView](ctx, s.client, p("/v1/benchmark_runs/%s/cancel", id), nil, opts)
}

// BenchmarkScenarioRunListParams narrow the list of a benchmark run's scenario runs.
type BenchmarkScenarioRunListParams struct {
	ListOptions
	State  ScenarioRunState
	Search string // a part of the name or the ID
}

// ScenarioRuns returns the scenario runs of a benchmark run. A nil params means all.
func (s *BenchmarkRunService) ScenarioRuns(
	ctx context.Context, id string, params *BenchmarkScenarioRunListParams, opts ...RequestOption,
) iter.Seq2[*ScenarioRunView, error] {
	var q url.Values
	if params != nil {
		q = params.values()
		setQuery(q, "state", string(params.State))
		setQuery(q, "search", params.Search)
	}
	return list(ctx, s.client, p("/v1/benchmark_runs/%s/scenario_runs", id), q, "runs", scenarioRunID, opts...)
}

// DownloadLogs returns the logs of a run, a zip archive, which the caller reads and closes. The context lasts until
// then: its end ends the reading.
func (s *BenchmarkRunService) DownloadLogs(
	ctx context.Context, id string, opts ...RequestOption,
) (io.ReadCloser, error) {
	return s.client.downloadZip(ctx, p("/v1/benchmark_runs/%s/download_logs", id), opts)
}

// Create starts a benchmark job, which runs agents in the service.
func (s *BenchmarkJobService) Create(
	ctx context.Context, params *BenchmarkJobCreateParams, opts ...RequestOption,
) (*BenchmarkJobView, error) {
	return made[BenchmarkJobView](ctx, s.client, "/v1/benchmark_jobs", params, opts)
}

// List returns the account's benchmark jobs. A nil params means all.
func (s *BenchmarkJobService) List(
	ctx context.Context, params *BenchmarkListParams, opts ...RequestOption,
) iter.Seq2[*BenchmarkJobView, error] {
	id := func(v *BenchmarkJobView) string { return v.ID }
	return list(ctx, s.client, "/v1/benchmark_jobs", params.query(), "jobs", id, opts...)
}

// Get returns a benchmark job.
func (s *BenchmarkJobService) Get(ctx context.Context, id string, opts ...RequestOption) (*BenchmarkJobView, error) {
	return get[BenchmarkJobView](ctx, s.client, p("/v1/benchmark_jobs/%s", id), nil, opts)
}
