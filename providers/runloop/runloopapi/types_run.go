package runloopapi

// RunProfile is what the devboxes of a run get beside what the scenario says. Its names on the wire are in camel case.
type RunProfile struct {
	Purpose              string            `json:"purpose,omitempty"`
	EnvironmentVariables map[string]string `json:"envVars,omitempty"`
	Secrets              map[string]string `json:"secrets,omitempty"` // from the variable's name to the secret's
	Mounts               []Mount           `json:"mounts,omitempty"`
	LaunchParameters     *LaunchParameters `json:"launchParameters,omitempty"`
}

// ScenarioRunState is how far the run of a scenario is.
type ScenarioRunState string

// The states of a scenario run.
const (
	ScenarioRunRunning   ScenarioRunState = "running"
	ScenarioRunScoring   ScenarioRunState = "scoring"
	ScenarioRunScored    ScenarioRunState = "scored"
	ScenarioRunCompleted ScenarioRunState = "completed"
	ScenarioRunCanceled  ScenarioRunState = "canceled"
	ScenarioRunTimeout   ScenarioRunState = "timeout"
	ScenarioRunFailed    ScenarioRunState = "failed"
)

// ScenarioRunParams start a scenario.
type ScenarioRunParams struct {
	ScenarioID     string            `json:"scenario_id"`
	Name           string            `json:"run_name,omitempty"`
	BenchmarkRunID string            `json:"benchmark_run_id,omitempty"` // the run that this one is a part of
	Metadata       map[string]string `json:"metadata,omitempty"`
	RunProfile     *RunProfile       `json:"runProfile,omitempty"`
}

// ScenarioRunView is the run of a scenario as the service describes it.
type ScenarioRunView struct {
	ID                    string                 `json:"id"`
	ScenarioID            string                 `json:"scenario_id"`
	DevboxID              string                 `json:"devbox_id"`
	State                 ScenarioRunState       `json:"state"`
	Metadata              map[string]string      `json:"metadata"`
	Name                  string                 `json:"name,omitempty"`
	BenchmarkRunID        string                 `json:"benchmark_run_id,omitempty"`
	Purpose               string                 `json:"purpose,omitempty"`
	StartTime             Millis                 `json:"start_time_ms,omitempty"`
	DurationMS            *int64                 `json:"duration_ms,omitempty"`
	EnvironmentVariables  map[string]string      `json:"environment_variables,omitempty"`
	SecretsProvided       map[string]string      `json:"secrets_provided,omitempty"`
	ScoringContractResult *ScoringContractResult `json:"scoring_contract_result,omitempty"` // nil until it is scored
}

// ScenarioRunListView is one page of scenario runs.
type ScenarioRunListView struct {
	Runs []ScenarioRunView `json:"runs"`
	PageInfo
}

// ScoringContractResult is the score of a run, from 0 to 1.
type ScoringContractResult struct {
	Score           float64                 `json:"score"`
	FunctionResults []ScoringFunctionResult `json:"scoring_function_results"`
}

// ScoringState says how a scoring function ended.
type ScoringState string

// The states of a scoring function.
const (
	ScoringUnknown  ScoringState = "unknown"
	ScoringComplete ScoringState = "complete"
	ScoringError    ScoringState = "error"
)

// ScoringFunctionResult is one part of a score.
type ScoringFunctionResult struct {
	Name   string       `json:"scoring_function_name"`
	Score  float64      `json:"score"`
	Output string       `json:"output"`
	State  ScoringState `json:"state"`
}
