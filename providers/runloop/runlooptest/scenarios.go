package runlooptest

import (
	"bytes"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const prefixScenario = "scn_"

// scenario is the record of one scenario. Emulator.mu guards it. What its view
// points to is never changed, only replaced.
type scenario struct {
	view runloopapi.ScenarioView
}

func (s *scenario) copyView() *runloopapi.ScenarioView {
	v := s.view
	v.Metadata = copyMetadata(v.Metadata)
	return &v
}

func (e *Emulator) routeScenarios() {
	handle(e, "POST /v1/scenarios", "scenarios.create", e.createScenario)
	handle(e, "GET /v1/scenarios", "scenarios.list", e.listScenarios)
	handle(e, "GET /v1/scenarios/list_public", "scenarios.list_public", e.listPublicScenarios)
	handle(e, "GET /v1/scenarios/{id}", "scenarios.get", e.getScenario)
	handle(e, "POST /v1/scenarios/{id}", "scenarios.update", e.updateScenario)
	handle(e, "POST /v1/scenarios/{id}/archive", "scenarios.archive", func(c *call, _ *none) (*runloopapi.ScenarioView, error) {
		return e.archiveScenario(c, runloopapi.ScenarioArchived)
	})
	handle(e, "POST /v1/scenarios/{id}/unarchive", "scenarios.unarchive", func(c *call, _ *none) (*runloopapi.ScenarioView, error) {
		return e.archiveScenario(c, runloopapi.ScenarioActive)
	})
	routeMetadata(e, "/v1/scenarios", "scenarios", &e.scenarios, func(s *scenario) map[string]string { return s.view.Metadata })
}

func (e *Emulator) createScenario(_ *call, in *runloopapi.ScenarioCreateParams) (*runloopapi.ScenarioView, error) {
	s := &scenario{runloopapi.ScenarioView{
		ID: newID(prefixScenario), Name: in.Name, Status: runloopapi.ScenarioActive, InputContext: in.InputContext,
		ScoringContract: in.ScoringContract, Environment: in.Environment, Metadata: copyMetadata(in.Metadata),
		ReferenceOutput: in.ReferenceOutput, RequiredEnvironmentVariables: in.RequiredEnvironmentVariables,
		RequiredSecretNames: in.RequiredSecretNames, ValidationType: in.ValidationType,
	}}
	if in.ScorerTimeoutSeconds != 0 {
		s.view.ScorerTimeoutSeconds = &in.ScorerTimeoutSeconds
	}
	if err := checkScenario(&s.view); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.scenarios.add(s.view.ID, s)
	return s.copyView(), nil
}

// checkScenario reports what is wrong with a scenario.
func checkScenario(v *runloopapi.ScenarioView) error {
	if err := checkName(v.Name); err != nil {
		return err
	}
	if strings.TrimSpace(v.InputContext.ProblemStatement) == "" {
		return fail(http.StatusBadRequest, "input_context.problem_statement must not be empty")
	}
	if env := v.Environment; env != nil && env.BlueprintID != "" && env.SnapshotID != "" {
		return fail(http.StatusBadRequest, "environment_parameters: only one of blueprint_id and snapshot_id can be given")
	}
	if t := v.ScorerTimeoutSeconds; t != nil && *t <= 0 {
		return fail(http.StatusBadRequest, "scorer_timeout_sec must be above 0")
	}
	switch v.ValidationType {
	case "", runloopapi.ValidationUnspecified, runloopapi.ValidationForward, runloopapi.ValidationReverse, runloopapi.ValidationEvaluation:
	default:
		return fail(http.StatusBadRequest, "validation_type: there is no %q", v.ValidationType)
	}
	return checkContract(&v.ScoringContract)
}

// checkContract reports what is wrong with a scoring contract.
func checkContract(contract *runloopapi.ScoringContract) error {
	bad := func(format string, args ...any) error {
		return fail(http.StatusBadRequest, "scoring_contract: "+format, args...)
	}
	if len(contract.ScoringFunctions) == 0 {
		return bad("there must be a scoring function at least")
	}
	names := map[string]bool{}
	sum := 0.0
	for _, f := range contract.ScoringFunctions {
		if !plainName(f.Name) {
			return bad("the name %q is not of letters, digits, - and _", f.Name)
		}
		if names[f.Name] {
			return bad("there are two scoring functions %q", f.Name)
		}
		names[f.Name] = true
		if len(f.Scorer.Unknown) > 0 || f.Scorer.Type() == "" {
			return bad("%s: there is no scorer of type %q", f.Name, f.Scorer.Type())
		}
		if f.Weight < 0 {
			return bad("%s: the weight must not be negative", f.Name)
		}
		if custom := f.Scorer.Custom; custom != nil && !plainName(custom.Type) {
			return bad("%s: %q is no type of a scorer", f.Name, custom.Type)
		}
		sum += f.Weight
	}
	if math.Abs(sum-1) > 1e-3 {
		return bad("the weights add up to %g, not 1", sum)
	}
	return nil
}

func (e *Emulator) listScenarios(c *call, _ *none) (*page[*runloopapi.ScenarioView], error) {
	validation, err := oneOf(c, "validation_type", runloopapi.ValidationUnspecified, runloopapi.ValidationForward,
		runloopapi.ValidationReverse, runloopapi.ValidationEvaluation)
	if err != nil {
		return nil, err
	}
	name, benchmarkID, search := c.query.Get("name"), c.query.Get("benchmark_id"), c.query.Get("search")
	return list(c, "scenarios", &e.scenarios, func(s *scenario) bool {
		if benchmarkID != "" {
			b, err := e.benchmarks.get("benchmark", benchmarkID)
			if err != nil || !slices.Contains(b.view.ScenarioIDs, s.view.ID) {
				return false
			}
		}
		return s.view.Status == runloopapi.ScenarioActive && equal(name, s.view.Name) &&
			equal(validation, s.view.ValidationType) && searched(search, s.view.ID, s.view.Name)
	}, (*scenario).copyView)
}

func (e *Emulator) listPublicScenarios(c *call, _ *none) (*page[*runloopapi.ScenarioView], error) {
	name, search := c.query.Get("name"), c.query.Get("search")
	return list(c, "scenarios", &e.scenarios, func(s *scenario) bool {
		return s.view.IsPublic && s.view.Status == runloopapi.ScenarioActive && equal(name, s.view.Name) &&
			searched(search, s.view.ID, s.view.Name)
	}, (*scenario).copyView)
}

// pathScenario returns the scenario that the path of a request names. e.mu is
// held.
func (e *Emulator) pathScenario(c *call) (*scenario, error) {
	id, err := c.id("id", prefixScenario)
	if err != nil {
		return nil, err
	}
	return e.scenarios.get("scenario", id)
}

func (e *Emulator) getScenario(c *call, _ *none) (*runloopapi.ScenarioView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.pathScenario(c)
	if err != nil {
		return nil, err
	}
	return s.copyView(), nil
}

// given reports whether a field of raw JSON is there and not null.
func given(raw []byte) bool { return len(raw) > 0 && !bytes.Equal(raw, []byte("null")) }

// updateScenario replaces the fields that are given.
func (e *Emulator) updateScenario(c *call, in *runloopapi.ScenarioUpdateParams) (*runloopapi.ScenarioView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.pathScenario(c)
	if err != nil {
		return nil, err
	}
	if s.view.Status == runloopapi.ScenarioArchived {
		return nil, fail(http.StatusBadRequest, "scenario %q is archived", s.view.ID)
	}
	v := s.view
	set(&v.Name, in.Name)
	if in.InputContext != nil {
		set(&v.InputContext.ProblemStatement, in.InputContext.ProblemStatement)
		if given(in.InputContext.AdditionalContext) {
			v.InputContext.AdditionalContext = in.InputContext.AdditionalContext
		}
	}
	if in.ScoringContract != nil && in.ScoringContract.ScoringFunctions != nil {
		v.ScoringContract.ScoringFunctions = in.ScoringContract.ScoringFunctions
	}
	if in.Environment != nil {
		v.Environment = in.Environment
	}
	if in.Metadata != nil {
		v.Metadata = copyMetadata(in.Metadata)
	}
	set(&v.ReferenceOutput, in.ReferenceOutput)
	if in.RequiredEnvironmentVariables != nil {
		v.RequiredEnvironmentVariables = in.RequiredEnvironmentVariables
	}
	if in.RequiredSecretNames != nil {
		v.RequiredSecretNames = in.RequiredSecretNames
	}
	if in.ValidationType != "" {
		v.ValidationType = in.ValidationType
	}
	if in.ScorerTimeoutSeconds != nil {
		v.ScorerTimeoutSeconds = in.ScorerTimeoutSeconds
	}
	if err := checkScenario(&v); err != nil {
		return nil, err
	}
	s.view = v
	return s.copyView(), nil
}

// archiveScenario takes a scenario out of the lists, or back into them.
func (e *Emulator) archiveScenario(c *call, status runloopapi.ScenarioStatus) (*runloopapi.ScenarioView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.pathScenario(c)
	if err != nil {
		return nil, err
	}
	if s.view.IsPublic {
		return nil, fail(http.StatusForbidden, "scenario %q is public", s.view.ID)
	}
	s.view.Status = status
	return s.copyView(), nil
}
