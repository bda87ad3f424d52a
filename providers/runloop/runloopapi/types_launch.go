package runloopapi

// ResourceSize is a size of devbox.
type ResourceSize string

// The sizes, in CPU cores, gigabytes of memory and gigabytes of disk.
const (
	SizeXSmall  ResourceSize = "X_SMALL"     // 0.5, 1, 4
	SizeSmall   ResourceSize = "SMALL"       // 1, 2, 4; the default
	SizeMedium  ResourceSize = "MEDIUM"      // 2, 4, 8
	SizeLarge   ResourceSize = "LARGE"       // 2, 8, 16
	SizeXLarge  ResourceSize = "X_LARGE"     // 4, 16, 16
	SizeXXLarge ResourceSize = "XX_LARGE"    // 8, 32, 16
	SizeCustom  ResourceSize = "CUSTOM_SIZE" // as the custom fields of LaunchParameters say
)

// Architecture is a processor architecture.
type Architecture string

// The architectures.
const (
	ArchitectureX86   Architecture = "x86_64"
	ArchitectureARM64 Architecture = "arm64"
)

// ProvisioningTier says how firmly the resources of a devbox are its own.
type ProvisioningTier string

// The tiers. A devbox of the flex tier may wait in a queue, and may be evicted.
const (
	TierStandard ProvisioningTier = "standard"
	TierFlex     ProvisioningTier = "flex"
)

// LaunchParameters say how a devbox is started and how long it lives.
type LaunchParameters struct {
	// LaunchCommands run in order on every start, also after a resume, before the devbox is running.
	LaunchCommands []string `json:"launch_commands,omitempty"`

	ResourceSize ResourceSize `json:"resource_size_request,omitempty"`
	CustomCPUs   float64      `json:"custom_cpu_cores,omitempty"` // 0.5, 1, or even up to 16
	CustomMemory int32        `json:"custom_gb_memory,omitempty"` // gigabytes: 1, or even up to 64
	CustomDisk   int32        `json:"custom_disk_size,omitempty"` // gigabytes: even, 2 to 64
	Architecture Architecture `json:"architecture,omitempty"`

	// KeepAliveSeconds is how long the devbox lives after its start or its last keep-alive: by default an hour, at most
	// 48 hours. It has no effect beside an idle policy.
	KeepAliveSeconds int64       `json:"keep_alive_time_seconds,omitempty"`
	AfterIdle        *IdlePolicy `json:"after_idle,omitempty"` // older than Lifecycle.AfterIdle
	Lifecycle        *Lifecycle  `json:"lifecycle,omitempty"`

	User             *UserParameters  `json:"user_parameters,omitempty"`
	RequiredServices []string         `json:"required_services,omitempty"` // of the blueprint's services
	NetworkPolicyID  string           `json:"network_policy_id,omitempty"`
	ProvisioningTier ProvisioningTier `json:"provisioning_tier,omitempty"`
	AvailablePorts   []int32          `json:"available_ports,omitempty"` // the service ignores it
}

// IdleAction is what becomes of an idle devbox.
type IdleAction string

// The actions.
const (
	IdleShutdown IdleAction = "shutdown"
	IdleSuspend  IdleAction = "suspend"
)

// IdlePolicy says after how many seconds without activity what becomes of a devbox.
type IdlePolicy struct {
	IdleSeconds int32      `json:"idle_time_seconds"`
	OnIdle      IdleAction `json:"on_idle"`
}

// Lifecycle says when a devbox rests, and what wakes it.
type Lifecycle struct {
	AfterIdle      *IdlePolicy     `json:"after_idle,omitempty"`
	ResumeTriggers *ResumeTriggers `json:"resume_triggers,omitempty"`
	Hooks          *LifecycleHooks `json:"lifecycle_hooks,omitempty"`
}

// ResumeTriggers say what, beside a call, resumes a suspended devbox.
type ResumeTriggers struct {
	HTTP      *bool `json:"http,omitempty"` // a request through the tunnel
	AxonEvent *bool `json:"axon_event,omitempty"`
}

// LifecycleHooks are commands that run at the turns of a devbox's life.
type LifecycleHooks struct {
	SuspendCommands   []string `json:"suspend_commands,omitempty"`
	SuspendDeadlineMS int64    `json:"suspend_deadline_ms,omitempty"` // for all of them: by default 30000, at most 60000
}

// UserParameters name the user that commands run as.
type UserParameters struct {
	Username string `json:"username"`
	UID      int32  `json:"uid"`
}
