package runloopapi

import "encoding/json"

// The types of benchmark jobs, as JobSpec.Type and JobSource.Type return them.
const (
	JobTypeHarbor    = "harbor"
	JobTypeBenchmark = "benchmark"
	JobTypeScenarios = "scenarios"
)

// BenchmarkJobState is how far a benchmark job is.
type BenchmarkJobState string

// The states of a benchmark job.
const (
	JobInitializing BenchmarkJobState = "initializing"
	JobQueued       BenchmarkJobState = "queued"
	JobRunning      BenchmarkJobState = "running"
	JobCompleted    BenchmarkJobState = "completed"
	JobFailed       BenchmarkJobState = "failed"
	JobCancelled    BenchmarkJobState = "cancelled"
	JobTimeout      BenchmarkJobState = "timeout"
)

// BenchmarkJobCreateParams describe a new benchmark job.
type BenchmarkJobCreateParams struct {
	Name string   `json:"name,omitempty"`
	Spec *JobSpec `json:"spec,omitempty"`
}

// JobSpec says what a benchmark job runs. Exactly one field is set.
type JobSpec struct {
	Harbor    *HarborJob
	Benchmark *BenchmarkJob
	Scenarios *ScenariosJob

	Unknown json.RawMessage // a job of a type this package does not know, as it was received
}

// HarborJob is a job in the YAML of Harbor.
type HarborJob struct {
	InlineYAML string `json:"inline_yaml"`
}

// BenchmarkJob runs agents on a benchmark.
type BenchmarkJob struct {
	BenchmarkID        string              `json:"benchmark_id"`
	AgentConfigs       []JobAgent          `json:"agent_configs"`
	OrchestratorConfig *OrchestratorConfig `json:"orchestrator_config,omitempty"`
}

// ScenariosJob runs agents on scenarios.
type ScenariosJob struct {
	ScenarioIDs        []string            `json:"scenario_ids"`
	AgentConfigs       []JobAgent          `json:"agent_configs"`
	OrchestratorConfig *OrchestratorConfig `json:"orchestrator_config,omitempty"`
}

// JobAgent is an agent of a benchmark job.
type JobAgent struct {
	Name           string               `json:"name"`
	AgentID        string               `json:"agent_id,omitempty"`
	ModelName      string               `json:"model_name,omitempty"`
	TimeoutSeconds float64              `json:"timeout_seconds,omitempty"`
	Kwargs         map[string]string    `json:"kwargs,omitempty"`
	Environment    *JobAgentEnvironment `json:"agent_environment,omitempty"`
}

// JobAgentEnvironment is what an agent of a benchmark job finds in its environment.
type JobAgentEnvironment struct {
	EnvironmentVariables map[string]string `json:"environment_variables,omitempty"`
	Secrets              map[string]string `json:"secrets,omitempty"` // from the variable's name to the secret's
}

// jobAgentType is the one type of an agent that a job can be given.
const jobAgentType = "job_agent"

// MarshalJSON adds the agent's type.
func (a JobAgent) MarshalJSON() ([]byte, error) {
	type plain JobAgent
	return json.Marshal(struct {
		Type string `json:"type"`
		plain
	}{jobAgentType, plain(a)})
}

// OrchestratorConfig says how a benchmark job goes about its runs.
type OrchestratorConfig struct {
	Attempts          int32   `json:"n_attempts,omitempty"`
	ConcurrentTrials  int32   `json:"n_concurrent_trials,omitempty"`
	Quiet             *bool   `json:"quiet,omitempty"`
	TimeoutMultiplier float64 `json:"timeout_multiplier,omitempty"`
}

func (s *JobSpec) variants() []variant {
	return []variant{
		{JobTypeHarbor, s.Harbor, s.Harbor != nil},
		{JobTypeBenchmark, s.Benchmark, s.Benchmark != nil},
		{JobTypeScenarios, s.Scenarios, s.Scenarios != nil},
	}
}

// Type returns the job's type as it is on the wire, and "" for a job that is not set.
func (s JobSpec) Type() string {
	found, err := chosen("job spec", s.variants())
	if err != nil {
		return unknownType(s.Unknown)
	}
	return found.name
}

// MarshalJSON encodes the field that is set, and fails unless exactly one is.
func (s JobSpec) MarshalJSON() ([]byte, error) {
	return marshalUnion("job spec", s.Unknown, s.variants())
}

// UnmarshalJSON decodes a job of any type; one of an unknown type is kept in Unknown.
func (s *JobSpec) UnmarshalJSON(data []byte) error {
	if isNull(data) {
		return nil
	}
	name, err := unionType(data)
	if err != nil {
		return err
	}
	*s = JobSpec{}
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
