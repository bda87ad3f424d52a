package runlooptest

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const prefixScenarioRun = "scr_"

// scenarioRun is the record of one run of a scenario. Emulator.mu guards what
// changes: the state and what the view has from then on.
type scenarioRun struct {
	view     runloopapi.ScenarioRunView
	d        *devbox
	scenario runloopapi.ScenarioView // as it was when the run began
	logs     map[string]string       // what its scoring functions have printed
}

// over reports whether a run has ended. e.mu is held.
func (r *scenarioRun) over() bool {
	switch r.view.State {
	case runloopapi.ScenarioRunRunning, runloopapi.ScenarioRunScoring, runloopapi.ScenarioRunScored:
		return false
	}
	return true
}

// finish ends a run and its devbox. e.mu is held.
func (e *Emulator) finish(r *scenarioRun, state runloopapi.ScenarioRunState) {
	r.view.State = state
	r.view.DurationMS = runloopapi.Ptr(time.Since(r.view.StartTime.Time()).Milliseconds())
	e.end(r.d, runloopapi.ShutdownByAPI)
	e.notify()
}

// settle notices that the devbox of a run has ended by itself. e.mu is held.
func (e *Emulator) settle(r *scenarioRun) {
	if r.over() || !r.d.status.Final() {
		return
	}
	if r.d.shutdown == runloopapi.ShutdownKeepAliveTimeout {
		e.finish(r, runloopapi.ScenarioRunTimeout)
	} else {
		e.finish(r, runloopapi.ScenarioRunFailed)
	}
}

// runView returns what the API says of a run. e.mu is held.
func (e *Emulator) runView(r *scenarioRun) *runloopapi.ScenarioRunView {
	e.settle(r)
	v := r.view
	v.Metadata = copyMetadata(v.Metadata)
	return &v
}

func (e *Emulator) routeScenarioRuns() {
	handle(e, "POST /v1/scenarios/start_run", "scenarios.start_run", e.startScenario)
	handle(e, "GET /v1/scenarios/runs", "scenario_runs.list", func(c *call, _ *none) (*page[*runloopapi.ScenarioRunView], error) {
		return e.listScenarioRuns(c, c.query.Get("scenario_id"), c.query.Get("benchmark_run_id"))
	})
	handle(e, "GET /v1/scenarios/{id}/runs", "scenarios.runs", func(c *call, _ *none) (*page[*runloopapi.ScenarioRunView], error) {
		e.mu.Lock()
		s, err := e.pathScenario(c)
		e.mu.Unlock()
		if err != nil {
			return nil, err
		}
		return e.listScenarioRuns(c, s.view.ID, "") // which never changes
	})
	handle(e, "GET /v1/scenarios/runs/{id}", "scenario_runs.get", e.getScenarioRun)
	handle(e, "POST /v1/scenarios/runs/{id}/score", "scenario_runs.score", e.scoreRun)
	handle(e, "POST /v1/scenarios/runs/{id}/complete", "scenario_runs.complete", e.completeRun)
	handle(e, "POST /v1/scenarios/runs/{id}/cancel", "scenario_runs.cancel", e.cancelRun)
	e.add("POST /v1/scenarios/runs/{id}/download_logs", route{op: "scenario_runs.download_logs", stream: true, do: e.downloadRunLogs})
}

