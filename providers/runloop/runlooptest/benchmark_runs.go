package runlooptest

import (
	"archive/zip"
	"iter"
	"net/http"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const prefixBenchmarkRun = "bmr_"

// benchmarkRun is the record of one run of a benchmark. Emulator.mu guards its
// view; the profile never changes.
type benchmarkRun struct {
	view    runloopapi.BenchmarkRunView
	profile runloopapi.RunProfile
}

func (b *benchmarkRun) copyView() *runloopapi.BenchmarkRunView {
	v := b.view
	v.Metadata = copyMetadata(v.Metadata)
	return &v
}

// errRunOver is the answer to what only a run in progress can do. e.mu is held.
func errRunOver(b *benchmarkRun) error {
	return fail(http.StatusBadRequest, "benchmark run %q is %s, not running", b.view.ID, b.view.State)
}

func (e *Emulator) routeBenchmarkRuns() {
	handle(e, "POST /v1/benchmarks/start_run", "benchmarks.start_run", e.startBenchmark)
	handle(e, "GET /v1/benchmarks/{id}/runs", "benchmarks.runs", func(c *call, _ *none) (*page[*runloopapi.BenchmarkRunView], error) {
		e.mu.Lock()
		b, err := e.pathBenchmark(c)
		e.mu.Unlock()
		if err != nil {
			return nil, err
		}
		return e.listBenchmarkRuns(c, b.view.ID) // which never changes
	})
	for _, base := range []string{"/v1/benchmark_runs", "/v1/benchmarks/runs"} { // the second is older
		handle(e, "GET "+base, "benchmark_runs.list", func(c *call, _ *none) (*page[*runloopapi.BenchmarkRunView], error) {
			return e.listBenchmarkRuns(c, c.query.Get("benchmark_id"))
		})
		handle(e, "GET "+base+"/{id}", "benchmark_runs.get", e.getBenchmarkRun)
		handle(e, "POST "+base+"/{id}/complete", "benchmark_runs.complete", e.completeBenchmarkRun)
		handle(e, "POST "+base+"/{id}/cancel", "benchmark_runs.cancel", e.cancelBenchmarkRun)
		handle(e, "GET "+base+"/{id}/scenario_runs", "benchmark_runs.scenario_runs", e.benchmarkScenarioRuns)
		e.add("POST "+base+"/{id}/download_logs", route{op: "benchmark_runs.download_logs", stream: true, do: e.downloadBenchmarkLogs})
	}
}

// startBenchmark makes a run, which the runs of scenarios join.
func (e *Emulator) startBenchmark(_ *call, in *runloopapi.BenchmarkRunParams) (*runloopapi.BenchmarkRunView, error) {
	if err := checkID(prefixBenchmark, in.BenchmarkID); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	of, err := e.benchmarks.get("benchmark", in.BenchmarkID)
	if err != nil {
		return nil, err
	}
	b := &benchmarkRun{}
	set(&b.profile, in.RunProfile)
	if err := checkRequired(&b.profile, of.view.RequiredEnvironmentVariables, of.view.RequiredSecretNames); err != nil {
		return nil, err
	}
	b.view = runloopapi.BenchmarkRunView{
		ID: newID(prefixBenchmarkRun), State: runloopapi.BenchmarkRunRunning, StartTime: runloopapi.MillisOf(time.Now()),
		Metadata: copyMetadata(in.Metadata), BenchmarkID: of.view.ID, Name: in.Name, Purpose: b.profile.Purpose,
		EnvironmentVariables: b.profile.EnvironmentVariables, SecretsProvided: b.profile.Secrets,
	}
	e.benchmarkRuns.add(b.view.ID, b)
	return b.copyView(), nil
}

func (e *Emulator) listBenchmarkRuns(c *call, benchmarkID string) (*page[*runloopapi.BenchmarkRunView], error) {
	state, err := oneOf(c, "state", runloopapi.BenchmarkRunRunning, runloopapi.BenchmarkRunCanceled,
		runloopapi.BenchmarkRunCompleted, runloopapi.BenchmarkRunFailed)
	if err != nil {
		return nil, err
	}
	name, search := c.query.Get("name"), c.query.Get("search")
	return list(c, "runs", &e.benchmarkRuns, func(b *benchmarkRun) bool {
		return equal(benchmarkID, b.view.BenchmarkID) && equal(name, b.view.Name) && equal(state, b.view.State) &&
			searched(search, b.view.ID, b.view.Name)
	}, (*benchmarkRun).copyView)
}

// pathBenchmarkRun returns the run that the path of a request names. e.mu is held.
func (e *Emulator) pathBenchmarkRun(c *call) (*benchmarkRun, error) {
	id, err := c.id("id", prefixBenchmarkRun)
	if err != nil {
		return nil, err
	}
	return e.benchmarkRuns.get("benchmark run", id)
}

func (e *Emulator) getBenchmarkRun(c *call, _ *none) (*runloopapi.BenchmarkRunView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := e.pathBenchmarkRun(c)
	if err != nil {
		return nil, err
	}
	return b.copyView(), nil
}

// runsOf yields the scenario runs of a benchmark run. e.mu is held.
func (e *Emulator) runsOf(b *benchmarkRun) iter.Seq[*scenarioRun] {
	return func(yield func(*scenarioRun) bool) {
		for _, r := range e.scenarioRuns.newest() {
			if r.view.BenchmarkRunID == b.view.ID && !yield(r) {
				return
			}
		}
	}
}

// finishBenchmark ends a run. Its score is the sum of those of its scenario runs,
// of which some may have none, divided by their number. e.mu is held.
func (e *Emulator) finishBenchmark(b *benchmarkRun, state runloopapi.BenchmarkRunState) {
	sum, n := 0.0, 0
	for r := range e.runsOf(b) {
		n++
		if result := r.view.ScoringContractResult; result != nil {
			sum += result.Score
		}
	}
	if n > 0 {
		b.view.Score = runloopapi.Ptr(sum / float64(n))
	}
	b.view.State = state
	b.view.DurationMS = runloopapi.Ptr(time.Since(b.view.StartTime.Time()).Milliseconds())
	e.notify()
}

// completeBenchmarkRun ends a run. Again is fine.
func (e *Emulator) completeBenchmarkRun(c *call, _ *none) (*runloopapi.BenchmarkRunView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := e.pathBenchmarkRun(c)
	if err != nil {
		return nil, err
	}
	switch b.view.State {
	case runloopapi.BenchmarkRunCompleted:
	case runloopapi.BenchmarkRunRunning:
		e.finishBenchmark(b, runloopapi.BenchmarkRunCompleted)
	default:
		return nil, errRunOver(b)
	}
	return b.copyView(), nil
}

// cancelBenchmarkRun ends a run and those of its scenario runs that have not ended.
// Again is fine.
func (e *Emulator) cancelBenchmarkRun(c *call, _ *none) (*runloopapi.BenchmarkRunView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := e.pathBenchmarkRun(c)
	if err != nil {
		return nil, err
	}
	switch b.view.State {
	case runloopapi.BenchmarkRunCanceled:
	case runloopapi.BenchmarkRunRunning:
		for r := range e.runsOf(b) {
			if e.settle(r); !r.over() {
				e.finish(r, runloopapi.ScenarioRunCanceled)
			}
		}
		e.finishBenchmark(b, runloopapi.BenchmarkRunCanceled)
	default:
		return nil, errRunOver(b)
	}
	return b.copyView(), nil
}

func (e *Emulator) benchmarkScenarioRuns(c *call, _ *none) (*page[*runloopapi.ScenarioRunView], error) {
	e.mu.Lock()
	b, err := e.pathBenchmarkRun(c)
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return e.listScenarioRuns(c, "", b.view.ID) // which never changes
}

func (e *Emulator) downloadBenchmarkLogs(c *call) error {
	e.mu.Lock()
	b, err := e.pathBenchmarkRun(c)
	if err != nil {
		e.mu.Unlock()
		return err
	}
	id := b.view.ID
	var all []runLogs
	for r := range e.runsOf(b) {
		all = append(all, e.logsOf(r))
	}
	e.mu.Unlock()
	return c.writeZip(id, func(z *zip.Writer) error {
		for _, logs := range all {
			if err := logs.write(z, logs.view.ID+"/"); err != nil {
				return err
			}
		}
		return nil
	})
}
