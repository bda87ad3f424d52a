package runloopapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// What is missing from a scenario that cannot be built.
var (
	ErrNoProblemStatement = errors.New("a problem statement is required")
	ErrNoScorer           = errors.New("at least one scorer is required")
)

// ScenarioBuilder puts a scenario together. Its methods return the builder, so that calls can be chained; what is wrong with their
// arguments is said by Build and Push. A builder is not safe for concurrent use.
//
// A scorer has a weight: 0 means 1, and all weights are divided by their sum when the scenario is built.
type ScenarioBuilder struct {
	client *Client
	params ScenarioCreateParams
	env    ScenarioEnvironment
	err    error // the first
}

// NewScenarioBuilder returns a builder of a scenario.
func (c *Client) NewScenarioBuilder(name string) *ScenarioBuilder {
	b := &ScenarioBuilder{client: c, params: ScenarioCreateParams{Name: name}}
	if name == "" {
		b.fail(errors.New("a scenario needs a name"))
	}
	return b
}

func (b *ScenarioBuilder) fail(err error) {
	if b.err == nil {
		b.err = fmt.Errorf("runloop: scenario %q: %w", b.params.Name, err)
	}
}

// FromBlueprint makes the scenario's devboxes from a blueprint. It takes the place of an earlier blueprint or snapshot.
func (b *ScenarioBuilder) FromBlueprint(blueprint *Blueprint) *ScenarioBuilder {
	b.env.BlueprintID, b.env.SnapshotID = blueprint.ID, ""
	return b
}

// FromSnapshot makes the scenario's devboxes from a snapshot. It takes the place of an earlier blueprint or snapshot.
func (b *ScenarioBuilder) FromSnapshot(snapshot *Snapshot) *ScenarioBuilder {
	b.env.BlueprintID, b.env.SnapshotID = "", snapshot.ID
	return b
}

// WithLaunchParameters sets how the scenario's devboxes are started.
func (b *ScenarioBuilder) WithLaunchParameters(params LaunchParameters) *ScenarioBuilder {
	b.env.LaunchParameters = &params
	return b
}

// WithWorkingDirectory sets where scorers run.
func (b *ScenarioBuilder) WithWorkingDirectory(dir string) *ScenarioBuilder {
	b.env.WorkingDirectory = dir
	return b
}

// WithProblemStatement sets what the agent is told. A scenario cannot be without.
func (b *ScenarioBuilder) WithProblemStatement(text string) *ScenarioBuilder {
	b.params.InputContext.ProblemStatement = text
	return b
}

// WithAdditionalContext sets what the agent is told beside the problem statement: anything that has a form in JSON.
func (b *ScenarioBuilder) WithAdditionalContext(v any) *ScenarioBuilder {
	data, err := json.Marshal(v)
	if err != nil {
		b.fail(fmt.Errorf("additional context: %w", err))
		return b
	}
	b.params.InputContext.AdditionalContext = data
	return b
}

// AddTestBasedScorer scores with a test command, for which files are written first.
func (b *ScenarioBuilder) AddTestBasedScorer(name string, weight float64, scorer TestBasedScorer) *ScenarioBuilder {
	return b.add(name, weight, ScorerSpec{TestBased: &scorer})
}

// AddCommandScorer scores with a command.
func (b *ScenarioBuilder) AddCommandScorer(name string, weight float64, command string) *ScenarioBuilder {
	return b.add(name, weight, ScorerSpec{Command: &CommandScorer{Command: command}})
}

// AddBashScriptScorer scores with a Bash script.
func (b *ScenarioBuilder) AddBashScriptScorer(name string, weight float64, script string) *ScenarioBuilder {
	return b.add(name, weight, ScorerSpec{BashScript: &BashScriptScorer{BashScript: script}})
}

// AddPythonScriptScorer scores with a Python script.
func (b *ScenarioBuilder) AddPythonScriptScorer(
	name string, weight float64, scorer PythonScriptScorer,
) *ScenarioBuilder {
	return b.add(name, weight, ScorerSpec{PythonScript: &scorer})
}

// AddASTGrepScorer scores with a pattern of ast-grep. An empty search directory is the working directory.
func (b *ScenarioBuilder) AddASTGrepScorer(name string, weight float64, scorer ASTGrepScorer) *ScenarioBuilder {
	if scorer.SearchDirectory == "" {
		scorer.SearchDirectory = "."
	}
	return b.add(name, weight, ScorerSpec{ASTGrep: &scorer})
}