// startScenario makes a run and begins to start its devbox.
func (e *Emulator) startScenario(_ *call, in *runloopapi.ScenarioRunParams) (*runloopapi.ScenarioRunView, error) {
	if err := checkID(prefixScenario, in.ScenarioID); err != nil {
		return nil, err
	}
	e.mu.Lock()
	s, err := e.scenarios.get("scenario", in.ScenarioID)
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	sv := *s.copyView()
	profile, err := e.profileOf(in)
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := checkRequired(&profile, sv.RequiredEnvironmentVariables, sv.RequiredSecretNames); err != nil {
		return nil, err
	}
	r := &scenarioRun{scenario: sv, logs: map[string]string{}, view: runloopapi.ScenarioRunView{
		ID: newID(prefixScenarioRun), ScenarioID: sv.ID, State: runloopapi.ScenarioRunRunning, Metadata: copyMetadata(in.Metadata),
		Name: in.Name, BenchmarkRunID: in.BenchmarkRunID, Purpose: profile.Purpose, StartTime: runloopapi.MillisOf(time.Now()),
		EnvironmentVariables: profile.EnvironmentVariables, SecretsProvided: profile.Secrets,
	}}
	r.d, _, err = e.newDevbox(devboxOf(&sv, &profile), runloopapi.InitiatorScenario, r.view.ID)
	if err != nil {
		return nil, err
	}
	r.view.DevboxID = r.d.id
	e.mu.Lock()
	defer e.mu.Unlock()
	if b, err := e.benchmarkRuns.get("benchmark run", in.BenchmarkRunID); err == nil && b.view.State != runloopapi.BenchmarkRunRunning {
		e.end(r.d, runloopapi.ShutdownByAPI) // it has ended meanwhile
		return nil, errRunOver(b)
	}
	e.scenarioRuns.add(r.view.ID, r)
	return e.runView(r), nil
}

// devboxOf returns the devbox that a scenario wants, with what a profile adds.
func devboxOf(s *runloopapi.ScenarioView, profile *runloopapi.RunProfile) *runloopapi.DevboxCreateParams {
	params := &runloopapi.DevboxCreateParams{
		EnvironmentVariables: profile.EnvironmentVariables, Secrets: profile.Secrets, Mounts: profile.Mounts,
		LaunchParameters: profile.LaunchParameters,
	}
	if env := s.Environment; env != nil {
		params.BlueprintID, params.SnapshotID = env.BlueprintID, env.SnapshotID
		launch := inherit(env.LaunchParameters, profile.LaunchParameters)
		params.LaunchParameters = &launch
	}
	return params
}

// profileOf returns the profile of a run: what the benchmark run has that it is a
// part of, and over that its own. e.mu is held.
func (e *Emulator) profileOf(in *runloopapi.ScenarioRunParams) (runloopapi.RunProfile, error) {
	var own, all runloopapi.RunProfile
	if in.RunProfile != nil {
		own = *in.RunProfile
	}
	if in.BenchmarkRunID == "" {
		return own, nil
	}
	if err := checkID(prefixBenchmarkRun, in.BenchmarkRunID); err != nil {
		return all, err
	}
	b, err := e.benchmarkRuns.get("benchmark run", in.BenchmarkRunID)
	if err != nil {
		return all, badRequest(err)
	}
	if b.view.State != runloopapi.BenchmarkRunRunning {
		return all, errRunOver(b)
	}
	all = b.profile
	all.EnvironmentVariables = merged(all.EnvironmentVariables, own.EnvironmentVariables)
	all.Secrets = merged(all.Secrets, own.Secrets)
	all.Mounts = append(slices.Clip(all.Mounts), own.Mounts...)
	if own.LaunchParameters != nil {
		launch := inherit(all.LaunchParameters, own.LaunchParameters)
		all.LaunchParameters = &launch
	}
	if own.Purpose != "" {
		all.Purpose = own.Purpose
	}
	return all, nil
}

// checkRequired makes sure that a profile has what is required.
func checkRequired(p *runloopapi.RunProfile, variables, secrets []string) error {
	for _, name := range variables {
		if _, ok := p.EnvironmentVariables[name]; !ok {
			return fail(http.StatusBadRequest, "runProfile.envVars must have the variable %q", name)
		}
	}
	for _, name := range secrets {
		_, ok := p.Secrets[name]
		for _, secret := range p.Secrets {
			ok = ok || secret == name
		}
		if !ok {
			return fail(http.StatusBadRequest, "runProfile.secrets must have the secret %q", name)
		}
	}
	return nil
}

