package runloopapi

// BenchmarkStatus says whether a benchmark is in use.
type BenchmarkStatus string

// The states of a benchmark.
const (
	BenchmarkActive   BenchmarkStatus = "active"
	BenchmarkArchived BenchmarkStatus = "archived"
)

// BenchmarkCreateParams describe a new benchmark.
type BenchmarkCreateParams struct {
	Name                         string            `json:"name"`
	ScenarioIDs                  []string          `json:"scenario_ids,omitempty"`
	Description                  string            `json:"description,omitempty"`
	Attribution                  string            `json:"attribution,omitempty"`
	Metadata                     map[string]string `json:"metadata,omitempty"`
	RequiredEnvironmentVariables []string          `json:"required_environment_variables,omitempty"`
	RequiredSecretNames          []string          `json:"required_secret_names,omitempty"`
}

// BenchmarkUpdateParams change a benchmark. What is nil stays as it is.
type BenchmarkUpdateParams struct {
	Name                         *string           `json:"name,omitempty"`
	ScenarioIDs                  []string          `json:"scenario_ids,omitzero"` // replaces all that there were
	Description                  *string           `json:"description,omitempty"`
	Attribution                  *string           `json:"attribution,omitempty"`
	Metadata                     map[string]string `json:"metadata,omitzero"`
	RequiredEnvironmentVariables []string          `json:"required_environment_variables,omitzero"`
	RequiredSecretNames          []string          `json:"required_secret_names,omitzero"`
}

// BenchmarkScenariosParams add scenarios to a benchmark and take others away.
type BenchmarkScenariosParams struct {
	Add    []string `json:"scenarios_to_add,omitempty"`
	Remove []string `json:"scenarios_to_remove,omitempty"`
}

// BenchmarkView is a benchmark as the service describes it.
type BenchmarkView struct {
	ID                           string            `json:"id"`
	Name                         string            `json:"name"`
	Status                       BenchmarkStatus   `json:"status"`
	ScenarioIDs                  []string          `json:"scenarioIds"`
	Metadata                     map[string]string `json:"metadata"`
	Description                  string            `json:"description,omitempty"`
	Attribution                  string            `json:"attribution,omitempty"`
	IsPublic                     bool              `json:"is_public"`
	RequiredEnvironmentVariables []string          `json:"required_environment_variables,omitempty"`
	RequiredSecretNames          []string          `json:"required_secret_names,omitempty"`
}

// BenchmarkListView is one page of benchmarks.
type BenchmarkListView struct {
	Benchmarks []BenchmarkView `json:"benchmarks"`
	PageInfo
}

// BenchmarkRunState is how far the run of a benchmark is.
type BenchmarkRunState string

// The states of a benchmark run.
const (
	BenchmarkRunRunning   BenchmarkRunState = "running"
	BenchmarkRunCanceled  BenchmarkRunState = "canceled"
	BenchmarkRunCompleted BenchmarkRunState = "completed"
	BenchmarkRunFailed    BenchmarkRunState = "failed"
)

// BenchmarkRunParams start a benchmark.
type BenchmarkRunParams struct {
	BenchmarkID string            `json:"benchmark_id"`
	Name        string            `json:"run_name,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	RunProfile  *RunProfile       `json:"runProfile,omitempty"`
}

// BenchmarkRunView is the run of a benchmark as the service describes it.
type BenchmarkRunView struct {
	ID                   string            `json:"id"`
	State                BenchmarkRunState `json:"state"`
	StartTime            Millis            `json:"start_time_ms"`
	Metadata             map[string]string `json:"metadata"`
	BenchmarkID          string            `json:"benchmark_id,omitempty"`
	Name                 string            `json:"name,omitempty"`
	Purpose              string            `json:"purpose,omitempty"`
	DurationMS           *int64            `json:"duration_ms,omitempty"`
	Score                *float64          `json:"score,omitempty"` // the mean of the scenarios' scores; nil until the end
	EnvironmentVariables map[string]string `json:"environment_variables,omitempty"`
	SecretsProvided      map[string]string `json:"secrets_provided,omitempty"`
}

// BenchmarkRunListView is one page of benchmark runs.
type BenchmarkRunListView struct {
	Runs []BenchmarkRunView `json:"runs"`
	PageInfo
}