// AddCustomScorer scores with a scorer of the account, named by its type. Its parameters are anything that has a form in JSON,
// nil for none.
func (b *ScenarioBuilder) AddCustomScorer(name string, weight float64, scorerType string, params any) *ScenarioBuilder {
	scorer := CustomScorer{Type: scorerType}
	if params != nil {
		data, err := json.Marshal(params)
		if err != nil {
			b.fail(fmt.Errorf("parameters of scorer %q: %w", name, err))
			return b
		}
		scorer.Params = data
	}
	return b.add(name, weight, ScorerSpec{Custom: &scorer})
}

func (b *ScenarioBuilder) add(name string, weight float64, spec ScorerSpec) *ScenarioBuilder {
	if weight == 0 {
		weight = 1
	}
	switch {
	case name == "":
		b.fail(fmt.Errorf("a scorer of type %s has no name", spec.Type()))
	case !(weight > 0) || math.IsInf(weight, 1): // also NaN
		b.fail(fmt.Errorf("weight %v of scorer %q: it must be a finite number above 0", weight, name))
	default:
		b.params.ScoringContract.ScoringFunctions = append(b.params.ScoringContract.ScoringFunctions,
			ScoringFunction{Name: name, Weight: weight, Scorer: spec})
	}
	return b
}

// WithMetadata sets the scenario's metadata, in the place of what it had.
func (b *ScenarioBuilder) WithMetadata(metadata map[string]string) *ScenarioBuilder {
	b.params.Metadata = maps.Clone(metadata)
	return b
}

// WithReferenceOutput sets a solution of the problem, such as a patch. It is for validation.
func (b *ScenarioBuilder) WithReferenceOutput(output string) *ScenarioBuilder {
	b.params.ReferenceOutput = output
	return b
}

// WithRequiredEnvironmentVariables names the variables that a run must be given.
func (b *ScenarioBuilder) WithRequiredEnvironmentVariables(names ...string) *ScenarioBuilder {
	b.params.RequiredEnvironmentVariables = slices.Clone(names)
	return b
}

// WithRequiredSecrets names the secrets that a run must be given.
func (b *ScenarioBuilder) WithRequiredSecrets(names ...string) *ScenarioBuilder {
	b.params.RequiredSecretNames = slices.Clone(names)
	return b
}

// WithValidationType says how the scenario is validated.
func (b *ScenarioBuilder) WithValidationType(t ValidationType) *ScenarioBuilder {
	b.params.ValidationType = t
	return b
}

// WithScorerTimeout bounds how long scorers may take, in whole seconds. Zero leaves it to the service: 1800.
func (b *ScenarioBuilder) WithScorerTimeout(seconds int32) *ScenarioBuilder {
	b.params.ScorerTimeoutSeconds = seconds
	return b
}

// Build returns the parameters of the scenario, without a request. The builder can be used further: what it returned does not change.
func (b *ScenarioBuilder) Build() (*ScenarioCreateParams, error) {
	params := b.params
	switch {
	case b.err != nil:
		return nil, b.err
	case params.InputContext.ProblemStatement == "":
		return nil, fmt.Errorf("runloop: scenario %q: %w", params.Name, ErrNoProblemStatement)
	case len(params.ScoringContract.ScoringFunctions) == 0:
		return nil, fmt.Errorf("runloop: scenario %q: %w", params.Name, ErrNoScorer)
	}
	functions := slices.Clone(params.ScoringContract.ScoringFunctions)
	greatest := 0.0
	for _, f := range functions {
		greatest = max(greatest, f.Weight)
	}
	sum := 0.0
	for _, f := range functions {
		sum += f.Weight / greatest // which does not overflow
	}
	for i := range functions {
		functions[i].Weight = functions[i].Weight / greatest / sum
	}
	params.ScoringContract.ScoringFunctions = functions
	if b.env != (ScenarioEnvironment{}) {
		env := b.env
		params.Environment = &env
	}
	return &params, nil
}

// Push makes the scenario.
func (b *ScenarioBuilder) Push(ctx context.Context, opts ...RequestOption) (*Scenario, error) {
	params, err := b.Build()
	if err != nil {
		return nil, err
	}
	view, err := b.client.Scenarios.Create(ctx, params, opts...)
	if err != nil {
		return nil, err
	}
	return b.client.Scenario(view.ID), nil
}
