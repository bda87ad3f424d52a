package runloopapi

import (
	"context"
	"fmt"
	"io"
	"iter"
)

// Benchmark is a set of scenarios. It holds nothing but its ID.
type Benchmark struct {
	ID     string
	client *Client
}

// Benchmark returns the benchmark with an ID. It makes no request.
func (c *Client) Benchmark(id string) *Benchmark { return &Benchmark{ID: id, client: c} }

// NewBenchmark makes a benchmark.
func (c *Client) NewBenchmark(
	ctx context.Context, params *BenchmarkCreateParams, opts ...RequestOption,
) (*Benchmark, error) {
	view, err := c.Benchmarks.Create(ctx, params, opts...)
	if err != nil {
		return nil, err
	}
	return c.Benchmark(view.ID), nil
}

// Info returns what the service knows of the benchmark.
func (b *Benchmark) Info(ctx context.Context, opts ...RequestOption) (*BenchmarkView, error) {
	return b.client.Benchmarks.Get(ctx, b.ID, opts...)
}

// Update changes the benchmark, field by field.
func (b *Benchmark) Update(
	ctx context.Context, params *BenchmarkUpdateParams, opts ...RequestOption,
) (*BenchmarkView, error) {
	return b.client.Benchmarks.Update(ctx, b.ID, params, opts...)
}

// AddScenarios adds scenarios to the benchmark.
func (b *Benchmark) AddScenarios(ctx context.Context, ids ...string) (*BenchmarkView, error) {
	return b.client.Benchmarks.UpdateScenarios(ctx, b.ID, &BenchmarkScenariosParams{Add: ids})
}

// RemoveScenarios takes scenarios away from the benchmark.
func (b *Benchmark) RemoveScenarios(ctx context.Context, ids ...string) (*BenchmarkView, error) {
	return b.client.Benchmarks.UpdateScenarios(ctx, b.ID, &BenchmarkScenariosParams{Remove: ids})
}

// Scenarios returns the scenarios of the benchmark.
func (b *Benchmark) Scenarios(ctx context.Context, opts ...RequestOption) iter.Seq2[*ScenarioView, error] {
	return b.client.Benchmarks.Definitions(ctx, b.ID, nil, opts...)
}

// Runs returns the runs of the benchmark.
func (b *Benchmark) Runs(ctx context.Context, opts ...RequestOption) iter.Seq2[*BenchmarkRunView, error] {
	return b.client.Benchmarks.Runs(ctx, b.ID, nil, opts...)
}

// Start starts a run. The benchmark's ID takes the place of the one in params, which may be nil. The run's scenarios are started one by one,
// see [BenchmarkRun.StartScenario].
func (b *Benchmark) Start(
	ctx context.Context, params *BenchmarkRunParams, opts ...RequestOption,
) (*BenchmarkRun, error) {
	own := BenchmarkRunParams{}
	if params != nil {
		own = *params
	}
	own.BenchmarkID = b.ID
	view, err := b.client.Benchmarks.StartRun(ctx, &own, opts...)
	if err != nil {
		return nil, err
	}
	return b.client.BenchmarkRun(view.ID), nil
}

// BenchmarkRun is one attempt at a benchmark. It holds nothing but its ID.
type BenchmarkRun struct {
	ID     string
	client *Client
}

// BenchmarkRun returns the benchmark run with an ID. It makes no request.
func (c *Client) BenchmarkRun(id string) *BenchmarkRun { return &BenchmarkRun{ID: id, client: c} }

// Info returns what the service knows of the run.
func (r *BenchmarkRun) Info(ctx context.Context, opts ...RequestOption) (*BenchmarkRunView, error) {
	return r.client.BenchmarkRuns.Get(ctx, r.ID, opts...)
}

// StartScenario starts a scenario as a part of the run, as [Scenario.Start] says. The run's ID takes the place of the one in params,
// which may be nil.
func (r *BenchmarkRun) StartScenario(
	ctx context.Context, scenarioID string, params *ScenarioRunParams, opts ...RequestOption,
) (*ScenarioRun, error) {
	own := ScenarioRunParams{}
	if params != nil {
		own = *params
	}
	own.BenchmarkRunID = r.ID
	return r.client.Scenario(scenarioID).Start(ctx, &own, opts...)
}

// ScenarioRuns returns the scenario runs that are a part of the run.
func (r *BenchmarkRun) ScenarioRuns(ctx context.Context, opts ...RequestOption) iter.Seq2[*ScenarioRunView, error] {
	return r.client.BenchmarkRuns.ScenarioRuns(ctx, r.ID, nil, opts...)
}

// Complete ends the run. Its score is the mean of its scenarios' scores.
func (r *BenchmarkRun) Complete(ctx context.Context, opts ...RequestOption) (*BenchmarkRunView, error) {
	return r.client.BenchmarkRuns.Complete(ctx, r.ID, opts...)
}

// Cancel ends the run and those of its scenarios.
func (r *BenchmarkRun) Cancel(ctx context.Context, opts ...RequestOption) (*BenchmarkRunView, error) {
	return r.client.BenchmarkRuns.Cancel(ctx, r.ID, opts...)
}

// DownloadLogs writes the logs of the run, a zip archive, to w.
func (r *BenchmarkRun) DownloadLogs(ctx context.Context, w io.Writer, opts ...RequestOption) error {
	logs, err := r.client.BenchmarkRuns.DownloadLogs(ctx, r.ID, opts...)
	if err != nil {
		return err
	}
	return copyDownload(ctx, w, logs, "the logs of benchmark run "+r.ID)
}

// Final reports whether a benchmark job never leaves the state.
func (s BenchmarkJobState) Final() bool {
	switch s {
	case JobCompleted, JobFailed, JobCancelled, JobTimeout:
		return true
	}
	return false
}

// Await waits for the end of a job, whatever that is. It asks once a second, for as long as ctx lasts.
func (s *BenchmarkJobService) Await(ctx context.Context, id string, opts ...RequestOption) (*BenchmarkJobView, error) {
	for {
		view, err := s.Get(ctx, id, opts...)
		if err != nil {
			return nil, err
		}
		if view.State.Final() {
			return view, nil
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return nil, fmt.Errorf("wait for benchmark job %s: %w", id, err)
		}
	}
}
