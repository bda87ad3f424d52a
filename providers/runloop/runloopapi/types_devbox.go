package runloopapi

// DevboxStatus is the state of a devbox. The service may add states: one this package has no constant for is kept as it is.
type DevboxStatus string

// The states of a devbox. Failure and shutdown are final.
const (
	DevboxScheduled    DevboxStatus = "scheduled" // of old versions of the service
	DevboxQueued       DevboxStatus = "queued"    // of the flex tier
	DevboxProvisioning DevboxStatus = "provisioning"
	DevboxInitializing DevboxStatus = "initializing"
	DevboxRunning      DevboxStatus = "running"
	DevboxSuspending   DevboxStatus = "suspending"
	DevboxSuspended    DevboxStatus = "suspended"
	DevboxResuming     DevboxStatus = "resuming"
	DevboxFailure      DevboxStatus = "failure"
	DevboxShutdown     DevboxStatus = "shutdown"
)

// Final reports whether a devbox never leaves the state.
func (s DevboxStatus) Final() bool { return s == DevboxFailure || s == DevboxShutdown }

// DevboxFailureReason says why a devbox failed.
type DevboxFailureReason string

// The reasons of a failure.
const (
	DevboxOutOfMemory       DevboxFailureReason = "out_of_memory"
	DevboxOutOfDisk         DevboxFailureReason = "out_of_disk"
	DevboxExecutionFailed   DevboxFailureReason = "execution_failed"
	DevboxHealthCheckFailed DevboxFailureReason = "health_check_failed"
)

// DevboxShutdownReason says why a devbox was shut down.
type DevboxShutdownReason string

// The reasons of a shutdown.
const (
	ShutdownByAPI            DevboxShutdownReason = "api_shutdown"
	ShutdownKeepAliveTimeout DevboxShutdownReason = "keep_alive_timeout"
	ShutdownEntrypointExit   DevboxShutdownReason = "entrypoint_exit"
	ShutdownIdle             DevboxShutdownReason = "idle"
	ShutdownTTLExpired       DevboxShutdownReason = "ttl_expired"
)

// DevboxInitiator says what made a devbox.
type DevboxInitiator string

// The initiators of a devbox.
const (
	InitiatorUnknown           DevboxInitiator = "unknown"
	InitiatorAPI               DevboxInitiator = "api"
	InitiatorScenario          DevboxInitiator = "scenario"
	InitiatorScoringValidation DevboxInitiator = "scoring_validation"
	InitiatorReflex            DevboxInitiator = "reflex"
)

// DevboxCapability is something a devbox can do beyond the ordinary.
type DevboxCapability string

// The capabilities of a devbox.
const (
	CapabilityUnknown        DevboxCapability = "unknown"
	CapabilityDockerInDocker DevboxCapability = "docker_in_docker"
)

// DevboxCreateParams say what a new devbox is made of. The zero value is a devbox of the default image and size.
// At most one of BlueprintID, BlueprintName and SnapshotID may be set.
type DevboxCreateParams struct {
	Name          string            `json:"name,omitempty"`
	BlueprintID   string            `json:"blueprint_id,omitempty"`
	BlueprintName string            `json:"blueprint_name,omitempty"` // the newest successful build of that name
	SnapshotID    string            `json:"snapshot_id,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`

	EnvironmentVariables map[string]string `json:"environment_variables,omitempty"`
	Secrets              map[string]string `json:"secrets,omitempty"` // from the variable's name to the secret's

	// Entrypoint is a command whose end is the end of the devbox. Empty means that the devbox lives on its own.
	Entrypoint       string            `json:"entrypoint,omitempty"`
	LaunchParameters *LaunchParameters `json:"launch_parameters,omitempty"`

	Mounts     []Mount           `json:"mounts,omitempty"`
	CodeMounts []CodeMount       `json:"code_mounts,omitempty"` // older than Mounts
	FileMounts map[string]string `json:"file_mounts,omitempty"` // older than Mounts; from the path to the contents

	Tunnel   *TunnelConfig          `json:"tunnel,omitempty"`   // nil: no tunnel
	Gateways map[string]GatewaySpec `json:"gateways,omitempty"` // by the prefix of the environment variables
	MCP      map[string]MCPSpec     `json:"mcp,omitempty"`      // by the environment variable of the token

	RepoConnectionID string `json:"repo_connection_id,omitempty"` // of old versions of the service
}

// DevboxUpdateParams change a devbox. What is nil stays as it is.
type DevboxUpdateParams struct {
	Name     *string           `json:"name,omitempty"`
	Metadata map[string]string `json:"metadata,omitzero"` // an empty map that is not nil removes all
}

