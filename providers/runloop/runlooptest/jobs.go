package runlooptest

import (
	"net/http"
	"strings"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const prefixJob = "bmj_"

// benchmarkJob is the record of one benchmark job. It never changes: jobs run agents, which
// the emulator has none of, so they wait in the queue for ever.
type benchmarkJob struct{ view runloopapi.BenchmarkJobView }

func (j *benchmarkJob) copyView() *runloopapi.BenchmarkJobView {
	v := j.view
	return &v
}

func (e *Emulator) routeJobs() {
	handle(e, "POST /v1/benchmark_jobs", "benchmark_jobs.create", e.createJob)
	handle(e, "GET /v1/benchmark_jobs", "benchmark_jobs.list", e.listJobs)
	handle(e, "GET /v1/benchmark_jobs/{id}", "benchmark_jobs.get", e.getJob)
}

func (e *Emulator) createJob(_ *call, in *runloopapi.BenchmarkJobCreateParams) (*runloopapi.BenchmarkJobView, error) {
	j := &benchmarkJob{runloopapi.BenchmarkJobView{
		ID: newID(prefixJob), Name: in.Name, State: runloopapi.JobQueued, CreateTime: runloopapi.MillisOf(time.Now()),
	}}
	if j.view.Name == "" {
		j.view.Name = j.view.ID
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if in.Spec != nil {
		if err := e.describeJob(&j.view, in.Spec); err != nil {
			return nil, err
		}
	}
	e.jobs.add(j.view.ID, j)
	return j.copyView(), nil
}

// describeJob checks what a job is to run and adds it to the job's view. e.mu is
// held.
func (e *Emulator) describeJob(v *runloopapi.BenchmarkJobView, s *runloopapi.JobSpec) error {
	var agents []runloopapi.JobAgent
	switch {
	case s.Harbor != nil:
		if strings.TrimSpace(s.Harbor.InlineYAML) == "" {
			return fail(http.StatusBadRequest, "spec.inline_yaml must not be empty")
		}
		v.Source = &runloopapi.JobSource{Harbor: s.Harbor}
		return nil
	case s.Benchmark != nil:
		b, err := e.benchmarks.get("benchmark", s.Benchmark.BenchmarkID)
		if err != nil {
			return badRequest(err)
		}
		agents = s.Benchmark.AgentConfigs
		v.Source = &runloopapi.JobSource{Benchmark: &runloopapi.BenchmarkJobSource{BenchmarkID: b.view.ID, BenchmarkName: b.view.Name}}
		v.Spec = &runloopapi.JobSpecView{ScenarioIDs: b.copyView().ScenarioIDs, AgentConfigs: agents,
			OrchestratorConfig: s.Benchmark.OrchestratorConfig}
	case s.Scenarios != nil:
		if err := e.checkScenarios(s.Scenarios.ScenarioIDs); err != nil {
			return err
		}
		agents = s.Scenarios.AgentConfigs
		v.Source = &runloopapi.JobSource{Scenarios: &runloopapi.ScenariosJobSource{ScenarioIDs: s.Scenarios.ScenarioIDs}}
		v.Spec = &runloopapi.JobSpecView{ScenarioIDs: s.Scenarios.ScenarioIDs, AgentConfigs: agents,
			OrchestratorConfig: s.Scenarios.OrchestratorConfig}
	default:
		return fail(http.StatusBadRequest, "spec: there is no job of type %q", s.Type())
	}
	if len(agents) == 0 {
		return fail(http.StatusBadRequest, "spec.agent_configs must have an agent at least")
	}
	if len(v.Spec.ScenarioIDs) == 0 {
		return fail(http.StatusBadRequest, "spec: there is no scenario to be run")
	}
	return nil
}

func (e *Emulator) listJobs(c *call, _ *none) (*page[*runloopapi.BenchmarkJobView], error) {
	name, search := c.query.Get("name"), c.query.Get("search")
	return list(c, "jobs", &e.jobs, func(j *benchmarkJob) bool {
		return equal(name, j.view.Name) && searched(search, j.view.ID, j.view.Name)
	}, (*benchmarkJob).copyView)
}

func (e *Emulator) getJob(c *call, _ *none) (*runloopapi.BenchmarkJobView, error) {
	id, err := c.id("id", prefixJob)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	j, err := e.jobs.get("benchmark job", id)
	if err != nil {
		return nil, err
	}
	return j.copyView(), nil
}
