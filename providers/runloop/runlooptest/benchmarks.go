package runlooptest

import (
	"net/http"
	"slices"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const prefixBenchmark = "bmd_"

// benchmark is the record of one benchmark. Emulator.mu guards it.
type benchmark struct{ view runloopapi.BenchmarkView }

func (b *benchmark) copyView() *runloopapi.BenchmarkView {
	v := b.view
	v.Metadata = copyMetadata(v.Metadata)
	v.ScenarioIDs = append([]string{}, v.ScenarioIDs...)
	return &v
}

func (e *Emulator) routeBenchmarks() {
	handle(e, "POST /v1/benchmarks", "benchmarks.create", e.createBenchmark)
	handle(e, "GET /v1/benchmarks", "benchmarks.list", func(c *call, _ *none) (*page[*runloopapi.BenchmarkView], error) {
		return e.listBenchmarks(c, false)
	})
	handle(e, "GET /v1/benchmarks/list_public", "benchmarks.list_public", func(c *call, _ *none) (*page[*runloopapi.BenchmarkView], error) {
		return e.listBenchmarks(c, true)
	})
	handle(e, "GET /v1/benchmarks/{id}", "benchmarks.get", e.getBenchmark)
	handle(e, "POST /v1/benchmarks/{id}", "benchmarks.update", e.updateBenchmark)
	handle(e, "POST /v1/benchmarks/{id}/scenarios", "benchmarks.update_scenarios", e.updateBenchmarkScenarios)
	handle(e, "GET /v1/benchmarks/{id}/definitions", "benchmarks.definitions", e.benchmarkDefinitions)
	handle(e, "POST /v1/benchmarks/{id}/archive", "benchmarks.archive", func(c *call, _ *none) (*runloopapi.BenchmarkView, error) {
		return e.archiveBenchmark(c, runloopapi.BenchmarkArchived)
	})
	handle(e, "POST /v1/benchmarks/{id}/unarchive", "benchmarks.unarchive", func(c *call, _ *none) (*runloopapi.BenchmarkView, error) {
		return e.archiveBenchmark(c, runloopapi.BenchmarkActive)
	})
	routeMetadata(e, "/v1/benchmarks", "benchmarks", &e.benchmarks, func(b *benchmark) map[string]string { return b.view.Metadata })
}

func (e *Emulator) createBenchmark(_ *call, in *runloopapi.BenchmarkCreateParams) (*runloopapi.BenchmarkView, error) {
	b := &benchmark{runloopapi.BenchmarkView{
		ID: newID(prefixBenchmark), Name: in.Name, Status: runloopapi.BenchmarkActive, ScenarioIDs: in.ScenarioIDs,
		Metadata: copyMetadata(in.Metadata), Description: in.Description, Attribution: in.Attribution,
		RequiredEnvironmentVariables: in.RequiredEnvironmentVariables, RequiredSecretNames: in.RequiredSecretNames,
	}}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.checkBenchmark(&b.view); err != nil {
		return nil, err
	}
	e.benchmarks.add(b.view.ID, b)
	return b.copyView(), nil
}

// checkBenchmark reports what is wrong with a benchmark. e.mu is held.
func (e *Emulator) checkBenchmark(v *runloopapi.BenchmarkView) error {
	if err := checkName(v.Name); err != nil {
		return err
	}
	for id, other := range e.benchmarks.newest() {
		if id != v.ID && other.view.Name == v.Name {
			return fail(http.StatusBadRequest, "there is a benchmark %q already", v.Name)
		}
	}
	return e.checkScenarios(v.ScenarioIDs)
}

// checkScenarios makes sure that there are scenarios with these identifiers. e.mu
// is held.
func (e *Emulator) checkScenarios(ids []string) error {
	seen := map[string]bool{}
	for _, id := range ids {
		if _, err := e.scenarios.get("scenario", id); err != nil {
			return badRequest(err)
		}
		if seen[id] {
			return fail(http.StatusBadRequest, "scenario %q is there twice", id)
		}
		seen[id] = true
	}
	return nil
}

func (e *Emulator) listBenchmarks(c *call, public bool) (*page[*runloopapi.BenchmarkView], error) {
	name, search := c.query.Get("name"), c.query.Get("search")
	return list(c, "benchmarks", &e.benchmarks, func(b *benchmark) bool {
		return (!public || b.view.IsPublic) && b.view.Status == runloopapi.BenchmarkActive &&
			equal(name, b.view.Name) && searched(search, b.view.ID, b.view.Name)
	}, (*benchmark).copyView)
}

// pathBenchmark returns the benchmark that the path of a request names. e.mu is
// held.
func (e *Emulator) pathBenchmark(c *call) (*benchmark, error) {
	id, err := c.id("id", prefixBenchmark)
	if err != nil {
		return nil, err
	}
	return e.benchmarks.get("benchmark", id)
}

func (e *Emulator) getBenchmark(c *call, _ *none) (*runloopapi.BenchmarkView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := e.pathBenchmark(c)
	if err != nil {
		return nil, err
	}
	return b.copyView(), nil
}

// updateBenchmark replaces the fields that are given.
func (e *Emulator) updateBenchmark(c *call, in *runloopapi.BenchmarkUpdateParams) (*runloopapi.BenchmarkView, error) {
	return e.changeBenchmark(c, func(v *runloopapi.BenchmarkView) {
		set(&v.Name, in.Name)
		set(&v.Description, in.Description)
		set(&v.Attribution, in.Attribution)
		if in.ScenarioIDs != nil {
			v.ScenarioIDs = in.ScenarioIDs
		}
		if in.Metadata != nil {
			v.Metadata = copyMetadata(in.Metadata)
		}
		if in.RequiredEnvironmentVariables != nil {
			v.RequiredEnvironmentVariables = in.RequiredEnvironmentVariables
		}
		if in.RequiredSecretNames != nil {
			v.RequiredSecretNames = in.RequiredSecretNames
		}
	})
}

// updateBenchmarkScenarios adds scenarios and takes others away. One that is there
// already stays where it is.
func (e *Emulator) updateBenchmarkScenarios(c *call, in *runloopapi.BenchmarkScenariosParams) (*runloopapi.BenchmarkView, error) {
	return e.changeBenchmark(c, func(v *runloopapi.BenchmarkView) {
		v.ScenarioIDs = slices.DeleteFunc(slices.Clone(v.ScenarioIDs), func(id string) bool {
			return slices.Contains(in.Remove, id)
		})
		for _, id := range in.Add {
			if !slices.Contains(v.ScenarioIDs, id) {
				v.ScenarioIDs = append(v.ScenarioIDs, id)
			}
		}
	})
}

func (e *Emulator) changeBenchmark(c *call, change func(*runloopapi.BenchmarkView)) (*runloopapi.BenchmarkView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := e.pathBenchmark(c)
	if err != nil {
		return nil, err
	}
	v := b.view
	change(&v)
	if err := e.checkBenchmark(&v); err != nil {
		return nil, err
	}
	b.view = v
	return b.copyView(), nil
}

// benchmarkDefinitions lists the scenarios of a benchmark, in its order.
func (e *Emulator) benchmarkDefinitions(c *call, _ *none) (*page[*runloopapi.ScenarioView], error) {
	var t table[scenario]
	e.mu.Lock()
	b, err := e.pathBenchmark(c)
	if err == nil {
		for _, id := range slices.Backward(b.view.ScenarioIDs) { // lists begin with what was added last
			if s, err := e.scenarios.get("scenario", id); err == nil {
				t.add(id, s)
			}
		}
	}
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return list(c, "scenarios", &t, nil, (*scenario).copyView)
}

// archiveBenchmark takes a benchmark out of the lists, or back into them.
func (e *Emulator) archiveBenchmark(c *call, status runloopapi.BenchmarkStatus) (*runloopapi.BenchmarkView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := e.pathBenchmark(c)
	if err != nil {
		return nil, err
	}
	if b.view.IsPublic {
		return nil, fail(http.StatusForbidden, "benchmark %q is public", b.view.ID)
	}
	b.view.Status = status
	return b.copyView(), nil
}