// DevboxView is a devbox as the service describes it.
type DevboxView struct {
	ID         string            `json:"id"`
	Name       string            `json:"name,omitempty"`
	Status     DevboxStatus      `json:"status"`
	CreateTime Millis            `json:"create_time_ms"`
	EndTime    *Millis           `json:"end_time_ms"` // nil until the end
	Metadata   map[string]string `json:"metadata"`

	BlueprintID   string          `json:"blueprint_id,omitempty"`
	SnapshotID    string          `json:"snapshot_id,omitempty"`
	InitiatorType DevboxInitiator `json:"initiator_type,omitempty"`
	InitiatorID   string          `json:"initiator_id,omitempty"`

	FailureReason  DevboxFailureReason  `json:"failure_reason,omitempty"`
	ShutdownReason DevboxShutdownReason `json:"shutdown_reason,omitempty"`

	LaunchParameters LaunchParameters        `json:"launch_parameters"`
	Capabilities     []DevboxCapability      `json:"capabilities"`
	StateTransitions []DevboxStateTransition `json:"state_transitions"`

	Tunnel       *TunnelView                `json:"tunnel,omitempty"`
	GatewaySpecs map[string]GatewaySpecView `json:"gateway_specs,omitempty"`
	MCPSpecs     map[string]MCPSpecView     `json:"mcp_specs,omitempty"`
}

// DevboxStateTransition is one entry in the history of a devbox.
type DevboxStateTransition struct {
	Status         DevboxStatus `json:"status,omitempty"`
	TransitionTime Millis       `json:"transition_time_ms,omitempty"`
	FailureReason  string       `json:"failure_reason,omitempty"`
}

// DevboxListView is one page of devboxes.
type DevboxListView struct {
	Devboxes []DevboxView `json:"devboxes"`
	PageInfo
}

// PageInfo is what every page of a list says about the rest of it.
type PageInfo struct {
	HasMore    bool   `json:"has_more"`
	TotalCount *int32 `json:"total_count,omitempty"` // nil when it was not asked for
}

// DevboxWaitParams name the states that a devbox is waited for.
type DevboxWaitParams struct {
	Statuses       []DevboxStatus `json:"statuses"`
	TimeoutSeconds int32          `json:"timeout_seconds,omitempty"` // 0: as long as the service holds a request, 30 seconds
}

// DevboxUsageView is what a devbox has used until now, in whole seconds and gigabyte seconds.
type DevboxUsageView struct {
	ID                  string  `json:"id"`
	Status              string  `json:"status"`
	StartTime           Millis  `json:"start_time_ms"`
	EndTime             *Millis `json:"end_time_ms,omitempty"`
	TotalActiveSeconds  int64   `json:"total_active_seconds"`
	TotalElapsedSeconds int64   `json:"total_elapsed_seconds"`
	VCPUSeconds         int64   `json:"vcpu_seconds"`
	MemoryGBSeconds     int64   `json:"memory_gb_seconds"`
	DiskGBSeconds       int64   `json:"disk_gb_seconds"`
}

// DevboxLogSource is the part of a devbox that a log record is of.
type DevboxLogSource string

// The sources of log records.
const (
	LogSetupCommands DevboxLogSource = "setup_commands"
	LogEntrypoint    DevboxLogSource = "entrypoint"
	LogExec          DevboxLogSource = "exec"
	LogFiles         DevboxLogSource = "files"
	LogStats         DevboxLogSource = "stats"
	LogKernel        DevboxLogSource = "kmsg"
)

// DevboxLog is one record in the log of a devbox. The command and its exit code come in records of their own.
type DevboxLog struct {
	Level     string          `json:"level"`
	Source    DevboxLogSource `json:"source"`
	Timestamp Millis          `json:"timestamp_ms"`
	Command   string          `json:"cmd,omitempty"`
	CommandID string          `json:"cmd_id,omitempty"`
	ExitCode  *int32          `json:"exit_code,omitempty"`
	Message   string          `json:"message,omitempty"`
	ShellName string          `json:"shell_name,omitempty"`
}

// DevboxLogsView is the log of a devbox.
type DevboxLogsView struct {
	Logs []DevboxLog `json:"logs"`
}

// SSHKeyView is the key of a devbox's SSH server, and where that is.
type SSHKeyView struct {
	ID         string `json:"id"`
	URL        string `json:"url"` // a host name, the server name of the TLS connection that SSH runs in
	PrivateKey string `json:"ssh_private_key"`
	User       string `json:"ssh_user"`
}

// EvictionEvent announces that the service will take a devbox of the flex tier back.
type EvictionEvent struct {
	DevboxID string `json:"devbox_id"`
	Deadline Millis `json:"eviction_deadline_ms"`
}
