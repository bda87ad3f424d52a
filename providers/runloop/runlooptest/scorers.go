package runlooptest

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	prefixScorer   = "scs_"
	validationTime = 25 * time.Second // clients wait 30
)

// scorer is the record of one custom scorer.
type scorer struct{ view runloopapi.ScorerView }

func (s *scorer) copyView() *runloopapi.ScorerView {
	v := s.view
	return &v
}

func (e *Emulator) routeScorers() {
	handle(e, "POST /v1/scenarios/scorers", "scorers.create", e.createScorer)
	handle(e, "GET /v1/scenarios/scorers", "scorers.list", e.listScorers)
	handle(e, "GET /v1/scenarios/scorers/{id}", "scorers.get", e.getScorer)
	handle(e, "POST /v1/scenarios/scorers/{id}", "scorers.update", e.updateScorer)
	handle(e, "POST /v1/scenarios/scorers/{id}/validate", "scorers.validate", e.validateScorer)
}

// findScorer returns the scorer of a type, or nil. e.mu is held.
func (e *Emulator) findScorer(kind string) *scorer {
	for _, s := range e.scorers.newest() {
		if s.view.Type == kind {
			return s
		}
	}
	return nil
}

// checkScorer reports what is wrong with a scorer. e.mu is held.
func (e *Emulator) checkScorer(id string, in *runloopapi.ScorerParams) error {
	if !plainName(in.Type) {
		return fail(http.StatusBadRequest, "type must be of letters, digits, - and _")
	}
	if in.BashScript == "" {
		return fail(http.StatusBadRequest, "bash_script must not be empty")
	}
	if other := e.findScorer(in.Type); other != nil && other.view.ID != id {
		return fail(http.StatusBadRequest, "there is a scorer of type %q already", in.Type)
	}
	return nil
}

func (e *Emulator) createScorer(_ *call, in *runloopapi.ScorerParams) (*runloopapi.ScorerView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.checkScorer("", in); err != nil {
		return nil, err
	}
	s := &scorer{runloopapi.ScorerView{ID: newID(prefixScorer), Type: in.Type, BashScript: in.BashScript}}
	e.scorers.add(s.view.ID, s)
	return s.copyView(), nil
}

func (e *Emulator) listScorers(c *call, _ *none) (*page[*runloopapi.ScorerView], error) {
	search := c.query.Get("search")
	return list(c, "scorers", &e.scorers, func(s *scorer) bool {
		return searched(search, s.view.ID, s.view.Type)
	}, (*scorer).copyView)
}

// pathScorer returns the scorer that the path of a request names. e.mu is held.
func (e *Emulator) pathScorer(c *call) (*scorer, error) {
	id, err := c.id("id", prefixScorer)
	if err != nil {
		return nil, err
	}
	return e.scorers.get("scorer", id)
}

func (e *Emulator) getScorer(c *call, _ *none) (*runloopapi.ScorerView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.pathScorer(c)
	if err != nil {
		return nil, err
	}
	return s.copyView(), nil
}

func (e *Emulator) updateScorer(c *call, in *runloopapi.ScorerParams) (*runloopapi.ScorerView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.pathScorer(c)
	if err != nil {
		return nil, err
	}
	if err := e.checkScorer(s.view.ID, in); err != nil {
		return nil, err
	}
	s.view.Type, s.view.BashScript = in.Type, in.BashScript
	return s.copyView(), nil
}

// validateParams and validateView are of an operation that older clients have.
type validateParams struct {
	ScoringContext json.RawMessage                 `json:"scoring_context"`
	Environment    *runloopapi.ScenarioEnvironment `json:"environment_parameters"`
}

type validateView struct {
	Name           string                           `json:"name"`
	ScoringContext json.RawMessage                  `json:"scoring_context"`
	ScoringResult  runloopapi.ScoringFunctionResult `json:"scoring_result"`
	Environment    *runloopapi.ScenarioEnvironment  `json:"environment_parameters,omitempty"`
}

// validateScorer tries a scorer in a devbox made for it.
func (e *Emulator) validateScorer(c *call, in *validateParams) (*validateView, error) {
	e.mu.Lock()
	s, err := e.pathScorer(c)
	kind := ""
	if err == nil {
		kind = s.view.Type
	}
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if !given(in.ScoringContext) {
		in.ScoringContext = json.RawMessage("{}")
	}
	of := runloopapi.ScenarioView{Environment: in.Environment}
	d, _, err := e.newDevbox(devboxOf(&of, &runloopapi.RunProfile{}), runloopapi.InitiatorScoringValidation, s.view.ID)
	if err != nil {
		return nil, err
	}
	defer e.change(func() { e.end(d, runloopapi.ShutdownByAPI) })
	result, err := e.tryScorer(c, &scenarioRun{d: d, scenario: of}, &runloopapi.CustomScorer{Type: kind, Params: in.ScoringContext})
	if err != nil {
		return nil, err
	}
	return &validateView{Name: kind, ScoringContext: in.ScoringContext, Environment: in.Environment, ScoringResult: *result}, nil
}

// tryScorer waits for the devbox of a run that is none and runs a scorer there.
func (e *Emulator) tryScorer(c *call, r *scenarioRun, custom *runloopapi.CustomScorer) (*runloopapi.ScoringFunctionResult, error) {
	ctx, cancel := context.WithTimeout(c.r.Context(), validationTime)
	defer cancel()
	ran, err := e.await(ctx, validationTime, func() bool {
		return r.d.status == runloopapi.DevboxRunning || r.d.status.Final()
	})
	if err != nil || !ran {
		return nil, final(http.StatusRequestTimeout, "the devbox for the validation did not run in time")
	}
	result := &runloopapi.ScoringFunctionResult{Name: custom.Type, State: runloopapi.ScoringComplete}
	done := make(chan struct{})
	e.mu.Lock()
	started := e.job(r.d, func(life context.Context) {
		defer close(done)
		life, cancel := context.WithCancel(life)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		var err error
		result.Score, result.Output, err = e.runScorer(life, r, &runloopapi.ScorerSpec{Custom: custom})
		if err != nil {
			result.State, result.Output = runloopapi.ScoringError, result.Output+"\nscorer: "+err.Error()+"\n"
		}
	})
	status := r.d.status
	e.mu.Unlock()
	if !started {
		return nil, fail(http.StatusBadRequest, "the devbox for the validation is %s", status)
	}
	<-done
	return result, nil
}
