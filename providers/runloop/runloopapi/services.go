package runloopapi

// Every service is one group of the API's endpoints. Services are fields of a [Client], hold nothing of their own,
// and are safe for concurrent use.
type (
	// DevboxService is the endpoints below /v1/devboxes that concern one devbox or all of them.
	DevboxService struct{ client *Client }
	// ExecutionService is the endpoints of commands that run in a devbox.
	ExecutionService struct{ client *Client }
	// DiskSnapshotService is the endpoints below /v1/devboxes/disk_snapshots.
	DiskSnapshotService struct{ client *Client }
	// BlueprintService is the endpoints below /v1/blueprints.
	BlueprintService struct{ client *Client }
	// ObjectService is the endpoints below /v1/objects.
	ObjectService struct{ client *Client }
	// SecretService is the endpoints below /v1/secrets.
	SecretService struct{ client *Client }
	// NetworkPolicyService is the endpoints below /v1/network-policies.
	NetworkPolicyService struct{ client *Client }
	// GatewayConfigService is the endpoints below /v1/gateway-configs.
	GatewayConfigService struct{ client *Client }
	// MCPConfigService is the endpoints below /v1/mcp-configs.
	MCPConfigService struct{ client *Client }
	// AgentService is the endpoints below /v1/agents.
	AgentService struct{ client *Client }
	// AxonService is the endpoints below /v1/axons.
	AxonService struct{ client *Client }
	// ScenarioService is the endpoints below /v1/scenarios.
	ScenarioService struct{ client *Client }
	// ScenarioRunService is the endpoints below /v1/scenarios/runs.
	ScenarioRunService struct{ client *Client }
	// ScorerService is the endpoints below /v1/scenarios/scorers.
	ScorerService struct{ client *Client }
	// BenchmarkService is the endpoints below /v1/benchmarks.
	BenchmarkService struct{ client *Client }
	// BenchmarkRunService is the endpoints below /v1/benchmark_runs.
	BenchmarkRunService struct{ client *Client }
	// BenchmarkJobService is the endpoints below /v1/benchmark_jobs.
	BenchmarkJobService struct{ client *Client }
	// AccountService is the endpoints below /v1/accounts.
	AccountService struct{ client *Client }
	// APIKeyService is the endpoints below /v1/apikeys.
	APIKeyService struct{ client *Client }
	// RestrictedKeyService is the endpoints below /v1/restricted_keys.
	RestrictedKeyService struct{ client *Client }
	// PTYService is the terminals of devboxes. They are served by the devbox, behind its tunnel.
	PTYService struct{ client *Client }
)

// services makes the fields of c.
func (c *Client) services() {
	c.Devboxes = &DevboxService{c}
	c.Executions = &ExecutionService{c}
	c.DiskSnapshots = &DiskSnapshotService{c}
	c.Blueprints = &BlueprintService{c}
	c.Objects = &ObjectService{c}
	c.Secrets = &SecretService{c}
	c.NetworkPolicies = &NetworkPolicyService{c}
	c.GatewayConfigs = &GatewayConfigService{c}
	c.MCPConfigs = &MCPConfigService{c}
	c.Agents = &AgentService{c}
	c.Axons = &AxonService{c}
	c.Scenarios = &ScenarioService{c}
	c.ScenarioRuns = &ScenarioRunService{c}
	c.Scorers = &ScorerService{c}
	c.Benchmarks = &BenchmarkService{c}
	c.BenchmarkRuns = &BenchmarkRunService{c}
	c.BenchmarkJobs = &BenchmarkJobService{c}
	c.Accounts = &AccountService{c}
	c.APIKeys = &APIKeyService{c}
	c.RestrictedKeys = &RestrictedKeyService{c}
	c.PTY = &PTYService{c}
}
