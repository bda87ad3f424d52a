package runloopapi

import "encoding/json"

// ScenarioStatus says whether a scenario is in use.
type ScenarioStatus string

// The states of a scenario.
const (
	ScenarioActive   ScenarioStatus = "active"
	ScenarioArchived ScenarioStatus = "archived"
)

// ValidationType says how a scenario is validated.
type ValidationType string

// The validation types.
const (
	ValidationUnspecified ValidationType = "UNSPECIFIED"
	ValidationForward     ValidationType = "FORWARD"
	ValidationReverse     ValidationType = "REVERSE"
	ValidationEvaluation  ValidationType = "EVALUATION"
)

// InputContext is what an agent is told.
type InputContext struct {
	ProblemStatement  string          `json:"problem_statement"`
	AdditionalContext json.RawMessage `json:"additional_context,omitempty"`
}

// InputContextUpdate changes what an agent is told. What is nil stays as it is.
type InputContextUpdate struct {
	ProblemStatement  *string         `json:"problem_statement,omitempty"`
	AdditionalContext json.RawMessage `json:"additional_context,omitempty"`
}

// ScenarioEnvironment is the devbox that a scenario runs in.
type ScenarioEnvironment struct {
	BlueprintID      string            `json:"blueprint_id,omitempty"`
	SnapshotID       string            `json:"snapshot_id,omitempty"`
	LaunchParameters *LaunchParameters `json:"launch_parameters,omitempty"`
	WorkingDirectory string            `json:"working_directory,omitempty"`
}

// ScoringContract says how a run is scored. The weights add up to 1.
type ScoringContract struct {
	ScoringFunctions []ScoringFunction `json:"scoring_function_parameters"`
}

// ScoringContractUpdate changes how a run is scored. What is nil stays as it is.
type ScoringContractUpdate struct {
	ScoringFunctions []ScoringFunction `json:"scoring_function_parameters,omitzero"`
}

// ScoringFunction is one part of a score.
type ScoringFunction struct {
	Name   string     `json:"name"`
	Weight float64    `json:"weight"`
	Scorer ScorerSpec `json:"scorer"`
}

// ScenarioCreateParams describe a new scenario. Scenario builders fill them in.
type ScenarioCreateParams struct {
	Name                         string               `json:"name"`
	InputContext                 InputContext         `json:"input_context"`
	ScoringContract              ScoringContract      `json:"scoring_contract"`
	Environment                  *ScenarioEnvironment `json:"environment_parameters,omitempty"`
	Metadata                     map[string]string    `json:"metadata,omitempty"`
	ReferenceOutput              string               `json:"reference_output,omitempty"`
	RequiredEnvironmentVariables []string             `json:"required_environment_variables,omitempty"`
	RequiredSecretNames          []string             `json:"required_secret_names,omitempty"`
	ValidationType               ValidationType       `json:"validation_type,omitempty"`
	ScorerTimeoutSeconds         int32                `json:"scorer_timeout_sec,omitempty"` // 0: 1800
}

// ScenarioUpdateParams change a scenario. What is nil stays as it is.
type ScenarioUpdateParams struct {
	Name                         *string                `json:"name,omitempty"`
	InputContext                 *InputContextUpdate    `json:"input_context,omitempty"`
	ScoringContract              *ScoringContractUpdate `json:"scoring_contract,omitempty"`
	Environment                  *ScenarioEnvironment   `json:"environment_parameters,omitempty"`
	Metadata                     map[string]string      `json:"metadata,omitzero"`
	ReferenceOutput              *string                `json:"reference_output,omitempty"`
	RequiredEnvironmentVariables []string               `json:"required_environment_variables,omitzero"`
	RequiredSecretNames          []string               `json:"required_secret_names,omitzero"`
	ValidationType               ValidationType         `json:"validation_type,omitempty"`
	ScorerTimeoutSeconds         *int32                 `json:"scorer_timeout_sec,omitempty"`
}

// ScenarioView is a scenario as the service describes it.
type ScenarioView struct {
	ID                           string               `json:"id"`
	Name                         string               `json:"name"`
	Status                       ScenarioStatus       `json:"status"`
	InputContext                 InputContext         `json:"input_context"`
	ScoringContract              ScoringContract      `json:"scoring_contract"`
	Environment                  *ScenarioEnvironment `json:"environment,omitempty"`
	Metadata                     map[string]string    `json:"metadata"`
	IsPublic                     bool                 `json:"is_public"`
	ReferenceOutput              string               `json:"reference_output,omitempty"`
	RequiredEnvironmentVariables []string             `json:"required_environment_variables,omitempty"`
	RequiredSecretNames          []string             `json:"required_secret_names,omitempty"`
	ValidationType               ValidationType       `json:"validation_type,omitempty"`
	ScorerTimeoutSeconds         *int32               `json:"scorer_timeout_sec,omitempty"`
}

// ScenarioListView is one page of scenarios.
type ScenarioListView struct {
	Scenarios []ScenarioView `json:"scenarios"`
	PageInfo
}
