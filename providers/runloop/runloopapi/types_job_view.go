package runloopapi

import "encoding/json"

// BenchmarkJobView is a benchmark job as the service describes it.
type BenchmarkJobView struct {
	ID                string             `json:"id"`
	Name              string             `json:"name"`
	State             BenchmarkJobState  `json:"state"`
	CreateTime        Millis             `json:"create_time_ms"`
	FailureReason     string             `json:"failure_reason,omitempty"`
	Source            *JobSource         `json:"job_source,omitempty"`
	Spec              *JobSpecView       `json:"job_spec,omitempty"`
	InProgressRuns    []JobRunView       `json:"in_progress_runs,omitempty"`
	BenchmarkOutcomes []BenchmarkOutcome `json:"benchmark_outcomes,omitempty"`
}

// BenchmarkJobListView is one page of benchmark jobs.
type BenchmarkJobListView struct {
	Jobs []BenchmarkJobView `json:"jobs"`
	PageInfo
}

// JobSource says what a benchmark job was made from. Exactly one field is set.
type JobSource struct {
	Harbor    *HarborJob
	Benchmark *BenchmarkJobSource
	Scenarios *ScenariosJobSource

	Unknown json.RawMessage // a source of a type this package does not know, as it was received
}

// BenchmarkJobSource is the benchmark that a job is of.
type BenchmarkJobSource struct {
	BenchmarkID   string `json:"benchmark_id"`
	BenchmarkName string `json:"benchmark_name,omitempty"`
}

// ScenariosJobSource are the scenarios that a job is of.
type ScenariosJobSource struct {
	ScenarioIDs []string `json:"scenario_ids"`
}

func (s *JobSource) variants() []variant {
	return []variant{
		{JobTypeHarbor, s.Harbor, s.Harbor != nil},
		{JobTypeBenchmark, s.Benchmark, s.Benchmark != nil},
		{JobTypeScenarios, s.Scenarios, s.Scenarios != nil},
	}
}

// Type returns the source's type as it is on the wire, and "" for a source that is not set.
func (s JobSource) Type() string {
	found, err := chosen("job source", s.variants())
	if err != nil {
		return unknownType(s.Unknown)
	}
	return found.name
}

// MarshalJSON encodes the field that is set, and fails unless exactly one is.
func (s JobSource) MarshalJSON() ([]byte, error) {
	return marshalUnion("job source", s.Unknown, s.variants())
}

// UnmarshalJSON decodes a source of any type; one of an unknown type is kept in Unknown.
func (s *JobSource) UnmarshalJSON(data []byte) error {
	if isNull(data) {
		return nil
	}
	name, err := unionType(data)
	if err != nil {
		return err
	}
	*s = JobSource{}
	switch name {
	case JobTypeHarbor:
		return json.Unmarshal(data, &s.Harbor)
	case JobTypeBenchmark:
		return json.Unmarshal(data, &s.Benchmark)
	case JobTypeScenarios:
		return json.Unmarshal(data, &s.Scenarios)
	}
	s.Unknown = append(json.RawMessage(nil), data...)
	return nil
}

// JobSpecView is what a benchmark job runs, once the service has worked it out.
type JobSpecView struct {
	ScenarioIDs        []string            `json:"scenario_ids"`
	AgentConfigs       []JobAgent          `json:"agent_configs"`
	OrchestratorConfig *OrchestratorConfig `json:"orchestrator_config,omitempty"`
}

// JobRunView is a benchmark run of a job that has not ended.
type JobRunView struct {
	BenchmarkRunID string            `json:"benchmark_run_id"`
	State          BenchmarkRunState `json:"state"`
	StartTime      Millis            `json:"start_time_ms"`
	DurationMS     *int64            `json:"duration_ms,omitempty"`
	Agent          *RunAgent         `json:"agent_config,omitempty"`
}

// The types of agents in a run, as RunAgent.Type returns them.
const (
	RunAgentTypeExternal = "external_api"
	RunAgentTypeJob      = jobAgentType
)

// RunAgent is the agent of a benchmark run. Exactly one field is set.
type RunAgent struct {
	External *ExternalAgent
	Job      *JobAgent

	Unknown json.RawMessage // an agent of a type this package does not know, as it was received
}

// ExternalAgent is an agent that does not run in the service.
type ExternalAgent struct {
	Info string `json:"info,omitempty"`
}

// Type returns the agent's type as it is on the wire, and "" for an agent that is not set.
func (a RunAgent) Type() string {
	switch {
	case a.External != nil:
		return RunAgentTypeExternal
	case a.Job != nil:
		return RunAgentTypeJob
	}
	return unknownType(a.Unknown)
}

// MarshalJSON encodes the field that is set, and fails unless exactly one is.
func (a RunAgent) MarshalJSON() ([]byte, error) {
	type plain JobAgent // without the method that adds the type
	return marshalUnion("agent", a.Unknown, []variant{
		{RunAgentTypeExternal, a.External, a.External != nil},
		{RunAgentTypeJob, (*plain)(a.Job), a.Job != nil},
	})
}

// UnmarshalJSON decodes an agent of any type; one of an unknown type is kept in Unknown.
func (a *RunAgent) UnmarshalJSON(data []byte) error {
	if isNull(data) {
		return nil
	}
	name, err := unionType(data)
	if err != nil {
		return err
	}
	*a = RunAgent{}
	switch name {
	case RunAgentTypeExternal:
		return json.Unmarshal(data, &a.External)
	case RunAgentTypeJob:
		return json.Unmarshal(data, &a.Job)
	}
	a.Unknown = append(json.RawMessage(nil), data...)
	return nil
}

// BenchmarkOutcome is what an agent reached in a benchmark.
type BenchmarkOutcome struct {
	BenchmarkRunID string            `json:"benchmark_run_id"`
	AgentName      string            `json:"agent_name"`
	ModelName      string            `json:"model_name,omitempty"`
	Completed      int32             `json:"n_completed"`
	Failed         int32             `json:"n_failed"`
	TimedOut       int32             `json:"n_timeout"`
	AverageScore   *float64          `json:"average_score,omitempty"`
	DurationMS     *int64            `json:"duration_ms,omitempty"`
	Scenarios      []ScenarioOutcome `json:"scenario_outcomes"`
}

// OutcomeState says how a scenario ended in a benchmark job.
type OutcomeState string

// The outcomes of a scenario.
const (
	OutcomeCompleted OutcomeState = "COMPLETED"
	OutcomeFailed    OutcomeState = "FAILED"
	OutcomeTimeout   OutcomeState = "TIMEOUT"
	OutcomeCanceled  OutcomeState = "CANCELED"
)

// ScenarioOutcome is what an agent reached in a scenario.
type ScenarioOutcome struct {
	ScenarioID    string           `json:"scenario_definition_id"`
	ScenarioName  string           `json:"scenario_name"`
	ScenarioRunID string           `json:"scenario_run_id,omitempty"`
	State         OutcomeState     `json:"state"`
	Score         *float64         `json:"score,omitempty"`
	DurationMS    *int64           `json:"duration_ms,omitempty"`
	FailureReason *ScenarioFailure `json:"failure_reason,omitempty"`
}

// ScenarioFailure says why a scenario failed in a benchmark job.
type ScenarioFailure struct {
	ExceptionType    string `json:"exception_type"`
	ExceptionMessage string `json:"exception_message"`
}