// runStates are the names of the states of runs.
var runStates = []runloopapi.ScenarioRunState{
	runloopapi.ScenarioRunRunning, runloopapi.ScenarioRunScoring, runloopapi.ScenarioRunScored, runloopapi.ScenarioRunCompleted,
	runloopapi.ScenarioRunCanceled, runloopapi.ScenarioRunTimeout, runloopapi.ScenarioRunFailed,
}

// listScenarioRuns lists the runs of a scenario and benchmark run, or of all if
// these are empty.
func (e *Emulator) listScenarioRuns(c *call, scenarioID, benchmarkRunID string) (*page[*runloopapi.ScenarioRunView], error) {
	state, err := oneOf(c, "state", runStates...)
	if err != nil {
		return nil, err
	}
	name, search := c.query.Get("name"), c.query.Get("search")
	return list(c, "runs", &e.scenarioRuns, func(r *scenarioRun) bool {
		e.settle(r)
		return equal(scenarioID, r.view.ScenarioID) && equal(benchmarkRunID, r.view.BenchmarkRunID) &&
			equal(name, r.view.Name) && equal(state, r.view.State) && searched(search, r.view.ID, r.view.Name)
	}, e.runView)
}

// pathRun returns the run that the path of a request names. e.mu is held.
func (e *Emulator) pathRun(c *call) (*scenarioRun, error) {
	id, err := c.id("id", prefixScenarioRun)
	if err != nil {
		return nil, err
	}
	r, err := e.scenarioRuns.get("scenario run", id)
	if err != nil {
		return nil, err
	}
	e.settle(r)
	return r, nil
}

func (e *Emulator) getScenarioRun(c *call, _ *none) (*runloopapi.ScenarioRunView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r, err := e.pathRun(c)
	if err != nil {
		return nil, err
	}
	return e.runView(r), nil
}

// scoreRun begins to score a run, also once more.
func (e *Emulator) scoreRun(c *call, _ *none) (*runloopapi.ScenarioRunView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r, err := e.pathRun(c)
	if err != nil {
		return nil, err
	}
	switch r.view.State {
	case runloopapi.ScenarioRunScoring:
		return e.runView(r), nil
	case runloopapi.ScenarioRunRunning, runloopapi.ScenarioRunScored:
	default:
		return nil, fail(http.StatusBadRequest, "scenario run %q is %s", r.view.ID, r.view.State)
	}
	if !e.job(r.d, func(ctx context.Context) { e.score(ctx, r) }) {
		return nil, errNotRunning(r.d)
	}
	r.view.State = runloopapi.ScenarioRunScoring
	e.notify()
	return e.runView(r), nil
}

// completeRun ends a run that has a score. Again is fine.
func (e *Emulator) completeRun(c *call, _ *none) (*runloopapi.ScenarioRunView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r, err := e.pathRun(c)
	if err != nil {
		return nil, err
	}
	switch r.view.State {
	case runloopapi.ScenarioRunCompleted:
	case runloopapi.ScenarioRunScored:
		e.finish(r, runloopapi.ScenarioRunCompleted)
	default:
		return nil, fail(http.StatusBadRequest, "scenario run %q is %s, not scored", r.view.ID, r.view.State)
	}
	return e.runView(r), nil
}

// cancelRun ends a run. Again is fine.
func (e *Emulator) cancelRun(c *call, _ *none) (*runloopapi.ScenarioRunView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r, err := e.pathRun(c)
	if err != nil {
		return nil, err
	}
	switch {
	case r.view.State == runloopapi.ScenarioRunCanceled:
	case r.over():
		return nil, fail(http.StatusBadRequest, "scenario run %q is %s", r.view.ID, r.view.State)
	default:
		e.finish(r, runloopapi.ScenarioRunCanceled)
	}
	return e.runView(r), nil
}
